"""Brings files to the server and back: assets, which tasks read, and artifacts, which they make."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from comfymesh.client import convert, saving, uploads
from comfymesh.client.calls import Calls
from comfymesh.client.errors import Unavailable
from comfymesh.client.models import Artifact, Asset, DownloadUrl
from comfymesh.client.paging import Pages
from comfymesh.v1 import asset_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import timedelta

    from comfymesh.client.uploads import OnBytes


class AssetCalls(Calls):
    """The part of a client that moves files."""

    @property
    def _wire(self) -> uploads.Wire:
        return uploads.Wire.over(self._transport)

    async def upload(
        self, source: str | Path | bytes, *, filename: str | None = None, on_progress: OnBytes | None = None
    ) -> Asset:
        """Stores a file or bytes, to be used as an input by any number of tasks.

        A large file goes on where an earlier call broke, also that of another process, and is not sent at all where the
        server has it.

        Args:
            source: The path of a file, or the bytes themselves.
            filename: Name for people; default: the file's.
            on_progress: Called with the bytes that are through, and how many there are.

        Raises:
            InvalidRequest: The file can't be read, or the server refuses it.
            ComfyMeshError: The upload failed.
        """
        return await uploads.upload(self._wire, self._server, source, filename, on_progress)

    async def asset(self, name: str | Asset) -> Asset:
        """An asset.

        Args:
            name: ``assets/{sha256}``, or the hash alone.

        Raises:
            NotFound: There is none of that name.
            ComfyMeshError: The call failed.
        """
        request = pb.GetAssetRequest(name=asset_name(name))
        answer = await self._ask(lambda stubs, seconds: stubs.assets.GetAsset(request, timeout=seconds))
        return convert.asset_from_proto(answer.asset)

    async def assets(self, filename_contains: str = "", *, page_size: int = 0) -> AsyncGenerator[Asset]:
        """All assets, those first that were not used for longest; pages are fetched as they are needed.

        Args:
            filename_contains: Only assets whose filename contains this.
            page_size: Assets to fetch at a time; 0 lets the server decide.

        Raises:
            ComfyMeshError: The call failed.
        """
        request = pb.ListAssetsRequest(page_size=page_size, filename_contains=filename_contains)
        pages = Pages(
            request, lambda: self._ask(lambda stubs, seconds: stubs.assets.ListAssets(request, timeout=seconds))
        )
        async for page in pages:
            for message in page.assets:
                yield convert.asset_from_proto(message)

    async def abort_upload(self, what: str | Path | bytes) -> None:
        """Gives up an upload that is not complete: what has come of it no longer counts for the tenant's quota.

        Args:
            what: The path of the file or the bytes that were being sent, or ``uploads/{sha256}``.

        Raises:
            NotFound: Nothing of it is under way.
            ComfyMeshError: The call failed.
        """
        name = await asyncio.to_thread(uploads.upload_name, what)
        request = pb.AbortUploadRequest(name=name)
        await self._ask(lambda stubs, seconds: stubs.assets.AbortUpload(request, timeout=seconds))

    async def delete_asset(self, name: str | Asset) -> None:
        """Removes an asset. Tasks that name it already can still read it; new ones can't name it.

        Args:
            name: ``assets/{sha256}``, the hash alone, or an asset.

        Raises:
            NotFound: There is none of that name.
            ComfyMeshError: The call failed.
        """
        request = pb.DeleteAssetRequest(name=asset_name(name))
        await self._ask(lambda stubs, seconds: stubs.assets.DeleteAsset(request, timeout=seconds))

    async def download(
        self, what: str | Asset | Artifact, out: str | Path, *, on_progress: OnBytes | None = None
    ) -> Path:
        """Brings an asset or an artifact into a directory and checks its hash.

        Goes on where an earlier call broke, also that of another process. Never takes the place of another file.

        Args:
            what: ``assets/{sha256}``, ``tasks/{task}/artifacts/{artifact}``, or an asset or artifact.
            out: The directory; made when it does not exist.
            on_progress: Called with the bytes that are there, and how many there are.

        Returns:
            Path of the file.

        Raises:
            NotFound: There is none of that name.
            ComfyMeshError: The call failed, or what came is damaged (CONTENT_MISMATCH).
            OSError: The file can't be written.
        """
        wanted = await self._wanted(what)
        return await saving.save(wanted, self._server, Path(out), on_progress or uploads.nobody)

    async def read(self, what: str | Asset | Artifact, offset: int = 0, length: int = 0) -> AsyncGenerator[bytes]:
        """The bytes of an asset or an artifact, piece by piece; goes on where it was when the stream breaks.

        Args:
            what: As of `download`.
            offset: Where to begin.
            length: How many bytes to read; 0 for all that follow.

        Raises:
            NotFound: There is none of that name.
            InvalidRequest: There is nothing at that offset.
            ComfyMeshError: The call failed.
        """
        name, retrier, came = _name(what), self._server.retrier(), 0
        begin = self._artifact_bytes if name.startswith("tasks/") else self._asset
        while True:
            try:
                async with aclosing(begin(name, offset + came, length - came if length else 0)) as pieces:
                    async for piece in pieces:
                        retrier.succeeded()
                        came += len(piece)
                        yield piece
            except Unavailable as error:
                if length and came >= length:
                    return
                await retrier.failed(error)
            else:
                return

    async def download_url(self, what: str | Asset | Artifact, lifetime: timedelta | None = None) -> DownloadUrl:
        """A URL from which the bytes can be got by plain HTTP, past the server.

        Args:
            what: As of `download`.
            lifetime: How long it is good, a day at most; None for an hour.

        Raises:
            NotFound: There is none of that name.
            InvalidRequest: The store of the server has no URLs (SIGNED_URL_UNSUPPORTED).
            ComfyMeshError: The call failed.
        """
        request = pb.CreateDownloadUrlRequest(name=_name(what))
        if lifetime is not None:
            request.lifetime.FromTimedelta(lifetime)
        answer = await self._ask(lambda stubs, seconds: stubs.assets.CreateDownloadUrl(request, timeout=seconds))
        return DownloadUrl(answer.url, convert.time_from_proto(answer, "expire_time"))

    async def _wanted(self, what: str | Asset | Artifact) -> saving.Wanted:
        name = _name(what)
        if not name.startswith("tasks/"):
            asset = await self.asset(name)
            return saving.Wanted(name, asset.filename, asset.size_bytes, asset.sha256, lambda at: self._asset(name, at))
        artifact = what if isinstance(what, Artifact) else await self._artifact(name)
        return saving.Wanted(
            name, artifact.filename, artifact.size_bytes, artifact.sha256, lambda at: self._artifact_bytes(name, at)
        )

    async def _artifact(self, name: str) -> Artifact:
        """What a stream says of an artifact before its bytes."""

        async def first(_seconds: float) -> Artifact:
            request = pb.ReadArtifactRequest(name=name, length_bytes=1)
            async with aclosing(self._transport.read_artifact(request)) as messages:
                return convert.artifact_from_proto((await anext(messages)).artifact)

        return await self._server.retry(first, timeout=self._timeout)

    async def _asset(self, name: str, offset: int, length: int = 0) -> AsyncGenerator[bytes]:
        request = pb.ReadAssetRequest(name=name, offset_bytes=offset, length_bytes=length)
        async with aclosing(self._transport.stream(lambda stubs: stubs.assets.ReadAsset(request))) as messages:
            async for message in messages:
                if message.data:
                    yield message.data

    async def _artifact_bytes(self, name: str, offset: int, length: int = 0) -> AsyncGenerator[bytes]:
        request = pb.ReadArtifactRequest(name=name, offset_bytes=offset, length_bytes=length)
        async with aclosing(self._transport.read_artifact(request)) as messages:
            async for message in messages:
                if message.data:
                    yield message.data


def asset_name(asset: str | Asset) -> str:
    """The resource name of an asset, from itself, its name, or its hash."""
    name = asset.name if isinstance(asset, Asset) else asset
    return name if "/" in name else f"assets/{name}"


def _name(what: str | Asset | Artifact) -> str:
    return what.name if isinstance(what, Artifact) else asset_name(what)
