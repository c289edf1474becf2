"""URLs from which bytes can be got past the api."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from comfymesh.api.artifacts import Artifacts
from comfymesh.api.assets import Assets
from comfymesh.api.errors import RefusedError, Violation, invalid
from comfymesh.artifacts.store import BlobStore
from comfymesh.tasks.moments import timestamp
from comfymesh.v1 import asset_service_pb2

_DEFAULT = timedelta(hours=1)
_LONGEST = timedelta(days=1)


class DownloadUrls:
    """Makes them.

    Args:
        assets: What can be had.
        artifacts: What else.
        store: Where the bytes are.
        clock: Answers seconds since the epoch.
    """

    def __init__(self, assets: Assets, artifacts: Artifacts, store: BlobStore, clock: Callable[[], float]) -> None:
        self._assets = assets
        self._artifacts = artifacts
        self._store = store
        self._clock = clock

    async def create(
        self, tenant: str, request: asset_service_pb2.CreateDownloadUrlRequest
    ) -> asset_service_pb2.CreateDownloadUrlResponse:
        """A URL of an asset or artifact.

        Raises:
            RefusedError: there is none of that name, or no URL of it.
        """
        lifetime = _lifetime(request)
        sha256 = await self._find(tenant, request.name)
        ends = self._clock() + lifetime.total_seconds()
        url = await self._store.sign(tenant, sha256, lifetime) if sha256 else ""
        if not url:
            raise _unsupported(request.name, small=not sha256)
        return asset_service_pb2.CreateDownloadUrlResponse(url=url, expire_time=timestamp(ends))

    async def _find(self, tenant: str, name: str) -> str:
        """The SHA-256 under which the store has it; empty where it is so small that it is not there."""
        if name.startswith("tasks/"):
            found = await self._artifacts.find(tenant, name)
            return found.artifact.sha256 if found.small is None else ""
        return (await self._assets.get(tenant, name)).record.blob.sha256


def _lifetime(request: asset_service_pb2.CreateDownloadUrlRequest) -> timedelta:
    if not request.HasField("lifetime"):
        return _DEFAULT
    seconds = request.lifetime.seconds
    if not 1 <= seconds <= _LONGEST.total_seconds():
        raise invalid([Violation("lifetime", "must be at least a second and at most a day")])
    return timedelta(seconds=seconds)


def _unsupported(name: str, *, small: bool) -> RefusedError:
    why = "is so small that the store does not have it" if small else "is in a store that has no URLs"
    method = "ReadArtifact" if name.startswith("tasks/") else "ReadAsset"
    return RefusedError("SIGNED_URL_UNSUPPORTED", f"{name} {why}; read it by {method}", {"resource": name})
