"""Files for programs without asyncio. Methods are those of `AssetCalls`, without ``await``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta
    from pathlib import Path

    from comfymesh.client.aio import AsyncClient
    from comfymesh.client.loop_thread import LoopThread
    from comfymesh.client.models import Artifact, Asset, DownloadUrl
    from comfymesh.client.uploads import OnBytes


class SyncAssetCalls:
    """The part of a client that moves files."""

    _client: AsyncClient
    _thread: LoopThread

    def upload(
        self, source: str | Path | bytes, *, filename: str | None = None, on_progress: OnBytes | None = None
    ) -> Asset:
        """Stores a file or bytes, to be used as an input. See `AsyncClient.upload`."""
        return self._thread.call(self._client.upload(source, filename=filename, on_progress=on_progress))

    def asset(self, name: str | Asset) -> Asset:
        """An asset. See `AsyncClient.asset`."""
        return self._thread.call(self._client.asset(name))

    def assets(self, filename_contains: str = "", *, page_size: int = 0) -> Iterator[Asset]:
        """All assets, those first that were not used for longest. See `AsyncClient.assets`."""
        return self._thread.iterate(self._client.assets(filename_contains, page_size=page_size))

    def abort_upload(self, what: str | Path | bytes) -> None:
        """Gives up an upload that is not complete. See `AsyncClient.abort_upload`."""
        self._thread.call(self._client.abort_upload(what))

    def delete_asset(self, name: str | Asset) -> None:
        """Removes an asset. See `AsyncClient.delete_asset`."""
        self._thread.call(self._client.delete_asset(name))

    def download(self, what: str | Asset | Artifact, out: str | Path, *, on_progress: OnBytes | None = None) -> Path:
        """Brings an asset or an artifact into a directory and checks its hash. See `AsyncClient.download`."""
        return self._thread.call(self._client.download(what, out, on_progress=on_progress))

    def read(self, what: str | Asset | Artifact, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        """The bytes of an asset or an artifact, piece by piece. See `AsyncClient.read`."""
        return self._thread.iterate(self._client.read(what, offset, length))

    def download_url(self, what: str | Asset | Artifact, lifetime: timedelta | None = None) -> DownloadUrl:
        """A URL from which the bytes can be got by plain HTTP. See `AsyncClient.download_url`."""
        return self._thread.call(self._client.download_url(what, lifetime))
