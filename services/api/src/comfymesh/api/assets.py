"""Assets: files that callers bring, described on the bus, kept in the artifact store."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable

from comfymesh import names
from comfymesh.api.access.quotas import Quotas
from comfymesh.api.errors import RefusedError
from comfymesh.artifacts.content import Content, ContentTooLargeError
from comfymesh.artifacts.media import sniff, suffix
from comfymesh.artifacts.store import BlobStore
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, Entry
from comfymesh.bus.streams import BLOBS
from comfymesh.tasks.codec import timestamp
from comfymesh.v1 import asset_pb2
from comfymesh.wire.v1 import spec_pb2


class Assets:
    """Stores assets and finds them.

    Args:
        bus: Where they are described.
        store: Where their bytes are.
        clock: Answers seconds since the epoch.
        max_bytes: Largest asset taken.
        quotas: How much a tenant may keep.
    """

    def __init__(self, bus: Bus, store: BlobStore, clock: Callable[[], float], max_bytes: int, quotas: Quotas) -> None:
        self._bus = bus
        self._store = store
        self._clock = clock
        self._max_bytes = max_bytes
        self._quotas = quotas

    async def add(self, tenant: str, filename: str, sha256: str, data: AsyncIterable[bytes]) -> asset_pb2.Asset:
        """Store a file. `sha256` may be empty; otherwise the bytes must match it.

        Raises:
            RefusedError: too large, more than the tenant may keep, or the bytes do not match.
        """
        self._quotas.check_bytes(tenant, 0)
        try:
            content = await Content.collect(data, self._max_bytes)
        except ContentTooLargeError as error:
            message = f"the asset has more than {error.limit} bytes, which is the limit"
            raise RefusedError("MESSAGE_TOO_LARGE", message, {"limit_bytes": str(error.limit)}) from error
        with content:
            if sha256 and sha256 != content.sha256:
                metadata = {"expected": sha256, "received": content.sha256}
                raise RefusedError(
                    "CONTENT_MISMATCH", "the bytes received have another SHA-256 than announced", metadata
                )
            if await self.find(tenant, content.sha256) is None:
                self._quotas.check_bytes(tenant, content.size_bytes)
            await self._store.put(tenant, content)
            record = self._record(content, filename)
        await self._bus.append([Entry(subjects.asset(tenant, record.blob.sha256), record.SerializeToString())])
        return _asset(record)

    async def find(self, tenant: str, sha256: str) -> spec_pb2.AssetRecord | None:
        """The description of an asset."""
        message = await self._bus.last(BLOBS, subjects.asset(tenant, sha256))
        return spec_pb2.AssetRecord.FromString(message.data) if message else None

    def _record(self, content: Content, filename: str) -> spec_pb2.AssetRecord:
        media_type = sniff(content.head)
        return spec_pb2.AssetRecord(
            blob=spec_pb2.BlobRef(sha256=content.sha256, size_bytes=content.size_bytes),
            filename=filename or f"{content.sha256[:16]}{suffix(media_type)}",
            media_type=media_type,
            create_time=self._clock(),
        )


def _asset(record: spec_pb2.AssetRecord) -> asset_pb2.Asset:
    return asset_pb2.Asset(
        name=names.asset(record.blob.sha256),
        filename=record.filename,
        media_type=record.media_type,
        size_bytes=record.blob.size_bytes,
        sha256=record.blob.sha256,
        create_time=timestamp(record.create_time),
    )
