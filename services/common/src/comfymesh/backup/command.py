"""The command `comfymesh admin`: backups. It speaks to NATS, with the settings of the services."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

import click
from pydantic import ValidationError
from pydantic_settings import SettingsError

from comfymesh.backup import operation
from comfymesh.backup.archive import Reader
from comfymesh.backup.errors import BackupError
from comfymesh.backup.manifest import Manifest
from comfymesh.bus.connection import Connection
from comfymesh.bus.port import BusError
from comfymesh.bus.server import BusUnusableError
from comfymesh.runtime.service import problems
from comfymesh.runtime.settings import ServiceSettings

_PATH = click.Path(path_type=Path)
_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for machines; what is being done goes to stderr."
)

_HELP = """Back up and restore what the mesh keeps on NATS.

\b
Speaks to NATS itself, with the settings of the services: COMFYMESH_NATS_URL, COMFYMESH_NATS_REPLICAS,
COMFYMESH_NATS_TLS_*, COMFYMESH_ARTIFACTS_URL.

\b
Examples:
  comfymesh admin backup /backups
  comfymesh admin verify /backups/comfymesh.backup
  comfymesh admin restore /backups/comfymesh.backup
"""

_BACKUP_HELP = """Write all that the mesh keeps into one file, while it runs.

\b
Examples:
  comfymesh admin backup /backups
  comfymesh admin backup mesh.backup --without-blobs
  comfymesh admin backup /backups --json
"""

_VERIFY_HELP = """Read a backup, and see whether it is whole and undamaged. Needs no server.

\b
Examples:
  comfymesh admin verify mesh.backup
  comfymesh admin verify mesh.backup --json
"""

_RESTORE_HELP = """Put a backup back into an empty NATS server, while no service runs.

\b
Examples:
  comfymesh admin restore mesh.backup
  comfymesh admin restore mesh.backup --replace
"""


@click.group(help=_HELP)
def admin() -> None:  # noqa: D103
    pass


@admin.command(help=_BACKUP_HELP, short_help="Write all that the mesh keeps into one file, while it runs.")
@click.argument("path", metavar="FILE|FOLDER", type=_PATH)
@click.option("--without-blobs", is_flag=True, help="Leave outputs and assets out.")
@_JSON
def backup(path: Path, *, without_blobs: bool, as_json: bool) -> None:  # noqa: D103
    settings, tell = _settings(), partial(click.echo, err=as_json)

    async def work(connection: Connection) -> None:
        made = await operation.back_up(connection, path, settings.artifacts_url, tell, blobs=not without_blobs)
        tell(f"Whole, of {made.began} to {made.ended}.")
        if made.artifacts != "nats":
            tell("Outputs and assets are in the store of COMFYMESH_ARTIFACTS_URL: copy that now, after this.")
        if as_json:
            click.echo(_line(made))

    _run(settings, work)


@admin.command(help=_VERIFY_HELP, short_help="Read a backup, and see whether it is whole and undamaged.")
@click.argument("path", metavar="FILE", type=_PATH)
@_JSON
def verify(path: Path, *, as_json: bool) -> None:  # noqa: D103
    try:
        with Reader(path) as reader:
            reader.verify()
            _describe(reader.manifest, as_json=as_json)
    except BackupError as error:
        raise _refused(error.reason, error) from error


@admin.command(help=_RESTORE_HELP, short_help="Put a backup back into an empty NATS server, while no service runs.")
@click.argument("path", metavar="FILE", type=_PATH)
@click.option("--replace", is_flag=True, help="Remove what is on the server.")
@click.option("--live", is_flag=True, help="Restore though services are connected.")
@_JSON
def restore(path: Path, *, replace: bool, live: bool, as_json: bool) -> None:  # noqa: D103
    settings, tell = _settings(), partial(click.echo, err=as_json)

    async def work(connection: Connection) -> None:
        made = await operation.restore(connection, path, settings.nats_replicas, tell, replace=replace, live=live)
        tell(f"Restored as of {made.began}. Now start the services.")
        if as_json:
            click.echo(_line(made))

    _run(settings, work)


def _describe(manifest: Manifest, *, as_json: bool) -> None:
    if as_json:
        click.echo(_line(manifest))
        return
    click.echo(f"Whole, of {manifest.began} to {manifest.ended}, NATS {manifest.server}, {manifest.id}.")
    for stream in manifest.streams:
        click.echo(f"{stream.name}: {stream.messages} messages, {stream.size} bytes")


def _line(manifest: Manifest) -> str:
    """What a backup holds, as one line of JSON."""
    streams = [
        {"name": stream.name, "messages": stream.messages, "size_bytes": stream.size} for stream in manifest.streams
    ]
    return json.dumps({**manifest.model_dump(exclude={"streams"}), "streams": streams})


def _settings() -> ServiceSettings:
    try:
        return ServiceSettings()
    except (ValidationError, SettingsError) as error:
        told = "; ".join(problems(error, ServiceSettings))
        raise _refused("SETTINGS_WRONG", f"These settings are wrong: {told}") from error


def _run(settings: ServiceSettings, work: Callable[[Connection], Awaitable[None]]) -> None:
    async def main() -> None:
        connection = await operation.connect(settings)
        try:
            await work(connection)
        finally:
            await connection.close()

    try:
        asyncio.run(main())
    except (BackupError, BusUnusableError) as error:
        raise _refused(error.reason, error) from error
    except BusError as error:
        raise _refused("NATS_UNAVAILABLE", error) from error


class _RefusedError(click.ClickException):
    """Told in words, or where the command was asked for JSON, as an object on stderr."""

    def __init__(self, text: str, reason: str, message: str) -> None:
        super().__init__(text)
        self._json = json.dumps({"reason": reason, "message": message})
        context = click.get_current_context(silent=True)
        self._as_json = context is not None and bool(context.params.get("as_json"))

    def show(self, file: IO[Any] | None = None) -> None:
        """Tell it."""
        if self._as_json:
            click.echo(self._json, file=file, err=True)
        else:
            super().show(file)


def _refused(reason: str, error: object) -> click.ClickException:
    return _RefusedError(f"{error}  [{reason}]", reason, str(error))
