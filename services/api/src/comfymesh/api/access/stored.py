"""How much each tenant has brought, as the bus tells it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from google.protobuf.message import DecodeError

from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, CaughtUp, Message
from comfymesh.bus.streams import BLOBS
from comfymesh.wire.v1 import spec_pb2

logger = logging.getLogger(__name__)


class StoredAssets:
    """How many bytes of assets each tenant has: those of one content once, and all of what is announced by uploads.

    Args:
        bus: Where they are described.
        clock: Answers seconds since the epoch.

    Attributes:
        ready: Set once everything that was stored before the start has been counted.
    """

    def __init__(self, bus: Bus, clock: Callable[[], float]) -> None:
        self._bus = bus
        self._clock = clock
        self._assets: dict[str, dict[str, int]] = {}
        self._sums: dict[str, int] = {}
        self._uploads: dict[str, dict[str, spec_pb2.UploadRecord]] = {}
        self._expected: dict[tuple[str, str], int] = {}
        self._read = 0
        self.ready = asyncio.Event()

    async def follow(self) -> None:
        """Take in what is uploaded, and what goes, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(subjects.ALL_ASSETS, self._take_asset))
            group.create_task(self._follow(subjects.ALL_UPLOADS, self._take_upload))

    def bytes_of(self, tenant: str) -> int:
        """How many a tenant has."""
        now, uploads = self._clock(), self._uploads.get(tenant, {})
        # An upload that expired leaves the bus without a word.
        for sha256 in [sha256 for sha256, record in uploads.items() if record.expire_time <= now]:
            del uploads[sha256]
        announced = sum(record.blob.size_bytes for record in uploads.values())
        expected = sum(size for (whose, _), size in self._expected.items() if whose == tenant)
        return self._sums.get(tenant, 0) + announced + expected

    @contextmanager
    def expecting(self, tenant: str, sha256: str, size: int) -> Iterator[None]:
        """Count in what is stored inside, from now on and until the bus tells it. If nothing is, nothing is counted."""
        self._expected[tenant, sha256] = size
        try:
            yield
        except BaseException:
            self._expected.pop((tenant, sha256), None)
            raise

    async def _follow(self, subject: str, take: Callable[[Message], None]) -> None:
        async for item in self._bus.tail(BLOBS, subject):
            if isinstance(item, CaughtUp):
                self._read += 1
                if self._read == 2:
                    self.ready.set()
                continue
            try:
                take(item)
            except DecodeError:
                logger.warning("what is at %s can't be read", item.subject)

    def _take_asset(self, message: Message) -> None:
        tenant, sha256 = subjects.parse_owned(message.subject)
        # A mark that one is gone has no bytes, in both senses.
        size = spec_pb2.AssetRecord.FromString(message.data).blob.size_bytes
        self._expected.pop((tenant, sha256), None)
        sizes = self._assets.setdefault(tenant, {})
        self._sums[tenant] = self._sums.get(tenant, 0) + size - sizes.pop(sha256, 0)
        if size:
            sizes[sha256] = size

    def _take_upload(self, message: Message) -> None:
        tenant, sha256 = subjects.parse_owned(message.subject)
        record = spec_pb2.UploadRecord.FromString(message.data)
        self._expected.pop((tenant, sha256), None)
        uploads = self._uploads.setdefault(tenant, {})
        uploads.pop(sha256, None)
        if record.blob.size_bytes:
            uploads[sha256] = record
