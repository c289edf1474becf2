"""What the mesh asks of an artifact store, and which one a URL means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from comfymesh.artifacts.bus_store import BusStore
from comfymesh.artifacts.content import Content
from comfymesh.artifacts.object_store import ObjectStore
from comfymesh.bus.port import Bus


class BlobStore(Protocol):
    """Keeps blobs: bytes that are named by their owner and their SHA-256, and never change."""

    async def put(self, owner: str, content: Content) -> None:
        """Keep `content`. Once this has answered it is stored. Putting it again changes nothing.

        Raises:
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


def open_store(url: str, bus: Bus) -> BlobStore:
    """The store at `url`: `nats:` for the message bus, or an object store's `file:///...`, `s3://...`, `gs://...`, `az://...`."""
    return BusStore(bus) if url.startswith("nats:") else ObjectStore.at(url)


async def read_all(store: BlobStore, owner: str, sha256: str, size_bytes: int) -> bytes:
    """A whole blob; for small ones."""
    return b"".join([piece async for piece in store.read(owner, sha256, size_bytes)])
