"""Bytes on their way into a store: counted and hashed as they come, in memory while few, on disk when many."""

from __future__ import annotations

import asyncio
import errno
import hashlib
from collections.abc import AsyncIterable, AsyncIterator
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Self

from comfymesh.artifacts.errors import StoreFullError

CHUNK_BYTES = 512 * 1024
"""Bytes are moved in pieces of this size."""

HEAD_BYTES = 64
"""So many of the first bytes are kept apart: enough to see which kind of file it is."""

_IN_MEMORY_BYTES = 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT)


class ContentTooLargeError(Exception):
    """More bytes came than are allowed."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"more than {limit} bytes")


class Content:
    """A sequence of bytes that is complete, hashed, and can be read as often as needed until it is closed."""

    def __init__(self, in_memory: int = _IN_MEMORY_BYTES) -> None:
        self._in_memory = in_memory
        self._file = SpooledTemporaryFile(max_size=in_memory)  # noqa: SIM115  # closed by close()
        self._hash = hashlib.sha256()
        self.size_bytes = 0
        self.head = b""

    @classmethod
    async def collect(cls, source: AsyncIterable[bytes], limit: int) -> Self:
        """Take in everything that `source` gives.

        Raises:
            ContentTooLargeError: it gives more than `limit` bytes.
            StoreFullError: they do not fit on the disk here.
        """
        content = cls()
        try:
            async for piece in source:
                await content._add(piece, limit)
        except OSError as error:
            content.close()
            if error.errno in _FULL:
                raise StoreFullError(f"the folder for temporary files has no room: {error.strerror}") from error
            raise
        except BaseException:
            content.close()
            raise
        return content

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The content that `data` is, which is in memory anyway."""
        content = cls(len(data))
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
        if self.size_bytes + len(piece) > self._in_memory:
            await asyncio.to_thread(self._append, piece)
        else:
            self._append(piece)

    def _append(self, piece: bytes) -> None:
        if (missing := HEAD_BYTES - len(self.head)) > 0:
            self.head += piece[:missing]
        self.size_bytes += len(piece)
        self._hash.update(piece)
        self._file.write(piece)

    async def _read(self) -> bytes:
        if self.size_bytes > self._in_memory:
            return await asyncio.to_thread(self._file.read, CHUNK_BYTES)
        return self._file.read(CHUNK_BYTES)
