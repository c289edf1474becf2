"""comfymesh.v1.AssetService."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from comfymesh.api import paging
from comfymesh.api.access import caller
from comfymesh.api.artifacts import Artifacts
from comfymesh.api.assets import Assets, to_asset
from comfymesh.api.download_urls import DownloadUrls
from comfymesh.api.errors import RefusedError, Violation, invalid
from comfymesh.api.room import Room
from comfymesh.api.uploads import Uploads
from comfymesh.v1 import asset_pb2, asset_service_pb2, asset_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_MAX_FILENAME = 128
_MAX_DATA = 1024 * 1024
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class AssetService(asset_service_pb2_grpc.AssetServiceServicer):
    """Moves bytes: inputs in, outputs out.

    Attributes:
        assets: Inputs.
        uploads: Inputs on their way.
        artifacts: Outputs.
        urls: Other ways to both.
        streams: Room for those who upload: each costs memory and disk for as long as it lasts.
        silence: An upload that sends nothing for so long gives its place to others. Seconds.
    """

    assets: Assets
    uploads: Uploads
    artifacts: Artifacts
    urls: DownloadUrls
    streams: Room
    silence: float

    async def BeginUpload(
        self, request: asset_service_pb2.BeginUploadRequest, context: Context
    ) -> asset_service_pb2.BeginUploadResponse:
        """See the proto."""
        if wrong := list(_wrong_beginning(request)):
            raise invalid(wrong)
        begun = await self.uploads.begin(caller.tenant(), request.filename, request.sha256, request.size_bytes)
        if isinstance(begun, asset_pb2.Asset):
            return asset_service_pb2.BeginUploadResponse(asset=begun)
        return asset_service_pb2.BeginUploadResponse(upload=begun)

    async def UploadAsset(
        self, request_iterator: AsyncIterator[asset_service_pb2.UploadAssetRequest], context: Context
    ) -> asset_service_pb2.UploadAssetResponse:
        """See the proto."""
        with self.streams.place():
            requests = _unless_silent(aiter(request_iterator), self.silence)
            asset = await self._upload(await _header(requests), _data(requests))
        return asset_service_pb2.UploadAssetResponse(asset=asset)

    async def _upload(self, header: asset_service_pb2.UploadAssetHeader, data: AsyncIterator[bytes]) -> asset_pb2.Asset:
        tenant = caller.tenant()
        if header.upload:
            return await self.uploads.receive(tenant, header.upload, header.offset_bytes, data)
        return await self.assets.add(tenant, header.filename, header.sha256, data)

    async def AbortUpload(
        self, request: asset_service_pb2.AbortUploadRequest, context: Context
    ) -> asset_service_pb2.AbortUploadResponse:
        """See the proto."""
        await self.uploads.abort(caller.tenant(), request.name)
        return asset_service_pb2.AbortUploadResponse()

    async def GetAsset(
        self, request: asset_service_pb2.GetAssetRequest, context: Context
    ) -> asset_service_pb2.GetAssetResponse:
        """See the proto."""
        known = await self.assets.get(caller.tenant(), request.name)
        return asset_service_pb2.GetAssetResponse(asset=to_asset(known.record))

    async def ListAssets(
        self, request: asset_service_pb2.ListAssetsRequest, context: Context
    ) -> asset_service_pb2.ListAssetsResponse:
        """See the proto."""
        if len(request.filename_contains) > _MAX_FILENAME:
            raise invalid([Violation("filename_contains", f"has more than {_MAX_FILENAME} characters")])
        size = paging.size(request.page_size)
        place = paging.read_token(request, request.page_token, int)[0] if request.page_token else 0
        if not 0 <= int(place) < 2**63:
            raise paging.foreign()
        found, end = await self.assets.page(caller.tenant(), int(place), size, request.filename_contains)
        token = paging.make_token(request, [end]) if end else ""
        shown = [to_asset(known.record) for known in found]
        return asset_service_pb2.ListAssetsResponse(assets=shown, next_page_token=token)

    async def DeleteAsset(
        self, request: asset_service_pb2.DeleteAssetRequest, context: Context
    ) -> asset_service_pb2.DeleteAssetResponse:
        """See the proto."""
        tenant = caller.tenant()
        known = await self.assets.get(tenant, request.name)
        while not await self.assets.remove(tenant, known):
            # Used or removed at the same moment.
            known = await self.assets.get(tenant, request.name)
        return asset_service_pb2.DeleteAssetResponse()

    async def ReadAsset(
        self, request: asset_service_pb2.ReadAssetRequest, context: Context
    ) -> AsyncIterator[asset_service_pb2.ReadAssetResponse]:
        """See the proto."""
        tenant = caller.tenant()
        known = await self.assets.get(tenant, request.name)
        pieces = self.assets.read(tenant, known, request.offset_bytes, request.length_bytes)
        yield asset_service_pb2.ReadAssetResponse(asset=to_asset(known.record))
        async for data in pieces:
            yield asset_service_pb2.ReadAssetResponse(data=data)

    async def ReadArtifact(
        self, request: asset_service_pb2.ReadArtifactRequest, context: Context
    ) -> AsyncIterator[asset_service_pb2.ReadArtifactResponse]:
        """See the proto."""
        found = await self.artifacts.find(caller.tenant(), request.name)
        pieces = self.artifacts.read(found, request.offset_bytes, request.length_bytes)
        first: dict[str, Any] = {"artifact": found.artifact}
        async for data in pieces:
            yield asset_service_pb2.ReadArtifactResponse(data=data, **first)
            first = {}
        if first:
            yield asset_service_pb2.ReadArtifactResponse(artifact=found.artifact)

    async def CreateDownloadUrl(
        self, request: asset_service_pb2.CreateDownloadUrlRequest, context: Context
    ) -> asset_service_pb2.CreateDownloadUrlResponse:
        """See the proto."""
        return await self.urls.create(caller.tenant(), request)


async def _unless_silent(
    requests: AsyncIterator[asset_service_pb2.UploadAssetRequest], silence: float
) -> AsyncIterator[asset_service_pb2.UploadAssetRequest]:
    while True:
        try:
            async with asyncio.timeout(silence):
                request = await anext(requests, None)
        except TimeoutError:
            message = f"nothing came for {silence:g} s, so the place of this upload went to others; send it again"
            raise RefusedError("SERVER_BUSY", message, {"limit": f"{silence:g}"}, retry_after=1.0) from None
        if request is None:
            return
        yield request


async def _header(
    requests: AsyncIterator[asset_service_pb2.UploadAssetRequest],
) -> asset_service_pb2.UploadAssetHeader:
    first = await anext(aiter(requests), None)
    if first is None or first.WhichOneof("part") != "header":
        raise invalid([Violation("header", "the first message must be the header")])
    if wrong := list(_wrong_header(first.header)):
        raise invalid(wrong)
    return first.header


def _wrong_header(header: asset_service_pb2.UploadAssetHeader) -> Iterator[Violation]:
    yield from _wrong_filename("header.filename", header.filename)
    if header.sha256:
        yield from _wrong_digest("header.sha256", header.sha256)
    if header.offset_bytes and not header.upload:
        yield Violation("header.offset_bytes", "only an upload that BeginUpload has begun can go on; name it")


def _wrong_beginning(request: asset_service_pb2.BeginUploadRequest) -> Iterator[Violation]:
    yield from _wrong_filename("filename", request.filename)
    yield from _wrong_digest("sha256", request.sha256)
    if request.size_bytes < 0:
        yield Violation("size_bytes", f"{request.size_bytes} is negative")


def _wrong_filename(field: str, name: str) -> Iterator[Violation]:
    if len(name) > _MAX_FILENAME or name in {".", ".."} or any(c in '/\\\0"' or not c.isprintable() for c in name):
        yield Violation(field, "must be a plain file name of at most 128 printable characters")


def _wrong_digest(field: str, sha256: str) -> Iterator[Violation]:
    if not _SHA256.fullmatch(sha256):
        yield Violation(field, "must be 64 lowercase hexadecimal digits")


async def _data(requests: AsyncIterator[asset_service_pb2.UploadAssetRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.WhichOneof("part") != "data":
            raise RefusedError("INPUT_INVALID", "data: after the header only data may come")
        if len(request.data) > _MAX_DATA:
            raise invalid([Violation("data", f"{len(request.data)} bytes are more than the {_MAX_DATA} of a message")])
        yield request.data
