"""The command `comfymesh admin`: backups. It speaks to NATS, with the settings of the services."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
from pydantic import ValidationError

from comfymesh.backup import operation
from comfymesh.backup.archive import Reader
from comfymesh.backup.errors import BackupError
from comfymesh.backup.manifest import Manifest
from comfymesh.bus.connection import Connection
from comfymesh.bus.port import BusError
from comfymesh.bus.server import BusUnusableError
from comfymesh.runtime.settings import ServiceSettings

_PATH = click.Path(path_type=Path)


@click.group()
def admin() -> None:
    r"""Back up and restore what the mesh keeps on NATS.

    \b
    Speaks to NATS itself, with the settings of the services: COMFYMESH_NATS_URL, COMFYMESH_NATS_REPLICAS,
    COMFYMESH_NATS_TLS_*, COMFYMESH_ARTIFACTS_URL.
    """


@admin.command()
@click.argument("path", metavar="FILE|FOLDER", type=_PATH)
@click.option("--without-blobs", is_flag=True, help="Leave outputs and assets out.")
def backup(path: Path, *, without_blobs: bool) -> None:
    """Write all that the mesh keeps into one file, while it runs."""
    settings = _settings()

    async def work(connection: Connection) -> None:
        made = await operation.back_up(connection, path, settings.artifacts_url, click.echo, blobs=not without_blobs)
        click.echo(f"Whole, of {made.began} to {made.ended}.")
        if made.artifacts != "nats":
            click.echo("Outputs and assets are in the store of COMFYMESH_ARTIFACTS_URL: copy that now, after this.")

    _run(settings, work)


@admin.command()
@click.argument("path", metavar="FILE", type=_PATH)
def verify(path: Path) -> None:
    """Read a backup, and see whether it is whole and undamaged."""
    try:
        with Reader(path) as reader:
            reader.verify()
            _describe(reader.manifest)
    except BackupError as error:
        raise _refused(error.reason, error) from error


@admin.command()
@click.argument("path", metavar="FILE", type=_PATH)
@click.option("--replace", is_flag=True, help="Remove what is on the server.")
@click.option("--live", is_flag=True, help="Restore though services are connected.")
def restore(path: Path, *, replace: bool, live: bool) -> None:
    """Put a backup back into an empty NATS server, while no service runs."""
    settings = _settings()

    async def work(connection: Connection) -> None:
        made = await operation.restore(connection, path, settings.nats_replicas, click.echo, replace=replace, live=live)
        click.echo(f"Restored as of {made.began}. Now start the services.")

    _run(settings, work)


def _describe(manifest: Manifest) -> None:
    click.echo(f"Whole, of {manifest.began} to {manifest.ended}, NATS {manifest.server}, {manifest.id}.")
    for stream in manifest.streams:
        click.echo(f"{stream.name}: {stream.messages} messages, {stream.size} bytes")


def _settings() -> ServiceSettings:
    try:
        return ServiceSettings()
    except ValidationError as error:
        names = ", ".join(f"COMFYMESH_{problem['loc'][0]}".upper() for problem in error.errors())
        raise click.ClickException(f"These settings are wrong: {names}  [SETTINGS_WRONG]") from error


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


def _refused(reason: str, error: Exception) -> click.ClickException:
    return click.ClickException(f"{error}  [{reason}]")
