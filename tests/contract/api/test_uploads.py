"""What an upload costs while it is under way, and how many may be. What it does: tests/contract/api/test_assets.py."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import grpc
import pytest
from obstore.store import LocalStore

from comfymesh import names
from comfymesh.api.access.stored import StoredAssets
from comfymesh.api.assets import Assets
from comfymesh.api.errors import RefusedError
from comfymesh.api.uploads import PART_BYTES, Uploads
from comfymesh.artifacts.object_store import ObjectStore
from comfymesh.testkit.apis import BOOTSTRAP, LocalApi, Refused, local_api
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.refusals import answer_to
from comfymesh.testkit.waiting import until
from comfymesh.v1 import asset_service_pb2 as pb

MIB = 1024 * 1024


def stream(api: LocalApi) -> Any:
    path = "/comfymesh.v1.AssetService/UploadAsset"
    method: Any = api.channel.stream_unary(path, lambda message: message.SerializeToString(), None)
    return method(metadata=(("authorization", f"Bearer {BOOTSTRAP}"),))


HEADER = pb.UploadAssetRequest(header=pb.UploadAssetHeader(filename="a.bin"))


async def test_a_server_takes_so_many_uploads_at_once(tmp_path: Path) -> None:
    async def answer() -> str:
        try:
            await api.call("AssetService/UploadAsset", [HEADER, pb.UploadAssetRequest(data=b"x")])
        except Refused as error:
            return f"{error.code} {error.reason} {error.message}"
        return "stored"

    async def is_busy() -> bool:
        return (await answer()).startswith("UNAVAILABLE SERVER_BUSY this server has 1 uploads under way")

    async def has_room() -> bool:
        return await answer() == "stored"

    async with local_api(tmp_path, api_max_uploads=1) as api:
        held = stream(api)
        await held.write(HEADER)
        await until(is_busy, "the place to be taken")
        held.cancel()
        await until(has_room, "the place to be given back")


@pytest.mark.parametrize("sent", [[], [HEADER], [HEADER, pb.UploadAssetRequest(data=b"x")]])
async def test_an_upload_that_falls_silent_gives_its_place_back(
    tmp_path: Path, sent: list[pb.UploadAssetRequest]
) -> None:
    async with local_api(tmp_path, api_max_uploads=1, api_upload_silence_seconds=0.2) as api:
        silent = stream(api)
        answer = answer_to(silent)
        with contextlib.suppress(
            grpc.aio.AioRpcError, asyncio.InvalidStateError
        ):  # on a busy machine it is given up here
            for message in sent:
                await silent.write(message)
        with pytest.raises(grpc.aio.AioRpcError, match="nothing came for") as ended:
            await answer
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE

        async def stored() -> bool:
            try:
                await api.call("AssetService/UploadAsset", [HEADER, pb.UploadAssetRequest(data=b"x")])
            except Refused:  # a busy machine may be as slow as who is silent
                return False
            return True

        await until(stored, "the place for who is not silent")


async def test_what_was_only_announced_counts_for_an_hour(tmp_path: Path) -> None:
    async def data() -> AsyncIterator[bytes]:
        yield bytes(MIB)

    bus, now = MemoryBus(), 0.0
    stored = StoredAssets(bus, lambda: now)
    following = asyncio.create_task(stored.follow())
    try:
        quotas, store = MagicMock(), ObjectStore(LocalStore(tmp_path))
        uploads = Uploads(bus, store, Assets(bus, store, lambda: now, 10 * MIB, quotas), lambda: now, quotas)
        empty, begun = (hashlib.sha256(each).hexdigest() for each in (b"empty", b"begun"))
        for sha256 in (empty, begun):
            await uploads.begin("default", "", sha256, 3 * MIB)
        with pytest.raises(RefusedError, match="go on behind"):
            await uploads.receive("default", names.upload(begun), 0, data())
        await until(lambda: stored.bytes_of("default") == 6 * MIB, "both to be counted")
        now = 3601.0
        await until(lambda: stored.bytes_of("default") == 3 * MIB, "the one that goes on to be counted alone")
        now = 24 * 3600 + 1.0
        assert stored.bytes_of("default") == 0
    finally:
        following.cancel()


async def test_a_part_under_way_is_held_on_disk(tmp_path: Path) -> None:
    async def almost_a_part() -> AsyncIterator[bytes]:
        for _ in range(PART_BYTES // 65536 - 1):
            yield bytes(65536)
        peaks.append(tracemalloc.get_traced_memory()[1])

    bus, quotas, peaks = MemoryBus(), MagicMock(), list[int]()
    store = ObjectStore(LocalStore(tmp_path))
    assets = Assets(bus, store, lambda: 0.0, 10 * MIB, quotas)
    uploads = Uploads(bus, store, assets, lambda: 0.0, quotas)
    sha256 = hashlib.sha256(b"any").hexdigest()
    await uploads.begin("default", "", sha256, 2 * PART_BYTES)
    tracemalloc.start()
    try:
        with pytest.raises(RefusedError, match="go on behind"):
            await uploads.receive("default", names.upload(sha256), 0, almost_a_part())
    finally:
        tracemalloc.stop()
    assert peaks[0] < 2.5 * MIB
