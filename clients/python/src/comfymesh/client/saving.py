"""Brings assets and artifacts into files, however large, and goes on where an earlier try broke."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from comfymesh.client import files
from comfymesh.client.errors import ServerError, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from comfymesh.client.retries import Server
    from comfymesh.client.uploads import OnBytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to bring.

    Attributes:
        name: Resource name.
        filename: What to call it.
        size_bytes: How many bytes there are.
        sha256: Their hash, lowercase hex.
        read: Begins a stream of the bytes from an offset on.
    """

    name: str
    filename: str
    size_bytes: int
    sha256: str
    read: Callable[[int], AsyncGenerator[bytes]]


async def save(wanted: Wanted, server: Server, directory: Path, report: OnBytes) -> Path:
    """Brings it into a directory.

    What has come is kept beside the file to be, under a name that begins with a dot, so that the next call goes on
    there, even if it is another process's.

    Args:
        wanted: What to bring.
        server: How patient to be with it.
        directory: Where to; made when it does not exist.
        report: Called with the bytes that are there, and how many there are.

    Returns:
        Path of the file.

    Raises:
        ServerError: What came does not have the hash that the server told (CONTENT_MISMATCH).
        ComfyMeshError: The call was refused, or the server stayed away for too long.
        OSError: The file can't be written.
    """
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    part = directory / f".{wanted.sha256[:32]}.part"
    retrier = server.retrier()
    while True:
        try:
            await _go_on(wanted, part, report, retrier.succeeded)
            break
        except Unavailable as error:
            await retrier.failed(error)
    await asyncio.to_thread(_check, part, wanted)
    return await asyncio.to_thread(files.settle, part, directory, wanted.filename)


async def _go_on(wanted: Wanted, part: Path, report: OnBytes, came: Callable[[], None]) -> None:
    with part.open("ab") as file:
        offset = file.tell()
        if offset > wanted.size_bytes:
            offset = 0
            file.truncate(0)
        report(offset, wanted.size_bytes)
        if offset == wanted.size_bytes:
            return
        async with aclosing(wanted.read(offset)) as pieces:
            async for piece in pieces:
                came()
                await asyncio.to_thread(file.write, piece)
                offset += len(piece)
                report(offset, wanted.size_bytes)


def _check(part: Path, wanted: Wanted) -> None:
    with part.open("rb") as file:
        received = hashlib.file_digest(file, "sha256").hexdigest()
    if received == wanted.sha256:
        return
    part.unlink()
    raise ServerError(
        f"{wanted.name} arrived damaged: its bytes have another hash than the server told. Download it again.",
        reason="CONTENT_MISMATCH",
        metadata={"expected": wanted.sha256, "received": received},
    )
