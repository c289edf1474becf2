"""Assets: files that callers bring, described on the bus, kept in the artifact store."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.message import DecodeError

from comfymesh import names
from comfymesh.api.access.quotas import Quotas
from comfymesh.api.errors import RefusedError, not_found
from comfymesh.api.ranges import checked
from comfymesh.artifacts.content import Content, ContentTooLargeError
from comfymesh.artifacts.media import sniff, suffix
from comfymesh.artifacts.store import BlobStore, read_range
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusFullError, Entry, Message, SequenceConflictError
from comfymesh.bus.records import UnreadableRecordError
from comfymesh.bus.streams import BLOBS
from comfymesh.tasks.moments import timestamp
from comfymesh.v1 import asset_pb2
from comfymesh.wire.v1 import spec_pb2

USE_NOTED_EVERY = 3600.0
"""Uses within so many seconds are noted once."""

GONE = b""
"""In place of a description: the asset was removed. The mark is for those who count, and goes by itself."""

_MARK_KEPT = timedelta(days=1)
_PAGE = 250

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """An asset as it is described. `sequence` is that of the description."""

    record: spec_pb2.AssetRecord
    sequence: int

    @property
    def last_use(self) -> float:
        """When it was last used, seconds since the epoch; an hour off at most."""
        return max(self.record.create_time, self.record.use_time)


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
        self._quotas = quotas
        self.max_bytes = max_bytes

    async def add(self, tenant: str, filename: str, sha256: str, data: AsyncIterable[bytes]) -> asset_pb2.Asset:
        """Store a file. `sha256` may be empty; otherwise the bytes must match it.

        Raises:
            RefusedError: too large, more than the tenant may keep, or the bytes do not match.
        """
        self._quotas.check_bytes(tenant, 0)
        try:
            content = await Content.collect(data, self.max_bytes)
        except ContentTooLargeError as error:
            raise too_large(error.limit) from error
        with content:
            if sha256 and sha256 != content.sha256:
                raise mismatch(sha256, content.sha256)
            if await self.find(tenant, content.sha256) is not None:
                return await self.keep(tenant, filename, content)
            with self._quotas.bringing(tenant, content.sha256, content.size_bytes):
                return await self.keep(tenant, filename, content)

    async def keep(self, tenant: str, filename: str, content: Content) -> asset_pb2.Asset:
        """Store a file that was checked. First its bytes: a description is never there without them."""
        await self._store.put(tenant, content)
        record = self._record(content, filename)
        await self._bus.append([Entry(subjects.asset(tenant, record.blob.sha256), record.SerializeToString())])
        return to_asset(record)

    async def find(self, tenant: str, sha256: str) -> Known | None:
        """An asset; None where there is none."""
        return _known(await self._bus.last(BLOBS, subjects.asset(tenant, sha256)))

    async def get(self, tenant: str, name: str) -> Known:
        """The asset of that name.

        Raises:
            RefusedError: there is none.
        """
        known = await self.find(tenant, names.parse_asset(name))
        if known is None:
            raise not_found("asset", name)
        return known

    async def use(self, tenant: str, sha256: str) -> Known | None:
        """An asset that is about to be used, which is noted; None where there is none.

        Noting is guarded: what is removed at the same time does not come back by that.
        """
        while (known := await self.find(tenant, sha256)) is not None:
            now = self._clock()
            if now - known.last_use < USE_NOTED_EVERY:
                return known
            record = spec_pb2.AssetRecord()
            record.CopyFrom(known.record)
            record.use_time = now
            entry = Entry(subjects.asset(tenant, sha256), record.SerializeToString(), known.sequence)
            try:
                (sequence,) = await self._bus.append([entry])
            except SequenceConflictError:
                continue
            return Known(record, sequence)
        return None

    async def every(self, tenant: str) -> AsyncIterator[Known]:
        """All assets, in the order of their last use.

        Raises:
            UnreadableRecordError: one can't be read.
        """
        place = 0
        while messages := await self._bus.after(BLOBS, subjects.asset(tenant, "*"), place, _PAGE):
            for message in messages:
                if (known := _known(message)) is not None:
                    yield known
            place = messages[-1].sequence

    async def page(self, tenant: str, after: int, size: int, part: str = "") -> tuple[list[Known], int]:
        """At most `size` assets whose description is behind `after`, and where the next page begins; 0 on the last.

        What can't be read is passed over, and names that do not contain `part`.
        """
        found = list[Known]()
        while True:
            wanted = _PAGE if part else size + 1 - len(found)
            messages = await self._bus.after(BLOBS, subjects.asset(tenant, "*"), after, wanted)
            readable = [known for message in messages if (known := _try(message)) is not None]
            found += [known for known in readable if part in known.record.filename]
            if not messages:
                return found, 0
            if len(found) > size:
                return found[:size], found[size - 1].sequence
            after = messages[-1].sequence

    async def remove(self, tenant: str, known: Known) -> bool:
        """Remove an asset as it was found; answers whether it still was so. Its bytes stay until nothing names them.

        Raises:
            BusUnavailableError: not confirmed. Calling again is safe.
        """
        subject = subjects.asset(tenant, known.record.blob.sha256)
        try:
            await self._bus.append([Entry(subject, GONE, known.sequence, _MARK_KEPT)])
        except SequenceConflictError:
            return False
        except BusFullError:
            # Without a mark, which there is no room for; those who count hear of it when they start anew.
            await self._bus.purge(BLOBS, subject, known.sequence)
            return await self._bus.last(BLOBS, subject) is None
        return True

    def read(self, tenant: str, known: Known, offset_bytes: int, length_bytes: int) -> AsyncIterator[bytes]:
        """Its bytes from an offset on; all that follow where the length is 0.

        Raises:
            RefusedError: there is nothing at that offset.
        """
        blob = known.record.blob
        wanted = checked(blob.size_bytes, offset_bytes, length_bytes)
        return read_range(self._store, tenant, blob.sha256, wanted)

    def _record(self, content: Content, filename: str) -> spec_pb2.AssetRecord:
        media_type = sniff(content.head)
        return spec_pb2.AssetRecord(
            blob=spec_pb2.BlobRef(sha256=content.sha256, size_bytes=content.size_bytes),
            filename=filename or f"{content.sha256[:16]}{suffix(media_type)}",
            media_type=media_type,
            create_time=self._clock(),
        )


def to_asset(record: spec_pb2.AssetRecord) -> asset_pb2.Asset:
    """An asset as callers see it."""
    return asset_pb2.Asset(
        name=names.asset(record.blob.sha256),
        filename=record.filename,
        media_type=record.media_type,
        size_bytes=record.blob.size_bytes,
        sha256=record.blob.sha256,
        create_time=timestamp(record.create_time),
        use_time=timestamp(max(record.create_time, record.use_time)),
    )


def too_large(limit: int) -> RefusedError:
    """A file that is larger than is taken."""
    message = f"the asset has more than {limit} bytes, which is the limit"
    return RefusedError("MESSAGE_TOO_LARGE", message, {"limit_bytes": str(limit)})


def mismatch(expected: str, received: str) -> RefusedError:
    """Bytes that are other ones than was said."""
    metadata = {"expected": expected, "received": received}
    return RefusedError("CONTENT_MISMATCH", "the bytes received have another SHA-256 than announced", metadata)


def _known(message: Message | None) -> Known | None:
    if message is None or message.data == GONE:
        return None
    try:
        return Known(spec_pb2.AssetRecord.FromString(message.data), message.sequence)
    except DecodeError as error:
        raise UnreadableRecordError(message.subject, message.sequence, str(error), "asset", BLOBS.name) from error


def _try(message: Message) -> Known | None:
    try:
        return _known(message)
    except UnreadableRecordError as error:
        logger.warning("%s", error, extra={"action": "record_unreadable", "subject": error.subject})
        return None
