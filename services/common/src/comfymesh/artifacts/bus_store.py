"""Blobs on the message bus: the store that needs nothing beside it. One message a piece."""

from __future__ import annotations

from collections.abc import AsyncIterator

from comfymesh.artifacts.content import CHUNK_BYTES, Content
from comfymesh.artifacts.errors import BlobMissingError, StoreUnavailableError
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusUnavailableError, Entry
from comfymesh.bus.streams import BLOBS
from comfymesh.runtime.faultpoints import FaultPoint, reached

_PIPELINED = 8


class BusStore:
    """Keeps each piece of a blob as the one message of a subject of its own."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def put(self, owner: str, content: Content) -> None:
        """See BlobStore.put."""
        sha256, batch, index = content.sha256, list[Entry](), 0
        async for piece in content.chunks():
            batch.append(Entry(subjects.blob(owner, sha256, index), piece))
            index += 1
            if len(batch) == _PIPELINED:
                await self._append(batch)
                batch = []
        if batch:
            await self._append(batch)

    async def read(self, owner: str, sha256: str, size_bytes: int, offset_bytes: int = 0) -> AsyncIterator[bytes]:
        """See BlobStore.read."""
        skip = offset_bytes % CHUNK_BYTES
        for index in range(offset_bytes // CHUNK_BYTES, -(-size_bytes // CHUNK_BYTES)):
            yield (await self._piece(owner, sha256, index))[skip:]
            skip = 0

    async def _append(self, entries: list[Entry]) -> None:
        try:
            await self._bus.append(entries)
        except BusUnavailableError as error:
            raise StoreUnavailableError(str(error)) from error
        reached(FaultPoint.BLOB_STORED)

    async def _piece(self, owner: str, sha256: str, index: int) -> bytes:
        try:
            message = await self._bus.last(BLOBS, subjects.blob(owner, sha256, index))
        except BusUnavailableError as error:
            raise StoreUnavailableError(str(error)) from error
        if message is None:
            raise BlobMissingError(owner, sha256)
        return message.data
