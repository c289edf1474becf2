"""What the mesh asks of an artifact store, and which one a URL means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from comfymesh.artifacts.bus_store import BusStore
from comfymesh.artifacts.content import Content
from comfymesh.artifacts.object_store import ObjectStore
from comfymesh.artifacts.versions import Version
from comfymesh.bus.port import Bus

__all__ = ["BlobStore", "Range", "Version", "open_store", "read_all", "read_range"]


class BlobStore(Protocol):
    """Keeps blobs: bytes that are named by their owner and their SHA-256, and never change."""

    async def put(self, owner: str, content: Content) -> None:
        """Keep `content`. Once this has answered it is stored. Putting it again changes nothing that can be read.

        Raises:
            StoreFullError: there is no room.
            StoreUnavailableError: the store did not take it.
        """
        ...

    def read(self, owner: str, sha256: str, size_bytes: int, offset_bytes: int = 0) -> AsyncIterator[bytes]:
        """The bytes from `offset_bytes` on, in order, in pieces of at most CHUNK_BYTES.

        Raises:
            BlobMissingError: the store does not have them all.
            StoreUnavailableError: the store did not answer.
        """
        ...

    def versions(self, owner: str) -> AsyncIterator[Version]:
        """Everything that is kept for an owner and may be removed: nothing that was put a moment ago.

        Raises:
            StoreUnavailableError: the store did not answer.
        """
        ...

    async def remove(self, owner: str, version: Version) -> None:
        """Remove what was found, and nothing that was put since, however late this comes. Once is enough.

        Raises:
            StoreUnavailableError: the store did not answer.
        """
        ...

    async def sign(self, owner: str, sha256: str, lifetime: timedelta) -> str:
        """A URL from which anybody can get the bytes for that long; empty where the store has none to give.

        Raises:
            BlobMissingError: the store does not have them.
            StoreUnavailableError: the store did not answer.
        """
        ...


def open_store(url: str, bus: Bus) -> BlobStore:
    """The store at `url`: `nats:` for the message bus, or an object store's `file:///...`, `s3://...`, `gs://...`, `az://...`."""
    return BusStore(bus) if url.startswith("nats:") else ObjectStore.at(url)


async def read_all(store: BlobStore, owner: str, sha256: str, size_bytes: int) -> bytes:
    """A whole blob; for small ones."""
    return b"".join([piece async for piece in store.read(owner, sha256, size_bytes)])


@dataclass(frozen=True, slots=True)
class Range:
    """Which bytes of a blob: from `start`, up to and without `end`. Both within the blob."""

    start: int
    end: int

    @classmethod
    def within(cls, size_bytes: int, offset_bytes: int, length_bytes: int) -> Range:
        """So many bytes from an offset, as many as there are; a length of 0 means all."""
        end = min(size_bytes, offset_bytes + length_bytes) if length_bytes else size_bytes
        return cls(offset_bytes, end)


async def read_range(store: BlobStore, owner: str, sha256: str, wanted: Range) -> AsyncIterator[bytes]:
    """Some bytes of a blob, in order, in pieces of at most CHUNK_BYTES. Errors as of `BlobStore.read`."""
    left = wanted.end - wanted.start
    async for piece in store.read(owner, sha256, wanted.end, wanted.start):
        yield piece[:left]
        left -= min(left, len(piece))
