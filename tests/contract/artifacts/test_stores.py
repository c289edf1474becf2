"""What every artifact store promises: on the bus, in a directory."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comfymesh.artifacts.catalogs import CatalogMissingError, read_catalog, write_catalog
from comfymesh.artifacts.content import CHUNK_BYTES, Content, ContentTooLargeError
from comfymesh.artifacts.errors import BlobMissingError, StoreUnavailableError
from comfymesh.artifacts.object_store import ObjectStore
from comfymesh.artifacts.store import BlobStore, open_store, read_all
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.nats import NatsServer
from comfymesh.wire.v1 import spec_pb2

OWNER = "default"
SIZES = {
    "nothing": 0,
    "one byte": 1,
    "a piece": CHUNK_BYTES,
    "a piece and a byte": CHUNK_BYTES + 1,
    "more than is kept in memory": 8 * 1024 * 1024 + 12345,
}


@pytest.fixture
async def jetstream(tmp_path: Path) -> AsyncIterator[BlobStore]:
    async with NatsServer(tmp_path) as server, await JetStreamBus.open(server.url, "artifacts") as bus:
        yield open_store("nats:", bus)


@pytest.fixture(params=["file", "memory", "jetstream"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    match request.param:
        case "file":
            return open_store((tmp_path / "artifacts").as_uri(), MemoryBus())
        case "memory":
            return open_store("nats:", MemoryBus())
        case _:
            found: BlobStore = request.getfixturevalue("jetstream")
            return found


def data_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


async def keep(store: BlobStore, data: bytes, owner: str = OWNER) -> str:
    with Content.of(data) as content:
        await store.put(owner, content)
        return content.sha256


async def read(store: BlobStore, sha256: str, size: int, offset: int = 0) -> list[bytes]:
    return [piece async for piece in store.read(OWNER, sha256, size, offset)]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
async def test_what_was_put_comes_back_in_pieces_of_bounded_size(store: BlobStore, size: int) -> None:
    data = data_of(size)
    sha256 = await keep(store, data)
    pieces = await read(store, sha256, size)
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert b"".join(pieces) == data
    assert all(0 < len(piece) <= CHUNK_BYTES for piece in pieces)


@pytest.mark.parametrize("offset", [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 100])
async def test_reading_begins_at_any_offset(store: BlobStore, offset: int) -> None:
    data = data_of(3 * CHUNK_BYTES + 100)
    sha256 = await keep(store, data)
    assert b"".join(await read(store, sha256, len(data), offset)) == data[offset:]


async def test_putting_the_same_again_changes_nothing(store: BlobStore) -> None:
    data = data_of(2 * CHUNK_BYTES)
    assert await keep(store, data) == await keep(store, data)
    assert await read_all(store, OWNER, hashlib.sha256(data).hexdigest(), len(data)) == data


async def test_what_was_never_put_is_missing(store: BlobStore) -> None:
    with pytest.raises(BlobMissingError):
        await read(store, "0" * 64, 10)


async def test_a_blob_that_is_shorter_than_it_should_be_is_missing(store: BlobStore) -> None:
    sha256 = await keep(store, data_of(100))
    with pytest.raises(BlobMissingError):
        await read(store, sha256, CHUNK_BYTES + 100)


async def test_the_blobs_of_one_owner_are_not_those_of_another(store: BlobStore) -> None:
    sha256 = await keep(store, b"mine", owner="somebody")
    with pytest.raises(BlobMissingError):
        await read(store, sha256, 4)


async def test_a_catalog_comes_back_as_it_was(store: BlobStore) -> None:
    info = b'{"A": {"input": {"required": {"x": ["INT", {"default": 18446744073709551615}]}}, "output": ["IMAGE"]}}'
    blob = await write_catalog(store, info)
    catalog = await read_catalog(store, blob)
    assert set(catalog.classes) == {"A"}
    assert blob.size_bytes > 0


@pytest.mark.parametrize("text", [b"[]", b"not JSON"])
async def test_what_is_no_catalog_is_not_taken_for_one(store: BlobStore, text: bytes) -> None:
    with pytest.raises(CatalogMissingError):
        await read_catalog(store, await write_catalog(store, text))


async def test_a_catalog_that_is_nowhere_is_missing(store: BlobStore) -> None:
    with pytest.raises(CatalogMissingError):
        await read_catalog(store, spec_pb2.BlobRef(sha256="0" * 64, size_bytes=10))


async def test_a_store_that_does_not_answer_is_unavailable() -> None:
    bus = MemoryBus()
    store = open_store("nats:", bus)
    sha256 = await keep(store, b"data")
    with bus.away():
        with pytest.raises(StoreUnavailableError):
            await keep(store, b"more")
        with pytest.raises(StoreUnavailableError):
            await read(store, sha256, 4)


async def test_a_directory_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    store = ObjectStore.at((tmp_path / "artifacts").as_uri())
    (tmp_path / "artifacts" / OWNER).write_text("a file where a directory should be")
    with pytest.raises(StoreUnavailableError):
        await keep(store, b"data")


async def test_content_beyond_its_limit_is_refused() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(10)

    with pytest.raises(ContentTooLargeError):
        await Content.collect(pieces(), 29)
    with await Content.collect(pieces(), 30) as content:
        assert (content.size_bytes, content.head) == (30, bytes(10))
