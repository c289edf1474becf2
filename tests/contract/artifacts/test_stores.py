"""What every artifact store promises: on the bus, in a directory, on an S3 server."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import obstore
import pytest
from obstore.store import LocalStore, MemoryStore

from comfymesh.artifacts.catalogs import CatalogMissingError, read_catalog, write_catalog
from comfymesh.artifacts.content import CHUNK_BYTES, Content, ContentTooLargeError
from comfymesh.artifacts.errors import BlobMissingError, StoreFullError, StoreUnavailableError
from comfymesh.artifacts.object_store import FRESH, ObjectStore
from comfymesh.artifacts.store import BlobStore, Range, Version, open_store, read_all, read_range
from comfymesh.bus.connection import Connection
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.nats import NatsServer
from comfymesh.testkit.s3 import BUCKET, s3_server
from comfymesh.testkit.waiting import DEADLINE
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
    async with (
        NatsServer(tmp_path) as server,
        # Each piece is synced, and disks may be slow.
        JetStreamBus(await Connection.open(server.url, "artifacts"), timeout=DEADLINE) as bus,
    ):
        await bus.ensure_streams()
        yield open_store("nats:", bus)


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with s3_server() as environment:
        yield environment


@pytest.fixture(params=["file", "memory", "jetstream", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BlobStore:
    match request.param:
        case "file":
            return open_store((tmp_path / "artifacts").as_uri(), MemoryBus())
        case "memory":
            return open_store("nats:", MemoryBus())
        case "s3":
            for name, value in request.getfixturevalue("s3").items():
                monkeypatch.setenv(name, value)
            # A folder for each test: they share the server.
            return open_store(f"s3://{BUCKET}/{tmp_path.name}", MemoryBus())
        case _:
            found: BlobStore = request.getfixturevalue("jetstream")
            return found


def later(store: BlobStore, seconds: float = 2 * FRESH) -> None:
    """For the store, some time has passed."""
    if isinstance(store, ObjectStore):
        clock = store._clock
        store._clock = lambda: clock() + seconds


def fetch(url: str, wanted: str) -> tuple[bytes, str]:
    with urlopen(Request(url, headers={"Range": wanted})) as answer:  # noqa: S310  # our own server
        return answer.read(), answer.headers["Content-Type"]


async def versions(store: BlobStore, owner: str = OWNER) -> list[Version]:
    return [version async for version in store.versions(owner)]


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


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 1), (5, 10), (CHUNK_BYTES - 1, 2), (CHUNK_BYTES, CHUNK_BYTES), (7, 2 * CHUNK_BYTES), (3, 0), (9, 10**12)],
)
async def test_a_range_has_exactly_its_bytes(store: BlobStore, offset: int, length: int) -> None:
    data = data_of(2 * CHUNK_BYTES + 100)
    sha256 = await keep(store, data)
    wanted = Range.within(len(data), offset, length)
    found = [piece async for piece in read_range(store, OWNER, sha256, wanted)]
    assert b"".join(found) == (data[offset : offset + length] if length else data[offset:])


async def test_what_was_found_is_removed(store: BlobStore) -> None:
    kept, gone = await keep(store, data_of(100)), await keep(store, data_of(CHUNK_BYTES + 1))
    later(store)
    for version in await versions(store):
        if version.sha256 == gone:
            await store.remove(OWNER, version)
            await store.remove(OWNER, version)  # once is enough, twice does no harm
    assert await read_all(store, OWNER, kept, 100) == data_of(100)
    with pytest.raises(BlobMissingError):
        await read_all(store, OWNER, gone, CHUNK_BYTES + 1)
    assert {version.sha256 for version in await versions(store)} == {kept}


async def test_what_was_put_again_outlives_the_removal_of_what_was_found_before(store: BlobStore) -> None:
    data = data_of(CHUNK_BYTES + 5)
    sha256 = await keep(store, data)
    later(store)
    found = await versions(store)
    await keep(store, data)
    for version in found:
        await store.remove(OWNER, version)
    assert await read_all(store, OWNER, sha256, len(data)) == data


async def test_a_reader_does_not_notice_that_a_blob_is_put_again_and_the_old_one_removed(store: BlobStore) -> None:
    data = data_of(3 * CHUNK_BYTES)
    sha256 = await keep(store, data)
    later(store)
    found, read = await versions(store), list[bytes]()
    async for piece in store.read(OWNER, sha256, len(data)):
        if not read:
            await keep(store, data)
            for version in found:
                await store.remove(OWNER, version)
        read.append(piece)
    assert b"".join(read) == data


async def test_of_a_blob_that_was_removed_no_folder_is_left(tmp_path: Path) -> None:
    store = ObjectStore.at((tmp_path / "artifacts").as_uri())
    await keep(store, b"data")
    later(store)
    for version in await versions(store):
        await store.remove(OWNER, version)
    assert [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file() or path.name != OWNER] == []
    await keep(store, b"data")


async def test_what_was_put_twice_has_one_version_too_many(tmp_path: Path) -> None:
    store = ObjectStore.at((tmp_path / "artifacts").as_uri())
    await keep(store, b"data")
    await keep(store, b"data")
    later(store)
    assert [version.superseded for version in await versions(store)] == [False]
    await keep(store, b"data")
    later(store)
    assert sorted(version.superseded for version in await versions(store)) == [False, True]


async def test_nothing_can_be_removed_that_was_put_a_moment_ago(tmp_path: Path) -> None:
    store = ObjectStore.at((tmp_path / "artifacts").as_uri())
    await keep(store, b"data")
    later(store, 2 * FRESH - 60)
    assert await versions(store) == []


async def test_the_versions_of_one_owner_are_not_those_of_another(store: BlobStore) -> None:
    await keep(store, b"mine", owner="somebody")
    later(store)
    assert await versions(store) == []


async def test_a_url_gives_the_bytes_to_whoever_has_it(store: BlobStore) -> None:
    sha256 = await keep(store, b"picture")
    url = await store.sign(OWNER, sha256, timedelta(minutes=5))
    if not url.startswith("http"):
        assert url == ""  # a store without HTTP says so
        return
    data, media_type = await asyncio.to_thread(fetch, url, "bytes=3-5")
    assert data == b"tur"
    # No store is told what the bytes are, so no browser shows them as a page.
    assert media_type in {"application/octet-stream", "binary/octet-stream"}
    with pytest.raises(BlobMissingError):
        await store.sign(OWNER, "0" * 64, timedelta(minutes=5))


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


@pytest.mark.parametrize(
    "place", [f"ab/{'ab' * 32}", "README", "a/b/c", f"{'ab' * 32}/by-hand", f"x/{'ab' * 32}/{'0' * 32}"]
)
async def test_what_the_store_has_not_put_is_passed_over(tmp_path: Path, place: str) -> None:
    """As of an earlier layout, or what somebody keeps beside the blobs."""
    foreign = tmp_path / "default" / place
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"somebody's")
    store = ObjectStore(LocalStore(tmp_path, automatic_cleanup=True), lambda: time.time() + 24 * 3600)
    with Content.of(b"ours") as content:
        await store.put("default", content)
        versions = [each async for each in store.versions("default")]
        assert [each.sha256 for each in versions] == [content.sha256]
    await store.remove("default", versions[0])
    assert foreign.read_bytes() == b"somebody's"


@pytest.mark.parametrize(("ahead", "kept"), [(3700.0, 2), (60.0, 1), (-30.0, 1), (-3600.0, 2)])
async def test_what_is_old_or_from_the_future_is_put_again(ahead: float, kept: int) -> None:
    backend = MemoryStore()
    with Content.of(b"the same") as content:
        await ObjectStore(backend).put("default", content)
        await ObjectStore(backend, lambda: time.time() + ahead).put("default", content)
    assert sum([len(page) async for page in obstore.list(backend, "default")]) == kept


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
        assert (content.size_bytes, content.head) == (30, bytes(30))


@pytest.mark.parametrize("problem", ["No space left on device (os error 28)", "Disk quota exceeded (os error 122)"])
async def test_a_store_without_room_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str) -> None:
    async def refuse(*_: object) -> None:
        raise OSError(f"Generic LocalFileSystem error: Unable to copy data to file: {problem}")

    monkeypatch.setattr("comfymesh.artifacts.object_store.obstore.put_async", refuse)
    with pytest.raises(StoreFullError):
        await keep(ObjectStore.at((tmp_path / "artifacts").as_uri()), b"data")
