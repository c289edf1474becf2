"""comfymesh.v1.AssetService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from comfymesh.api.access import caller
from comfymesh.api.artifacts import Artifacts
from comfymesh.api.assets import Assets
from comfymesh.api.errors import RefusedError, Violation, invalid
from comfymesh.v1 import asset_service_pb2, asset_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_MAX_FILENAME = 128


class AssetService(asset_service_pb2_grpc.AssetServiceServicer):
    """Moves bytes: inputs in, outputs out."""

    def __init__(self, assets: Assets, artifacts: Artifacts) -> None:
        self._assets = assets
        self._artifacts = artifacts

    async def UploadAsset(
        self, request_iterator: AsyncIterator[asset_service_pb2.UploadAssetRequest], context: Context
    ) -> asset_service_pb2.UploadAssetResponse:
        """See the proto."""
        header = await _header(request_iterator)
        asset = await self._assets.add(caller.tenant(), header.filename, header.sha256, _data(request_iterator))
        return asset_service_pb2.UploadAssetResponse(asset=asset)

    async def ReadArtifact(
        self, request: asset_service_pb2.ReadArtifactRequest, context: Context
    ) -> AsyncIterator[asset_service_pb2.ReadArtifactResponse]:
        """See the proto."""
        found = await self._artifacts.find(caller.tenant(), request.name)
        pieces = self._artifacts.read(found, request.offset_bytes)
        first: dict[str, Any] = {"artifact": found.artifact}
        async for data in pieces:
            yield asset_service_pb2.ReadArtifactResponse(data=data, **first)
            first = {}
        if first:
            yield asset_service_pb2.ReadArtifactResponse(artifact=found.artifact)


async def _header(
    requests: AsyncIterator[asset_service_pb2.UploadAssetRequest],
) -> asset_service_pb2.UploadAssetHeader:
    first = await anext(aiter(requests), None)
    if first is None or first.WhichOneof("part") != "header":
        raise invalid([Violation("header", "the first message must be the header")])
    if wrong := list(_wrong(first.header)):
        raise invalid(wrong)
    return first.header


def _wrong(header: asset_service_pb2.UploadAssetHeader) -> list[Violation]:
    found = []
    name = header.filename
    if len(name) > _MAX_FILENAME or name in {".", ".."} or any(c in '/\\\0"' or not c.isprintable() for c in name):
        found.append(Violation("header.filename", "must be a plain file name of at most 128 printable characters"))
    if header.sha256 and (len(header.sha256) != 64 or set(header.sha256) - set("0123456789abcdef")):
        found.append(Violation("header.sha256", "must be 64 lowercase hexadecimal digits"))
    return found


async def _data(requests: AsyncIterator[asset_service_pb2.UploadAssetRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.WhichOneof("part") != "data":
            raise RefusedError("INPUT_INVALID", "data: after the header only data may come")
        yield request.data
