"""Uploads that may be interrupted: what has come is kept in parts, and any replica goes on with it.

There is one upload for each content of a tenant, named by its SHA-256, and one message on the bus that says how far it
has come. Moving it is guarded like everything else: of two who send a part, one is told that the other was first.

A part is a blob of its own, so what was sent and never completed is removed like any blob that nobody names.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.message import DecodeError

from comfymesh import names
from comfymesh.api.access.quotas import Quotas
from comfymesh.api.assets import Assets, mismatch, to_asset, too_large
from comfymesh.api.errors import RefusedError, not_found
from comfymesh.artifacts.content import Content, ContentTooLargeError
from comfymesh.artifacts.store import BlobStore, read_range
from comfymesh.artifacts.store import Range as Bytes
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, Entry, Message, SequenceConflictError
from comfymesh.bus.records import UnreadableRecordError
from comfymesh.bus.streams import BLOBS
from comfymesh.tasks.moments import timestamp
from comfymesh.v1 import asset_pb2
from comfymesh.wire.v1 import spec_pb2

PART_BYTES = 4 * 1024 * 1024
"""A part is full with so many bytes; so much is sent again at most when an upload breaks."""

LEAST_PART_BYTES = 1024 * 1024
"""No part but the last is smaller, so an upload has few parts for its size, however often its stream breaks."""

KEPT = timedelta(hours=24)
"""An upload that does not go on for so long is forgotten."""

KEPT_EMPTY = timedelta(hours=1)
"""An upload of which nothing has come is forgotten sooner: what was announced counts for the tenant's quota."""

_ENDED = b""
_MARK_KEPT = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class _Standing:
    """How far an upload has come, and which message says so."""

    record: spec_pb2.UploadRecord
    sequence: int

    @property
    def sha256(self) -> str:
        return self.record.blob.sha256

    @property
    def size(self) -> int:
        return self.record.blob.size_bytes

    @property
    def committed(self) -> int:
        return sum(part.size_bytes for part in self.record.parts)


