"""Files to the real api and back: broken off, gone on with, by the SDK and the command line."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from comfymesh import names
from comfymesh.api import uploads as api_uploads
from comfymesh.bus import subjects
from comfymesh.bus.streams import BLOBS
from comfymesh.cli.main import cli
from comfymesh.client import (
    AsyncClient,
    Client,
    InvalidRequest,
    NotFound,
    RetryPolicy,
    ServerError,
    Unavailable,
    uploads,
)
from comfymesh.testkit.apis import BOOTSTRAP, LocalApi, find, local_api, request_type
from comfymesh.testkit.waiting import until
from comfymesh.wire.v1 import spec_pb2

if TYPE_CHECKING:
    from comfymesh.v1 import asset_service_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="module")

PART = 256 * 1024
SIZE = 5 * PART + 77
POLICY = RetryPolicy(connect_timeout=5.0, patience=5.0, first_pause=0.001, longest_pause=0.01)
IMPATIENT = RetryPolicy(connect_timeout=5.0, patience=0.2, first_pause=0.001, longest_pause=0.01)
FOR_GOOD = [0] * 1000
Comfymesh = Callable[..., Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalApi]:
    with pytest.MonkeyPatch.context() as patched:
        # What is large and what a part is, small enough to be quick.
        patched.setattr(api_uploads, "PART_BYTES", PART)
        patched.setattr(uploads, "RESUMABLE_BYTES", PART)
        patched.setattr(uploads, "CHUNK_BYTES", PART // 2)
        async with local_api(tmp_path_factory.mktemp("api")) as up:
            yield up


@pytest_asyncio.fixture(loop_scope="module")
async def client(api: LocalApi) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(api.target, api_key=BOOTSTRAP, retries=POLICY) as client:
        yield client


@pytest.fixture
def comfymesh(api: LocalApi, tmp_path: Path) -> Comfymesh:
    def call(*arguments: str, stdin: bytes = b"") -> Any:
        given = ["--target", api.target, "assets", *arguments]
        # A command runs a loop of its own.
        environment = {"COMFYMESH_API_KEY": BOOTSTRAP}
        return asyncio.to_thread(CliRunner(env=environment).invoke, cli, given, input=stdin)

    return call


def data_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Breaking:
    """A line that breaks behind so many messages, each time, once what they hold is where it can be gone on with."""

    def __init__(self, api: LocalApi, client: AsyncClient, after: list[int]) -> None:
        self.api, self.send, self.after, self.sent = api, client._transport.upload_asset, after, 0
        client._transport.upload_asset = self.upload  # type: ignore[method-assign]

    async def upload(self, requests: AsyncIterator[pb.UploadAssetRequest]) -> pb.UploadAssetResponse:
        most, count = self.after.pop(0) if self.after else 10**9, 0

        async def some() -> AsyncIterator[pb.UploadAssetRequest]:
            nonlocal count
            header, size = await anext(requests), 0
            yield header
            async for request in requests:
                if count == most:
                    await self._stored(header.header.upload, header.header.offset_bytes + size // PART * PART)
                    raise Unavailable("the line broke", reason="STREAM_BROKEN", code="UNAVAILABLE")
                count += 1
                size += len(request.data)
                self.sent += len(request.data)
                yield request

        return await self.send(some())

    async def _stored(self, upload: str, size: int) -> None:
        subject = subjects.upload("default", names.parse_upload(upload))

        async def stored() -> bool:
            message = await self.api.bus.last(BLOBS, subject)
            record = spec_pb2.UploadRecord.FromString(message.data if message else b"")
            return sum(part.size_bytes for part in record.parts) == size

        await until(stored, "the parts")


async def test_a_large_file_goes_on_where_it_broke(api: LocalApi, client: AsyncClient, tmp_path: Path) -> None:
    data = data_of(SIZE)
    (tmp_path / "large.bin").write_bytes(data)
    line, told = Breaking(api, client, [5, 3, 0]), list[tuple[int, int]]()
    asset = await client.upload(tmp_path / "large.bin", on_progress=lambda *so_far: told.append(so_far))
    assert (asset.name, asset.size_bytes, asset.filename) == (f"assets/{digest(data)}", SIZE, "large.bin")
    # Of five messages half a part is lost, of three more another half; unless the server took the break for the end and
    # stored that as well.
    assert SIZE <= line.sent <= SIZE + PART
    assert told[-1] == (SIZE, SIZE)
    sent = line.sent
    assert await client.upload(tmp_path / "large.bin") == asset
    assert line.sent == sent


async def test_another_process_goes_on_with_a_file(api: LocalApi, tmp_path: Path) -> None:
    data = data_of(SIZE + 1)
    async with AsyncClient(api.target, api_key=BOOTSTRAP, retries=IMPATIENT) as first:
        Breaking(api, first, [8, *FOR_GOOD])
        with pytest.raises(Unavailable):
            await first.upload(data)
    async with AsyncClient(api.target, api_key=BOOTSTRAP, retries=POLICY) as second:
        line = Breaking(api, second, [])
        assert (await second.upload(data)).sha256 == digest(data)
        assert line.sent == SIZE + 1 - 4 * PART


async def test_two_who_upload_one_file_both_get_it(api: LocalApi) -> None:
    data = data_of(SIZE + 2)
    async with (
        AsyncClient(api.target, api_key=BOOTSTRAP, retries=POLICY) as one,
        AsyncClient(api.target, api_key=BOOTSTRAP, retries=POLICY) as other,
    ):
        Breaking(api, one, [])
        Breaking(api, other, [])
        found = await asyncio.gather(one.upload(data, filename="a"), other.upload(data, filename="b"))
    assert {asset.sha256 for asset in found} == {digest(data)}


async def test_who_is_refused_does_not_try_for_ever(client: AsyncClient) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await client.upload(data_of(SIZE + 3), filename="../x")
    assert caught.value.reason == "INPUT_INVALID"


def breaking(client: AsyncClient, sizes: list[int]) -> list[int]:
    """Reading breaks off after so many bytes, each time; answers where it began."""
    read, begun = client._asset, list[int]()

    async def some(name: str, offset: int) -> AsyncGenerator[bytes]:
        begun.append(offset)
        left = sizes.pop(0) if sizes else 10**9
        async for piece in read(name, offset):
            if left > 0:
                yield piece[:left]
            left -= len(piece)
            if left <= 0:
                raise Unavailable("the line broke", reason="STREAM_BROKEN", code="UNAVAILABLE")

    client._asset = some  # type: ignore[method-assign]
    return begun


async def test_a_download_goes_on_where_it_broke(client: AsyncClient, tmp_path: Path) -> None:
    data, told = data_of(SIZE), list[int]()
    asset = await client.upload(data, filename="large.bin")
    begun = breaking(client, [1000, 500])
    path = await client.download(asset, tmp_path / "new", on_progress=lambda done, _: told.append(done))
    assert (path.name, path.read_bytes()) == ("large.bin", data)
    assert begun == [0, 1000, 1500]
    assert told == sorted(told)
    assert list((tmp_path / "new").iterdir()) == [path]


async def test_another_process_goes_on_with_a_download(api: LocalApi, client: AsyncClient, tmp_path: Path) -> None:
    data = data_of(SIZE + 4)
    asset = await client.upload(data, filename="large.bin")
    async with AsyncClient(api.target, api_key=BOOTSTRAP, retries=IMPATIENT) as first:
        breaking(first, [4321, *FOR_GOOD])
        with pytest.raises(Unavailable):
            await first.download(asset, tmp_path)
    begun = breaking(client, [])
    assert (await client.download(asset, tmp_path)).read_bytes() == data
    assert begun == [4321]


async def test_what_is_damaged_is_not_kept(client: AsyncClient, tmp_path: Path) -> None:
    asset = await client.upload(b"twelve bytes", filename="a.txt")
    part = tmp_path / f".{asset.sha256[:32]}.part"
    part.write_bytes(b"other")
    with pytest.raises(ServerError) as caught:
        await client.download(asset, tmp_path)
    assert caught.value.reason == "CONTENT_MISMATCH"
    assert not part.exists()
    assert (await client.download(asset, tmp_path)).read_bytes() == b"twelve bytes"


@pytest.mark.parametrize("data", [b"", b"short"])
async def test_a_download_takes_no_other_files_place(client: AsyncClient, tmp_path: Path, data: bytes) -> None:
    asset = await client.upload(data, filename="a.txt")
    (tmp_path / "a.txt").write_text("mine")
    first, second = [await client.download(asset.name, tmp_path) for _ in range(2)]
    assert first == second == tmp_path / "a-1.txt"
    assert (first.read_bytes(), (tmp_path / "a.txt").read_text()) == (data, "mine")


async def test_assets_are_listed_looked_at_and_removed(client: AsyncClient) -> None:
    asset = await client.upload(b"to be removed", filename="a.txt")
    assert asset in [each async for each in client.assets(page_size=2)]
    assert await client.asset(asset.sha256) == asset
    await client.delete_asset(asset)
    for call in (client.asset(asset), client.delete_asset(asset)):
        with pytest.raises(NotFound):
            await call
    with pytest.raises(InvalidRequest, match="SIGNED_URL_UNSUPPORTED"):
        await client.download_url(await client.upload(b"no url"))


async def test_programs_without_asyncio_can_do_the_same(api: LocalApi, tmp_path: Path) -> None:
    def work() -> None:
        with Client(api.target, api_key=BOOTSTRAP, retries=POLICY) as client:
            asset = client.upload(b"in a thread", filename="a.txt", on_progress=lambda *_: None)
            assert client.asset(asset) == asset
            assert asset in list(client.assets())
            assert client.download(asset, tmp_path).read_bytes() == b"in a thread"
            with pytest.raises(InvalidRequest, match="SIGNED_URL_UNSUPPORTED"):
                client.download_url(asset)
            client.delete_asset(asset)

    await asyncio.to_thread(work)


async def test_uploads_that_broke_off_are_given_up(
    api: LocalApi, comfymesh: Comfymesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "video.bin").write_bytes(b"a video")

    def work() -> None:
        with Client(api.target, api_key=BOOTSTRAP, retries=POLICY) as client:
            with pytest.raises(NotFound):
                client.abort_upload(tmp_path / "video.bin")
            with pytest.raises(InvalidRequest, match="FILE_UNREADABLE"):
                client.abort_upload(tmp_path / "absent.bin")

    await asyncio.to_thread(work)
    begin = request_type(find("AssetService/BeginUpload"))(sha256=digest(b"a video"), size_bytes=7)
    await api.call("AssetService/BeginUpload", begin)
    file = str(tmp_path / "video.bin")
    assert (await comfymesh("abort", file)).output == f"{file}: no longer under way\n"
    await api.call("AssetService/BeginUpload", begin)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "uploads").mkdir()
    (tmp_path / "video.bin").rename("uploads/video.bin")
    assert (await comfymesh("abort", "uploads/video.bin")).exit_code == 0, "a file in a folder of that name is a file"
    assert (await comfymesh("abort", f"uploads/{digest(b'a video')}")).exit_code == 0, "it may be repeated"
    never = await comfymesh("abort", f"uploads/{digest(b'another')}", "--json")
    assert (never.exit_code, "UPLOAD_NOT_FOUND" in never.output) == (2, True)


async def test_the_command_line_brings_files_and_gets_them(comfymesh: Comfymesh, tmp_path: Path) -> None:
    (tmp_path / "photo.bin").write_bytes(b"a photo")
    name = f"assets/{digest(b'a photo')}"
    assert outcome(await comfymesh("upload", str(tmp_path / "photo.bin"))) == (0, name)
    told = await comfymesh("upload", "-", "--name", "other.bin", "--json", stdin=b"a photo")
    assert json.loads(told.stdout)["filename"] == "other.bin"
    assert "other.bin" in (await comfymesh("list")).stdout
    assert json.loads((await comfymesh("list", "--json", "--limit", "1000")).stdout.splitlines()[-1])["name"] == name
    assert json.loads((await comfymesh("get", name[7:15], "--json")).stdout)["size_bytes"] == 7
    assert "other.bin" in (await comfymesh("get", name)).stdout
    path = tmp_path / "out" / "other.bin"
    assert outcome(await comfymesh("download", name[7:15], "--out", str(path.parent))) == (0, str(path))
    assert path.read_bytes() == b"a photo"
    assert outcome(await comfymesh("delete", name[7:])) == (0, f"{name} deleted")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("get", "0" * 64), 2, "ASSET_NOT_FOUND"),
        (("get", "0" * 10), 2, "no asset begins with assets/0000000000"),
        (("delete", "0" * 64, "1" * 64), 2, "ASSET_NOT_FOUND"),
        (("download", "tasks/none/artifacts/0"), 2, "ARTIFACT_NOT_FOUND"),
        (("upload", "/nowhere"), 2, "FILE_UNREADABLE"),
        (("upload", "a", "b", "--name", "c"), 2, "--name is for one file"),
        (("url", "0" * 64, "--lifetime", "soon"), 2, "not a duration"),
    ],
)
async def test_what_goes_wrong_is_told_with_an_exit_code(
    comfymesh: Comfymesh, arguments: tuple[str, ...], code: int, said: str
) -> None:
    result: Result = await comfymesh(*arguments)
    assert result.exit_code == code, result.output
    assert said in result.stderr


async def test_a_folder_that_cannot_be_written_is_told(comfymesh: Comfymesh, tmp_path: Path) -> None:
    await comfymesh("upload", "-", stdin=b"nowhere to go")
    (tmp_path / "file").write_text("")
    result = await comfymesh("download", digest(b"nowhere to go"), "--out", str(tmp_path / "file" / "out"))
    assert (result.exit_code, "--out" in result.stderr) == (1, True)


def outcome(result: Result) -> tuple[int, str]:
    return result.exit_code, result.stdout.strip()
