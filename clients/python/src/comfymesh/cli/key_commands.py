"""Commands for API keys: keys create, list, show, rotate, revoke."""

from __future__ import annotations

import os
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

from comfymesh.cli.administration_tables import key_details, key_table
from comfymesh.cli.jsonlines import line, plain
from comfymesh.cli.listing import print_list
from comfymesh.cli.options import with_session
from comfymesh.client import KeyOptions, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comfymesh.cli.session import Session
    from comfymesh.client import AsyncClient, Key, NewKey

_SCOPES = [scope.lower() for scope in Scope if scope is not Scope.UNKNOWN]

_KEYS_HELP = """Make, list, rotate and revoke API keys. For administrators.

\b
Examples:
  comfymesh keys create lab --name robot --days 90
  comfymesh keys list lab
  comfymesh keys rotate tenants/lab/keys/k4f1c --overlap-hours 24
  comfymesh keys revoke tenants/lab/keys/k4f1c
"""

_CREATE_HELP = """Make a key for a tenant. Prints its secret, once; nobody can show it again.

\b
Scopes:
  submit   create and stop tasks, upload assets
  read     see tasks, artifacts, nodes
  operate  operate the fleet, which all tenants share
  admin    administer tenants and keys of the whole mesh

\b
Examples:
  comfymesh keys create lab --out robot.key
  comfymesh keys create lab --scope read --name dashboard --days 90
  comfymesh keys create default --scope admin --json
"""

_LIST_HELP = """List the keys of a tenant, those that have ended as well.

\b
Examples:
  comfymesh keys list lab
  comfymesh keys list lab --json
"""

_SHOW_HELP = """Show a key, without its secret.

\b
Examples:
  comfymesh keys show tenants/lab/keys/k4f1c
"""

_ROTATE_HELP = """Make a key in the place of another. Prints its secret, once.

\b
Examples:
  comfymesh keys rotate tenants/lab/keys/k4f1c --out robot.key
  comfymesh keys rotate tenants/lab/keys/k4f1c --overlap-hours 24
"""

_REVOKE_HELP = """End a key at once; streams that it opened end too. Revoking again is fine.

\b
Examples:
  comfymesh keys revoke tenants/lab/keys/k4f1c
"""

_OUT = click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the secret there, readable by you alone, instead of printing it. The file must not exist.",
)


@click.group(help=_KEYS_HELP, short_help="Make, list, rotate and revoke API keys.")
def keys() -> None:  # noqa: D103
    pass


@keys.command(help=_CREATE_HELP, short_help="Make one.")
@click.argument("tenant")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(_SCOPES), help="Default: submit and read.")
@click.option("--name", default="", metavar="TEXT", help="Name for people.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), metavar="N", help="How long it is good for.")
@_OUT
@with_session
def create(  # noqa: D103
    session: Session, /, *, tenant: str, scopes: Sequence[str], name: str, days: float | None, out: Path | None
) -> None:
    options: KeyOptions = {"display_name": name}
    if scopes:
        options["scopes"] = [Scope(scope.upper()) for scope in scopes]
    if days is not None:
        options["expire_time"] = datetime.now(UTC) + timedelta(days=days)
    with _Secret(out) as secret:
        secret.tell(session, session.call(lambda client: client.create_key(tenant, **options)))


@keys.command("list", help=_LIST_HELP, short_help="List them.")
@click.argument("tenant")
@with_session
def list_keys(session: Session, tenant: str) -> None:  # noqa: D103
    async def fetch(client: AsyncClient) -> list[Key]:
        async with aclosing(client.keys(tenant)) as found:
            return [key async for key in found]

    found = session.call(fetch)
    print_list(session, found, partial(key_table, now=datetime.now(UTC)), "No keys.")


@keys.command(help=_SHOW_HELP, short_help="Show one, without its secret.")
@click.argument("key")
@with_session
def show(session: Session, key: str) -> None:  # noqa: D103
    _print(session, session.call(lambda client: client.key(key)))


@keys.command(help=_ROTATE_HELP, short_help="Make one in the place of another.")
@click.argument("key")
@click.option(
    "--overlap-hours",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="N",
    help="How long the old one stays good.",
)
@_OUT
@with_session
def rotate(session: Session, /, *, key: str, overlap_hours: float, out: Path | None) -> None:  # noqa: D103
    overlap = timedelta(hours=overlap_hours)
    with _Secret(out) as secret:
        secret.tell(session, session.call(lambda client: client.rotate_key(key, overlap)))


@keys.command(help=_REVOKE_HELP, short_help="End one at once.")
@click.argument("key")
@with_session
def revoke(session: Session, key: str) -> None:  # noqa: D103
    _print(session, session.call(lambda client: client.revoke_key(key)))


class _Secret:
    """Where a secret goes. The file is made first, since a secret that can't be kept is lost."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._told = False

    def __enter__(self) -> Self:
        if self._path is not None:
            try:
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            except OSError as error:
                raise click.UsageError(f"--out: can't make {self._path}: {error.strerror}.") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._path is not None and not self._told:
            self._path.unlink(missing_ok=True)

    def tell(self, session: Session, made: NewKey) -> None:
        """Write it to the file, or to standard output."""
        self._told = True
        if self._path is not None:
            self._path.write_text(f"{made.secret}\n")
            _print(session, made.key)
        elif session.as_json:
            click.echo(line(plain(made)))
        else:
            click.echo(f"{made.key.name}: keep the secret, it can't be shown again.", err=True)
            click.echo(made.secret)


def _print(session: Session, key: Key) -> None:
    if session.as_json:
        click.echo(line(plain(key)))
    else:
        session.show(key_details(key, datetime.now(UTC)))