class Uploads:
    """Takes uploads in, part by part.

    Args:
        bus: Where it is written how far they have come.
        store: Where their parts are.
        assets: What they become.
        clock: Answers seconds since the epoch.
        quotas: How much a tenant may keep.
        least: Bytes that a part has which is not the last.
    """

    def __init__(  # what it moves between, and what it obeys
        self,
        bus: Bus,
        store: BlobStore,
        assets: Assets,
        clock: Callable[[], float],
        quotas: Quotas,
        least: int = LEAST_PART_BYTES,
    ) -> None:
        self._bus = bus
        self._store = store
        self._assets = assets
        self._clock = clock
        self._quotas = quotas
        self._least = least

    async def begin(
        self, tenant: str, filename: str, sha256: str, size_bytes: int
    ) -> asset_pb2.Asset | asset_pb2.Upload:
        """The asset of that content, or the upload that is to become it: the one under way, or a new one.

        Raises:
            RefusedError: too large, or more than the tenant may keep.
        """
        if (known := await self._assets.use(tenant, sha256)) is not None:
            return to_asset(known.record)
        if size_bytes > self._assets.max_bytes:
            raise too_large(self._assets.max_bytes)
        standing, sequence = await self._last(tenant, sha256)
        if standing is None or standing.size != size_bytes:
            blob = spec_pb2.BlobRef(sha256=sha256, size_bytes=size_bytes)
            record = spec_pb2.UploadRecord(blob=blob, filename=filename)
            with self._quotas.bringing(tenant, sha256, size_bytes):
                standing = await self._move(tenant, _Standing(record, sequence))
        return _to_upload(standing)

    async def receive(self, tenant: str, name: str, offset_bytes: int, data: AsyncIterable[bytes]) -> asset_pb2.Asset:
        """Take in what follows the committed bytes of an upload; answers the asset once all is there.

        Raises:
            RefusedError: there is no such upload, it does not stand there, or the bytes are not those announced.
        """
        standing = await self._get(tenant, name)
        if offset_bytes != standing.committed:
            raise _conflict(standing)
        pieces = aiter(data)
        while (moved := await self._take_part(tenant, standing, pieces)) is not None:
            standing = moved
        if standing.committed < standing.size:
            sizes = {"expected": str(standing.size), "received": str(standing.committed)}
            message = f"the stream ended after {standing.committed} of {standing.size} bytes; go on behind them"
            raise RefusedError("CONTENT_MISMATCH", message, sizes)
        return await self._complete(tenant, standing)

    async def abort(self, tenant: str, name: str) -> None:
        """Forget an upload; its parts go like any blob that nobody names.

        One of which all has come is about to be an asset, which must not escape what its tenant may store. For some
        minutes again is fine, unless it has become an asset: whoever was not told that it is done asks once more.

        Raises:
            RefusedError: there is no such upload, or all of it has come.
        """
        sha256 = names.parse_upload(name)
        while True:
            standing, mark = await self._last(tenant, sha256)
            if standing is None:
                if mark and await self._assets.find(tenant, sha256) is None:
                    return
                raise not_found("upload", name)
            if standing.record.parts and standing.committed == standing.size:
                raise _conflict(standing, "and is all there: send an empty stream behind it, and delete the asset")
            if await self._end(tenant, standing):
                return
            # A part came at the same moment, or the last one.

    async def _take_part(self, tenant: str, standing: _Standing, pieces: AsyncIterator[bytes]) -> _Standing | None:
        """Take in one part; None where what still came is none, and is to be sent again."""
        missing = standing.size - standing.committed
        try:
            content = await Content.collect(_until_full(pieces), missing)
        except ContentTooLargeError:
            sizes = {"expected": str(standing.size), "received": f"more than {standing.size}"}
            message = f"more bytes came than the {standing.size} announced"
            raise RefusedError("CONTENT_MISMATCH", message, sizes) from None
        with content:
            if not content.size_bytes or content.size_bytes < min(self._least, PART_BYTES, missing):
                return None
            return await self._commit(tenant, standing, content)

    async def _commit(self, tenant: str, standing: _Standing, content: Content) -> _Standing:
        # What was announced is counted since then.
        await self._store.put(tenant, content)
        part = spec_pb2.BlobRef(sha256=content.sha256, size_bytes=content.size_bytes)
        record = spec_pb2.UploadRecord()
        record.CopyFrom(standing.record)
        record.parts.append(part)
        return await self._move(tenant, _Standing(record, standing.sequence))

    async def _complete(self, tenant: str, standing: _Standing) -> asset_pb2.Asset:
        """Put the parts together. What is cut short here is done again by who asks again: the parts are still there."""
        content = await Content.collect(self._parts(tenant, standing.record), standing.size)
        with content:
            if content.sha256 != standing.sha256:
                # Nothing that follows could mend them.
                await self._end(tenant, standing)
                raise mismatch(standing.sha256, content.sha256)
            asset = await self._assets.keep(tenant, standing.record.filename, content)
        await self._end(tenant, standing)
        return asset

    async def _parts(self, tenant: str, record: spec_pb2.UploadRecord) -> AsyncIterator[bytes]:
        for part in record.parts:
            async for piece in read_range(self._store, tenant, part.sha256, Bytes(0, part.size_bytes)):
                yield piece

    async def _move(self, tenant: str, standing: _Standing) -> _Standing:
        """Write down how far an upload has come, if nobody else has moved it since."""
        record, subject = standing.record, subjects.upload(tenant, standing.sha256)
        kept = KEPT if record.parts else KEPT_EMPTY
        record.expire_time = self._clock() + kept.total_seconds()
        try:
            (sequence,) = await self._bus.append([Entry(subject, record.SerializeToString(), standing.sequence, kept)])
        except SequenceConflictError:
            last, _ = await self._last(tenant, standing.sha256)
            raise _conflict(last or standing) from None
        return _Standing(record, sequence)

    async def _end(self, tenant: str, standing: _Standing) -> bool:
        """Whether nobody has ended it before, begun anew or moved it."""
        entry = Entry(subjects.upload(tenant, standing.sha256), _ENDED, standing.sequence, _MARK_KEPT)
        try:
            await self._bus.append([entry])
        except SequenceConflictError:
            return False
        return True

    async def _get(self, tenant: str, name: str) -> _Standing:
        standing, _ = await self._last(tenant, names.parse_upload(name))
        if standing is None:
            raise not_found("upload", name)
        return standing

    async def _last(self, tenant: str, sha256: str) -> tuple[_Standing | None, int]:
        """How an upload stands, None for not at all; and behind which message it goes on."""
        message = await self._bus.last(BLOBS, subjects.upload(tenant, sha256))
        if message is None or message.data == _ENDED:
            return None, message.sequence if message else 0
        return _Standing(read_record(message), message.sequence), message.sequence


def read_record(message: Message) -> spec_pb2.UploadRecord:
    """How an upload stands, by its message.

    Raises:
        UnreadableRecordError: it can't be read.
    """
    try:
        return spec_pb2.UploadRecord.FromString(message.data)
    except DecodeError as error:
        raise UnreadableRecordError(message.subject, message.sequence, str(error), "upload", BLOBS.name) from error


async def _until_full(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What makes one part of a stream; the stream goes on behind it."""
    size = 0
    while size < PART_BYTES and (piece := await anext(pieces, None)) is not None:
        size += len(piece)
        yield piece


def _to_upload(standing: _Standing) -> asset_pb2.Upload:
    return asset_pb2.Upload(
        name=names.upload(standing.sha256),
        size_bytes=standing.size,
        committed_bytes=standing.committed,
        expire_time=timestamp(standing.record.expire_time),
    )


def _conflict(standing: _Standing, then: str = "now: ask BeginUpload, and go on there") -> RefusedError:
    name = names.upload(standing.sha256)
    message = f"{name} stands at {standing.committed} bytes {then}"
    return RefusedError("UPLOAD_CONFLICT", message, {"upload": name, "committed_bytes": str(standing.committed)})
