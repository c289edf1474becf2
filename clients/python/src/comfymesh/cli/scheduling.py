"""Commands for operators that look at scheduling and change it: policy show, policy set, queue."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from comfymesh.cli.arguments import parse_value
from comfymesh.cli.jsonlines import line, plain
from comfymesh.cli.options import with_session
from comfymesh.cli.scheduling_tables import policy_details, queue_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from comfymesh.cli.session import Session
    from comfymesh.client import AsyncClient, Policy, Setting

_TENANTS = "tenants."
_DEFAULT = "default"

_POLICY_HELP = """Show or change how tasks are ordered and placed. For operators.

\b
Examples:
  comfymesh policy show
  comfymesh policy set affinity=false
  comfymesh policy set tenants.acme.weight=2 tenants.acme.max_running=8
  comfymesh policy set tenants.acme=default
"""

_SHOW_HELP = """Show the policy: every setting, for the mesh and for single tenants.

\b
Examples:
  comfymesh policy show
  comfymesh policy show --json
"""

_SET_HELP = """Change settings of the policy. Every scheduler follows them at once.

The value `default` puts a setting, or all of a tenant's, back to its default. `policy show` names all settings.

\b
Examples:
  comfymesh policy set affinity=false
  comfymesh policy set tenants.acme.weight=2 affinity=default
  comfymesh policy set tenants.acme=default --check
"""

_QUEUE_HELP = """Show what waits and runs, by tenant, priority and models. For operators.

\b
Examples:
  comfymesh queue
  comfymesh queue --json
"""


@click.group(help=_POLICY_HELP, short_help="Show or change how tasks are scheduled.")
def policy() -> None:  # noqa: D103
    pass


@policy.command("show", help=_SHOW_HELP, short_help="Show it.")
@with_session
def show_policy(session: Session) -> None:  # noqa: D103
    _print(session, session.call(lambda client: client.policy()))


@policy.command("set", help=_SET_HELP, short_help="Change it.")
@click.argument("settings", nargs=-1, required=True, metavar="NAME=VALUE...")
@click.option("--check", is_flag=True, help="Check everything, change nothing.")
@with_session
def set_policy(session: Session, /, *, settings: Sequence[str], check: bool) -> None:  # noqa: D103
    wanted = dict(_pair(text) for text in settings)

    async def change(client: AsyncClient) -> Policy:
        known = await client.policy()
        own = {name: value for name, value in wanted.items() if not name.startswith(_TENANTS)}
        tenants = _tenants(known, {name: value for name, value in wanted.items() if name.startswith(_TENANTS)})
        return await client.update_policy(own, tenants=tenants, etag=known.etag, validate_only=check)

    _print(session, session.call(change))


@click.command(help=_QUEUE_HELP, short_help="Show what waits and runs.")
@with_session
def queue(session: Session) -> None:  # noqa: D103
    found = session.call(lambda client: client.queue())
    if session.as_json:
        click.echo(line(plain(found)))
    else:
        session.show(queue_table(found, datetime.now(UTC)))


def _print(session: Session, found: Policy) -> None:
    if session.as_json:
        click.echo(line(plain(found)))
    else:
        session.show(policy_details(found, datetime.now(UTC)))


def _pair(text: str) -> tuple[str, Setting | None]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"{text!r} lacks a name and '=': write NAME=VALUE.")
    read = parse_value(value)
    if isinstance(read, str) and read != _DEFAULT:
        raise click.UsageError(f"{name} can't be {value!r}: give a number, true, false or {_DEFAULT}.")
    return name, None if isinstance(read, str) else read


def _tenants(known: Policy, wanted: Mapping[str, Setting | None]) -> dict[str, dict[str, Setting] | None]:
    """All settings of each tenant that is named, since a tenant's are changed as a whole."""
    tenants: dict[str, dict[str, Setting] | None] = {}
    for path, value in wanted.items():
        tenant, _, name = path.removeprefix(_TENANTS).partition(".")
        if not name:
            if value is not None:
                raise click.UsageError(f"{path} is a tenant: name one of its settings, or give {_DEFAULT}.")
            tenants[tenant] = None
            continue
        own = tenants.get(tenant) or dict(known.tenants.get(tenant, {}))
        own.pop(name, None)
        tenants[tenant] = own if value is None else {**own, name: value}
    return tenants
