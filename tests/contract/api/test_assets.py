"""Assets over the wire: uploads that break and go on, ranges, lists, and callers who mean no good."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import json
import random
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from comfymesh import names
from comfymesh.api import assets, uploads
from comfymesh.artifacts.content import Content
from comfymesh.artifacts.errors import StoreFullError
from comfymesh.bus import subjects
from comfymesh.client import AsyncClient
from comfymesh.tasks.events import Started, Succeeded
from comfymesh.tasks.record import Artifact, ArtifactKind, Key
from comfymesh.testkit.apis import BOOTSTRAP, GRAPH, Bus, LocalApi, Refused, find, local_api, request_type
from comfymesh.testkit.s3 import BUCKET, s3_server
from comfymesh.testkit.tasks import NOW, assigned
from comfymesh.testkit.waiting import until
from comfymesh.v1 import asset_service_pb2, task_pb2, tenant_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

PART = uploads.PART_BYTES
MESSAGE = 1024 * 1024
ABSENT = "0" * 64


def data_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def request(method: str, **fields: Any) -> Any:
    return request_type(find(f"AssetService/{method}"))(**fields)


async def call(api: LocalApi, method: str, secret: str = BOOTSTRAP, **fields: Any) -> Any:
    return await api.call(f"AssetService/{method}", request(method, **fields), secret)


def messages(data: bytes, **header: Any) -> list[Any]:
    first = request("UploadAsset", header=asset_service_pb2.UploadAssetHeader(**header))
    return [first, *(request("UploadAsset", data=data[at : at + MESSAGE]) for at in range(0, len(data), MESSAGE))]


async def send(api: LocalApi, data: bytes, secret: str = BOOTSTRAP, **header: Any) -> Any:
    return (await api.call("AssetService/UploadAsset", messages(data, **header), secret)).asset


async def begin(api: LocalApi, data: bytes, secret: str = BOOTSTRAP) -> Any:
    answer = await call(api, "BeginUpload", secret, filename="a.bin", sha256=digest(data), size_bytes=len(data))
    return answer.upload if answer.HasField("upload") else answer.asset


async def die_behind(api: LocalApi, data: bytes, size: int, committed: int) -> None:
    """A client that sends so much of its data and is gone; waits until so much of that is stored."""
    upload = await begin(api, data)
    path = "/comfymesh.v1.AssetService/UploadAsset"
    method: Any = api.channel.stream_unary(path, lambda message: message.SerializeToString(), None)
    stream = method(metadata=(("authorization", f"Bearer {BOOTSTRAP}"),))
    for message in messages(data[:size], upload=upload.name, offset_bytes=upload.committed_bytes):
        await stream.write(message)

    async def stored() -> bool:
        return bool((await begin(api, data)).committed_bytes == committed)

    await until(stored, "the part")
    stream.cancel()


async def read(api: LocalApi, sha256: str, **fields: Any) -> bytes:
    told = await call(api, "ReadAsset", name=names.asset(sha256), **fields)
    assert told[0].asset.sha256 == sha256
    return b"".join(message.data for message in told)


async def refused(api: LocalApi, method: str, given: Any, secret: str = BOOTSTRAP) -> Refused:
    with pytest.raises(Refused) as caught:
        await api.call(f"AssetService/{method}", given, secret)
    return caught.value


async def test_an_interrupted_upload_goes_on_where_it_was(api: LocalApi) -> None:
    data = data_of(2 * PART + 1000)
    await die_behind(api, data, PART + MESSAGE, PART)
    upload = await begin(api, data)
    assert (upload.name, upload.committed_bytes, upload.size_bytes) == (names.upload(digest(data)), PART, len(data))
    asset = await send(api, data[PART:], upload=upload.name, offset_bytes=PART)
    assert (asset.sha256, asset.size_bytes, asset.filename) == (digest(data), len(data), "a.bin")
    assert await read(api, asset.sha256) == data
    assert (await begin(api, data)).name == asset.name  # nothing is to be sent any more


async def test_an_upload_goes_on_at_another_replica_and_after_a_restart(tmp_path: Path) -> None:
    data, bus = data_of(2 * PART + 2000), Bus()
    async with local_api(tmp_path, bus) as first:
        await die_behind(first, data, PART, PART)
        async with local_api(tmp_path, bus) as other:
            assert (await begin(other, data)).committed_bytes == PART
            await die_behind(other, data, 0, PART)
    async with local_api(tmp_path, bus) as again:
        upload = await begin(again, data)
        assert (await send(again, data[PART:], upload=upload.name, offset_bytes=PART)).sha256 == digest(data)
        assert await read(again, digest(data)) == data


async def test_what_was_all_sent_and_not_put_together_needs_nothing_more(api: LocalApi) -> None:
    data = data_of(2 * PART)
    await die_behind(api, data, 2 * PART, 2 * PART)
    asset = await send(api, b"", upload=names.upload(digest(data)), offset_bytes=len(data))
    assert asset.sha256 == digest(data)


async def test_of_two_who_move_one_upload_one_is_told_where_it_stands(api: LocalApi) -> None:
    data = data_of(PART + 3000)
    await die_behind(api, data, PART, PART)
    told = await refused(api, "UploadAsset", messages(data, upload=names.upload(digest(data))))
    assert (told.code, told.reason) == ("ABORTED", "UPLOAD_CONFLICT")
    assert told.metadata == {"upload": names.upload(digest(data)), "committed_bytes": str(PART)}
    both = [send(api, data[PART:], upload=names.upload(digest(data)), offset_bytes=PART) for _ in range(2)]
    ends = await asyncio.gather(*both, return_exceptions=True)
    # They may not meet at all; then the second finds that nothing is under way any more.
    assert {end.reason if isinstance(end, Refused) else "OK" for end in ends} <= {
        *("OK", "UPLOAD_CONFLICT", "UPLOAD_NOT_FOUND"),
    }
    assert any(not isinstance(end, BaseException) for end in ends)
    assert await read(api, digest(data)) == data


async def test_an_upload_of_other_bytes_than_announced_is_refused_and_begins_anew(api: LocalApi) -> None:
    data, other = data_of(PART + 10), data_of(PART + 11)[: PART + 10]
    upload = await begin(api, data)
    told = await refused(api, "UploadAsset", messages(other, upload=upload.name))
    assert (told.reason, told.metadata) == ("CONTENT_MISMATCH", {"expected": digest(data), "received": digest(other)})
    assert (await begin(api, data)).committed_bytes == 0
    assert (await send(api, data, upload=upload.name)).sha256 == digest(data)


@pytest.mark.parametrize(("sent", "reason"), [(500, "CONTENT_MISMATCH"), (700, "CONTENT_MISMATCH")])
async def test_an_upload_of_another_size_than_announced_is_refused(api: LocalApi, sent: int, reason: str) -> None:
    data = data_of(600)
    upload = await begin(api, data)
    more = messages((data * 2)[upload.committed_bytes : sent], upload=upload.name, offset_bytes=upload.committed_bytes)
    told = await refused(api, "UploadAsset", more)
    assert told.reason == reason
    assert told.metadata["expected"] == "600"


async def test_a_size_beyond_the_limit_is_refused_before_a_byte_is_sent(api: LocalApi) -> None:
    told = await refused(api, "BeginUpload", request("BeginUpload", sha256=ABSENT, size_bytes=2**62))
    assert (told.code, told.reason) == ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE")


async def test_uploads_under_way_count_for_the_quota(tmp_path: Path) -> None:
    data = data_of(PART + 1000)
    async with local_api(tmp_path) as api:
        secret = await api.tenant("small", limits=tenant_pb2.Limits(max_stored_bytes=PART + 500))
        told = await refused(
            api, "BeginUpload", request("BeginUpload", sha256=digest(data), size_bytes=len(data)), secret
        )
        assert (told.reason, told.metadata["quota"]) == ("QUOTA_EXCEEDED", "max_stored_bytes")
        upload = await begin(api, data[:PART], secret)
        short = messages(data[: PART - 1], upload=upload.name)
        assert (await refused(api, "UploadAsset", short, secret)).reason == "CONTENT_MISMATCH"

        async def full() -> bool:
            given = request("BeginUpload", sha256=ABSENT, size_bytes=600)
            try:
                await api.call("AssetService/BeginUpload", given, secret)
            except Refused as error:
                return error.reason == "QUOTA_EXCEEDED"
            return False

        await until(full, "the quota")


async def test_a_part_that_is_too_small_is_sent_again_unless_it_is_the_last(api: LocalApi) -> None:
    """So an upload has few parts for its size, however often somebody breaks its stream."""
    data, at = data_of(2 * MESSAGE + 77), 0
    for end, committed in ((1, 0), (MESSAGE - 1, 0), (MESSAGE + 5, MESSAGE + 5), (2 * MESSAGE, MESSAGE + 5)):
        upload = await begin(api, data)
        assert upload.committed_bytes == at
        told = await refused(api, "UploadAsset", messages(data[at:end], upload=upload.name, offset_bytes=at))
        assert (told.reason, told.metadata["received"]) == ("CONTENT_MISMATCH", str(committed))
        at = committed
    asset = await send(api, data[at:], upload=names.upload(digest(data)), offset_bytes=at)
    assert await read(api, asset.sha256) == data


async def test_an_upload_is_given_up_and_counts_no_longer(tmp_path: Path) -> None:
    async with local_api(tmp_path) as api:
        data = data_of(PART + 5000)
        secret = await api.tenant("small", limits=tenant_pb2.Limits(max_stored_bytes=PART + 6000))
        upload, other = await begin(api, data, secret), request("BeginUpload", sha256=ABSENT, size_bytes=2000)
        assert (await refused(api, "BeginUpload", other, secret)).reason == "QUOTA_EXCEEDED"
        await call(api, "AbortUpload", secret, name=upload.name)
        told = await refused(api, "UploadAsset", messages(data, upload=upload.name), secret)
        assert (told.code, told.reason) == ("NOT_FOUND", "UPLOAD_NOT_FOUND")
        await call(api, "AbortUpload", secret, name=upload.name)  # whoever was not told that it is done asks again
        never = request("AbortUpload", name=names.upload(ABSENT))
        assert (await refused(api, "AbortUpload", never, secret)).reason == "UPLOAD_NOT_FOUND"

        async def has_room() -> bool:
            try:
                await api.call("AssetService/BeginUpload", other, secret)
            except Refused:
                return False
            return True

        await until(has_room)


async def test_what_is_sent_of_an_upload_given_up_is_refused(api: LocalApi) -> None:
    data = data_of(2 * PART + 77)
    await die_behind(api, data, PART, PART)
    async with AsyncClient(api.target, api_key=BOOTSTRAP) as client:
        await client.abort_upload(data)
        assert (await begin(api, data)).committed_bytes == 0
        asset = await client.upload(data)
    assert asset.sha256 == digest(data)
    for name, code in ((names.upload(digest(data)), "NOT_FOUND"), ("uploads/../x", "INVALID_ARGUMENT")):
        assert (await refused(api, "AbortUpload", request("AbortUpload", name=name))).code == code


async def test_an_upload_that_is_all_there_is_not_given_up_but_becomes_an_asset(api: LocalApi) -> None:
    """Otherwise what is being put together meanwhile would count for no quota before it is stored."""
    data = data_of(2 * PART + 5)[: 2 * PART]
    await die_behind(api, data, len(data), len(data))
    name = names.upload(digest(data))
    told = await refused(api, "AbortUpload", request("AbortUpload", name=name))
    assert (told.reason, told.metadata["committed_bytes"]) == ("UPLOAD_CONFLICT", str(len(data)))
    assert (await send(api, b"", upload=name, offset_bytes=len(data))).sha256 == digest(data)


async def test_an_upload_of_another_tenant_does_not_exist(api: LocalApi) -> None:
    data, stranger = data_of(999), await api.tenant("stranger")
    upload = await begin(api, data)
    told = await refused(api, "UploadAsset", messages(b"", upload=upload.name), stranger)
    assert (told.code, told.reason) == ("NOT_FOUND", "UPLOAD_NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "fields", "field"),
    [
        ("BeginUpload", {"sha256": "A" * 64}, "sha256"),
        ("BeginUpload", {"sha256": ABSENT, "size_bytes": -1}, "size_bytes"),
        ("BeginUpload", {"sha256": ABSENT, "filename": "../../etc/passwd"}, "filename"),
        ("BeginUpload", {"sha256": ABSENT, "filename": "a\r\nSet-Cookie: x"}, "filename"),
        ("GetAsset", {"name": "assets/../../etc"}, "name"),
        ("DeleteAsset", {"name": "assets/*"}, "name"),
        ("ReadAsset", {"name": "assets/" + "0" * 63 + ">"}, "name"),
        ("ListAssets", {"page_size": -1}, "page_size"),
        ("CreateDownloadUrl", {"name": names.asset(ABSENT), "lifetime": {"seconds": 10**9}}, "lifetime"),
        ("CreateDownloadUrl", {"name": "nodes/gpu-1"}, "name"),
    ],
)
async def test_fields_that_mean_no_good_are_named(
    api: LocalApi, method: str, fields: dict[str, Any], field: str
) -> None:
    told = await refused(api, method, request(method, **fields))
    assert told.reason == "INPUT_INVALID"
    assert [violation.field for violation in told.details["BadRequest"].field_violations] == [field]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"header": {"filename": "..\\..\\x"}}, "INPUT_INVALID"),
        ({"header": {"offset_bytes": 5}}, "INPUT_INVALID"),
        ({"header": {"upload": "uploads/../x"}}, "INPUT_INVALID"),
        ({"header": {"upload": names.upload(ABSENT)}}, "UPLOAD_NOT_FOUND"),
        ({"data": b"without a header"}, "INPUT_INVALID"),
    ],
)
async def test_streams_that_begin_wrong_are_refused(api: LocalApi, given: dict[str, Any], reason: str) -> None:
    assert (await refused(api, "UploadAsset", [request("UploadAsset", **given)])).reason == reason


async def test_a_message_holds_at_most_a_mebibyte_of_data(api: LocalApi) -> None:
    given = [messages(b"")[0], request("UploadAsset", data=bytes(MESSAGE + 1))]
    assert (await refused(api, "UploadAsset", given)).reason == "INPUT_INVALID"


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 0), (10, 5), (0, 1), (PART, 2000), (PART + 999, 10**15), (PART + 1000, 0)]
)
async def test_a_range_of_an_asset_is_read(api: LocalApi, offset: int, length: int) -> None:
    data = data_of(PART + 1000)
    if (await begin(api, data)).DESCRIPTOR.name == "Upload":
        await send(api, data)
    got = await read(api, digest(data), offset_bytes=offset, length_bytes=length)
    assert got == (data[offset : offset + length] if length else data[offset:])


@pytest.mark.parametrize("fields", [{"offset_bytes": 8}, {"offset_bytes": -1}, {"length_bytes": -1}])
async def test_a_range_outside_of_an_asset_is_refused(api: LocalApi, fields: dict[str, int]) -> None:
    asset = await send(api, b"seven b")
    told = await refused(api, "ReadAsset", request("ReadAsset", name=asset.name, **fields))
    assert (told.code, told.reason) == ("INVALID_ARGUMENT", "INPUT_INVALID")


@pytest.mark.parametrize("small", [b"0123456789", b""])
async def test_a_range_of_an_artifact_is_read(api: LocalApi, small: bytes) -> None:
    task_id = f"ranges{len(small)}"
    name = await artifact(api, task_id, small)
    told = await call(api, "ReadArtifact", name=name, offset_bytes=2 if small else 0, length_bytes=3)
    assert b"".join(message.data for message in told) == small[2:5]


async def test_assets_are_listed_by_their_last_use(tmp_path: Path) -> None:
    async with local_api(tmp_path) as api:
        stored = [(await send(api, bytes([n]) * 10, filename=f"{n}.bin")).name for n in range(5)]
        await send(api, bytes([1]) * 10, filename="1.bin")
        await call(api, "DeleteAsset", name=stored[2])
        found, token = list[str](), ""
        while True:
            page = await call(api, "ListAssets", page_size=2, page_token=token)
            found += [asset.name for asset in page.assets]
            token = page.next_page_token
            if not token:
                break
        assert found == [stored[0], stored[3], stored[4], stored[1]]
        assert (await refused(api, "ListAssets", request("ListAssets", page_token="x"))).reason == "PAGE_TOKEN_INVALID"


async def test_a_removed_asset_is_gone_for_new_tasks_only(api: LocalApi) -> None:
    asset = await send(api, b"a picture")
    made = await create(api, "reader", asset.name)
    await call(api, "DeleteAsset", name=asset.name)
    for method in ("GetAsset", "DeleteAsset", "ReadAsset", "CreateDownloadUrl"):
        assert (await refused(api, method, request(method, name=asset.name))).reason == "ASSET_NOT_FOUND"
    with pytest.raises(Refused, match="ASSET_NOT_FOUND"):
        await create(api, "late", asset.name)
    stored = await api.log.get(Key("default", made))
    assert stored is not None
    assert [each.hex() for each in stored.message.spec.blobs] == [asset.sha256]
    assert len(api.bus.stored(subjects.blob("default", asset.sha256, 0))) == 1


async def test_what_uploads_announce_is_kept_for_them(tmp_path: Path) -> None:
    """Otherwise each of many at once would find room, and all but one would fail when most of it was sent."""
    async with local_api(tmp_path) as api:
        secret = await api.tenant("many", limits=tenant_pb2.Limits(max_stored_bytes=1000))
        contents = [bytes([number]) * 400 for number in range(6)]
        asked = [request("BeginUpload", sha256=digest(data), size_bytes=400) for data in contents]
        begun = await asyncio.gather(
            *(api.call("AssetService/BeginUpload", each, secret) for each in asked), return_exceptions=True
        )
        assert sorted(isinstance(each, Refused) for each in begun) == [False] * 2 + [True] * 4
        sent = await asyncio.gather(
            *(send(api, data, secret) for data in (b"x" * 150, b"y" * 150)), return_exceptions=True
        )
        assert sorted(isinstance(each, Refused) for each in sent) == [False, True]
        (first, *_) = [
            (each.upload.name, data)
            for each, data in zip(begun, contents, strict=True)
            if not isinstance(each, BaseException)
        ]
        await api.call("AssetService/UploadAsset", messages(first[1], upload=first[0]), secret)


async def test_a_removed_asset_frees_its_share_of_the_quota(tmp_path: Path) -> None:
    async with local_api(tmp_path) as api:
        secret = await api.tenant("tight", limits=tenant_pb2.Limits(max_stored_bytes=100))
        asset = await send(api, b"a" * 100, secret)
        await until(lambda: _is_full(api, secret), "the quota")
        await call(api, "DeleteAsset", secret, name=asset.name)

        async def free() -> bool:
            return not await _is_full(api, secret)

        await until(free, "room")


async def _is_full(api: LocalApi, secret: str) -> bool:
    try:
        await send(api, b"b", secret)
    except Refused as error:
        return error.reason == "QUOTA_EXCEEDED"
    await call(api, "DeleteAsset", secret, name=names.asset(digest(b"b")))
    return False


async def test_the_use_of_an_asset_is_noted_once_an_hour(api: LocalApi, monkeypatch: pytest.MonkeyPatch) -> None:
    asset = await send(api, b"used often")

    async def used() -> float:
        await create(api, f"t{random.getrandbits(60):x}", asset.name)
        return float((await call(api, "GetAsset", name=asset.name)).asset.use_time.ToSeconds())

    first = await used()
    assert first == asset.create_time.ToSeconds()
    monkeypatch.setattr(assets, "USE_NOTED_EVERY", -1.0)
    assert await used() >= first


async def test_a_store_without_urls_says_so(api: LocalApi) -> None:
    asset = await send(api, b"no url")
    small = await artifact(api, "nourl", b"small")
    for name, method in ((asset.name, "ReadAsset"), (small, "ReadArtifact")):
        told = await refused(api, "CreateDownloadUrl", request("CreateDownloadUrl", name=name))
        assert (told.code, told.reason) == ("FAILED_PRECONDITION", "SIGNED_URL_UNSUPPORTED")
        assert method in told.message


async def test_a_url_of_a_file_in_a_cloud_gives_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        async with local_api(tmp_path, artifacts_url=f"s3://{BUCKET}/blobs", api_auth="open") as api:
            data = data_of(PART + 5)
            asset = await send(api, data, "", filename="a.bin")
            assert await read(api, asset.sha256, offset_bytes=PART) == data[PART:]
            async with AsyncClient(api.target) as client:
                url = await client.download_url(asset.name, timedelta(minutes=5))
            assert url.expire_time is not None
            assert url.url not in repr(url)
            assert await asyncio.to_thread(fetch, url.url) == data


def fetch(url: str) -> bytes:
    with urlopen(url) as answer:  # noqa: S310  # our own server
        return bytes(answer.read())


async def test_a_full_store_says_so_and_whoever_made_room_can_go_on(
    api: LocalApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise StoreFullError("JetStream did not store blob.x: insufficient resources")

    with monkeypatch.context() as patched:
        patched.setattr("comfymesh.artifacts.bus_store.BusStore.put", full)
        told = await refused(api, "UploadAsset", messages(b"too much"))
        assert (told.code, told.reason) == ("RESOURCE_EXHAUSTED", "STORE_FULL")
    assert (await send(api, b"too much")).size_bytes == 8


async def test_the_apis_own_disk_may_be_full(api: LocalApi, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Content, "_append", full)
        assert (await refused(api, "UploadAsset", messages(b"too much"))).reason == "STORE_FULL"


@pytest.mark.parametrize("first", [0, 1, 5])
async def test_what_a_file_is_shows_however_it_is_cut(api: LocalApi, first: int) -> None:
    data = b"\x89PNG\r\n\x1a\n" + bytes([first]) * 50
    header, *_ = messages(b"", filename="page.html")
    pieces = [request("UploadAsset", data=data[:first]), request("UploadAsset", data=data[first:])]
    asset = (await api.call("AssetService/UploadAsset", [header, *pieces], BOOTSTRAP)).asset
    assert asset.media_type == "image/png"


async def test_a_page_with_a_script_is_no_picture_whatever_it_is_called(api: LocalApi) -> None:
    asset = await send(api, b"<html><script>alert(1)</script>", filename="cat.png")
    assert asset.media_type == "application/octet-stream"


async def test_a_bomb_is_only_bytes(api: LocalApi) -> None:
    # 25,000 x 25,000 pixels in a few bytes. Nothing of ours decodes it.
    bomb = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00a\xa8\x00\x00a\xa8\x08\x06\x00\x00\x00"
    asset = await send(api, bomb)
    assert (asset.media_type, asset.size_bytes) == ("image/png", len(bomb))


async def test_an_archive_is_only_bytes_whatever_it_is_called(api: LocalApi) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../etc/cron.d/evil", bytes(20_000_000))
    asset = await send(api, packed.getvalue(), filename="cat.png")
    assert (asset.media_type, asset.size_bytes) == ("application/zip", len(packed.getvalue()))
    assert await read(api, asset.sha256) == packed.getvalue()


async def create(api: LocalApi, task_id: str, asset: str) -> str:
    graph = {"1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}}, "2": dict(GRAPH["2"])}
    task = task_pb2.Task(graph_json=json.dumps(graph))
    task.inputs["1.image"].asset = asset
    given = request_type(find("TaskService/CreateTask"))(task=task, task_id=task_id)
    return str((await api.call("TaskService/CreateTask", given)).task.name).rpartition("/")[2]


async def artifact(api: LocalApi, task_id: str, small: bytes) -> str:
    """A task that has made one small artifact."""
    task = task_pb2.Task(graph_json=json.dumps(GRAPH))
    await api.call("TaskService/CreateTask", request_type(find("TaskService/CreateTask"))(task=task, task_id=task_id))
    stored = await api.log.get(Key("default", task_id))
    assert stored is not None
    made = Artifact("0", "a.png", "image/png", len(small), digest(small), "2", "images", ArtifactKind.OUTPUT, small)
    for event in (assigned(), Started(), Succeeded((made,))):
        stored = await api.log.change(stored, event, NOW)
    return names.artifact(task_id, "0")
