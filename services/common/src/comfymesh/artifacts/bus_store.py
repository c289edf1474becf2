"""Blobs on the message bus: the store that needs nothing beside it. One message a piece."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import TypeVar

from comfymesh.artifacts.content import CHUNK_BYTES, Content
from comfymesh.artifacts.errors import BlobMissingError, StoreFullError, StoreUnavailableError
from comfymesh.artifacts.versions import Version
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusFullError, BusUnavailableError, Entry
from comfymesh.bus.streams import BLOBS
from comfymesh.runtime.faultpoints import FaultPoint, reached

_PIPELINED = 8

T = TypeVar("T")


class BusStore:
    """Keeps each piece of a blob as the one message of a subject of its own.

    Putting a blob again stores its pieces again, behind everything that was there. So what was found at some moment can
    be removed up to the end of the stream at that moment, and what was put since stays.
    """

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

    async def versions(self, owner: str) -> AsyncIterator[Version]:
        """See BlobStore.versions."""
        # The end first: what is put while the subjects are read is behind it.
        end = (await _answer(self._bus.state(BLOBS))).last
        pieces = await _answer(self._bus.subjects(BLOBS, subjects.blob(owner, "*", "*")))
        for sha256 in sorted({subjects.parse_owned(piece)[1] for piece in pieces}):
            yield Version(sha256, until=end)

    async def remove(self, owner: str, version: Version) -> None:
        """See BlobStore.remove."""
        pieces = subjects.blob(owner, version.sha256, "*")
        await _answer(self._bus.purge(BLOBS, pieces, version.until))

    async def sign(self, owner: str, sha256: str, lifetime: timedelta) -> str:  # noqa: ARG002  # the contract's
        """See BlobStore.sign. NATS speaks no HTTP."""
        return ""

    async def _append(self, entries: list[Entry]) -> None:
        await _answer(self._bus.append(entries))
        reached(FaultPoint.BLOB_STORED)

    async def _piece(self, owner: str, sha256: str, index: int) -> bytes:
        message = await _answer(self._bus.last(BLOBS, subjects.blob(owner, sha256, index)))
        if message is None:
            raise BlobMissingError(owner, sha256)
        return message.data


async def _answer(call: Awaitable[T]) -> T:
    """What the bus answers, in the words of a store where it does not."""
    try:
        return await call
    except BusFullError as error:
        raise StoreFullError(str(error)) from error
    except BusUnavailableError as error:
        raise StoreUnavailableError(str(error)) from error
