"""Makes a backup, and restores one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from comfymesh.backup import plan
from comfymesh.backup.archive import Reader, Writer
from comfymesh.backup.errors import BackupError
from comfymesh.backup.manifest import Manifest, StreamBackup
from comfymesh.backup.snapshots import Snapshots
from comfymesh.bus.connection import Connection
from comfymesh.bus.streams import BLOBS, TASKS
from comfymesh.runtime.connect import nats_tls
from comfymesh.runtime.settings import ServiceSettings

_PART_BYTES = 8 * 1024 * 1024

Tell = Callable[[str], None]
"""Takes a line for people about what was done."""


async def connect(settings: ServiceSettings) -> Connection:
    """A connection to NATS, at once or not at all.

    Raises:
        BusUnavailableError, BusUnusableError: there is none.
    """
    return await Connection.open(settings.nats_url, "comfymesh-admin", tls=nats_tls(settings), patient=False)


async def back_up(
    connection: Connection, path: Path, artifacts_url: str, tell: Tell, *, blobs: bool = True
) -> Manifest:
    """Write all that the mesh keeps on NATS into a file; the mesh may run meanwhile.

    Args:
        connection: To NATS.
        path: The file, or a folder for it.
        artifacts_url: Where the mesh keeps outputs.
        tell: Is told what was done.
        blobs: Whether to take what is in BLOBS: outputs, assets.

    Raises:
        BackupError: it was not made; nothing is left of it.
        BusError: NATS did not answer.
    """
    began, snapshots, taken = _now(), Snapshots(connection), list[StreamBackup]()
    with Writer(_file(path, began)) as writer:
        for name in plan.KEPT:
            if (blobs or name != BLOBS.name) and await snapshots.found(name) is not None:
                taken.append(await _take(snapshots, name, writer))
                tell(f"{name}: {taken[-1].messages} messages, {taken[-1].size} bytes")
        if TASKS.name not in {stream.name for stream in taken}:
            raise BackupError(
                "NO_MESH", "there is no task log on this NATS server: is COMFYMESH_NATS_URL the right one?"
            )
        manifest = Manifest(
            id=uuid4().hex,
            began=began,
            ended=_now(),
            server=connection.server.version,
            artifacts=urlsplit(artifacts_url).scheme,
            streams=tuple(taken),
        )
        writer.finish(manifest)
    return manifest


def _file(path: Path, began: str) -> Path:
    return path / f"comfymesh-{began.translate({ord('-'): None, ord(':'): None})}.backup" if path.is_dir() else path


async def _take(snapshots: Snapshots, name: str, writer: Writer) -> StreamBackup:
    async with snapshots.take(name) as snapshot:
        parts = [writer.part(name, number, part) async for number, part in _numbered(snapshot.pieces)]
        return StreamBackup(name=name, config=snapshot.config, state=snapshot.state, parts=tuple(parts))


async def _numbered(pieces: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    """Pieces put together to parts, with their numbers."""
    number, held = 0, bytearray()
    async for piece in pieces:
        held += piece
        if len(held) >= _PART_BYTES:
            yield number, bytes(held)
            number, held = number + 1, bytearray()
    if held:
        yield number, bytes(held)


async def restore(
    connection: Connection, path: Path, replicas: int, tell: Tell, *, replace: bool = False, live: bool = False
) -> Manifest:
    """Put a backup back. Doing so again after it was cut off goes on with the streams that are missing.

    Args:
        connection: To NATS.
        path: The file.
        replicas: Copies of each stream from now on.
        tell: Is told what was done.
        replace: Whether what is there may go.
        live: Whether that holds though somebody uses it.

    Raises:
        BackupError: the file is damaged (nothing was touched then), something is in the way, or NATS does not take it.
        BusError: NATS did not answer.
    """
    with Reader(path) as reader:
        plan.check_known([stream.name for stream in reader.manifest.streams])
        reader.verify()
        snapshots = Snapshots(connection)
        found = {name: there for name in plan.LOOKED_AT if (there := await snapshots.found(name)) is not None}
        wanted, removed = plan.to_restore(reader.manifest, found, replace=replace, live=live)
        for stream in wanted:
            if stream.name in removed:
                await snapshots.remove(stream.name)
            config = plan.configuration(stream, reader.manifest.id, replicas)
            made = await snapshots.restore(stream.name, config, stream.state, reader.parts(stream))
            if made.last < stream.last_sequence:
                problem = f"{stream.name} ends at number {made.last} instead of {stream.last_sequence}"
                raise BackupError("RESTORE_INCOMPLETE", f"{problem}: remove it, and try again with --replace")
            tell(f"{stream.name}: {made.messages} messages, up to number {made.last}")
        return reader.manifest


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
