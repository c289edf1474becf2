"""Bytes on their way into a store: counted and hashed as they come, in memory while few, on disk when many."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Self

CHUNK_BYTES = 512 * 1024
"""Bytes are moved in pieces of this size."""

_IN_MEMORY_BYTES = 8 * 1024 * 1024


class ContentTooLargeError(Exception):
    """More bytes came than are allowed."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"more than {limit} bytes")


class Content:
    """A sequence of bytes that is complete, hashed, and can be read as often as needed until it is closed."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115  # closed by close()
        self._hash = hashlib.sha256()
        self.size_bytes = 0
        self.head = b""

    @classmethod
    async def collect(cls, source: AsyncIterable[bytes], limit: int) -> Self:
        """Take in everything that `source` gives.

        Raises:
            ContentTooLargeError: it gives more than `limit` bytes.
        """
        content = cls()
        try:
            async for piece in source:
                await content._add(piece, limit)
        except BaseException:
            content.close()
            raise
        return content

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The content that `data` is."""
        content = cls()
        content._append(data)
        return content

    @property
    def sha256(self) -> str:
        """Hex digest of the bytes."""
        return self._hash.hexdigest()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes from the beginning, in pieces of CHUNK_BYTES and a last smaller one."""
        self._file.seek(0)
        while piece := await self._read():
            yield piece

    def close(self) -> None:
        """Drop the bytes."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _add(self, piece: bytes, limit: int) -> None:
        if self.size_bytes + len(piece) > limit:
            raise ContentTooLargeError(limit)
        if self.size_bytes + len(piece) > _IN_MEMORY_BYTES:
            await asyncio.to_thread(self._append, piece)
        else:
            self._append(piece)

    def _append(self, piece: bytes) -> None:
        self.head = self.head or piece[:64]
        self.size_bytes += len(piece)
        self._hash.update(piece)
        self._file.write(piece)

    async def _read(self) -> bytes:
        if self.size_bytes > _IN_MEMORY_BYTES:
            return await asyncio.to_thread(self._file.read, CHUNK_BYTES)
        return self._file.read(CHUNK_BYTES)
