"""Sends local files and bytes to the server as assets."""

from __future__ import annotations

import asyncio
import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from comfymesh.client.convert import asset_from_proto
from comfymesh.client.errors import Conflict, NotFound, Unavailable
from comfymesh.client.graphs import file_unreadable
from comfymesh.client.inputs import Scalar
from comfymesh.v1 import asset_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping

    from comfymesh.client.models import Asset
    from comfymesh.client.retries import Server
    from comfymesh.client.transport import Transport

    SendUpload = Callable[[AsyncIterator[pb.UploadAssetRequest]], Awaitable[pb.UploadAssetResponse]]
    BeginUpload = Callable[[pb.BeginUploadRequest, float], Awaitable[pb.BeginUploadResponse]]

InputValue = Scalar | Path | bytes
"""A value for one input of a graph. Paths and bytes are uploaded; a string is a text and never a path."""

CHUNK_BYTES = 1024 * 1024
"""What one message may hold (comfymesh.v1.UploadAssetRequest)."""

RESUMABLE_BYTES = 8 * 1024 * 1024
"""What is larger goes on where it broke; what is smaller is sooner sent again than asked for. The server keeps parts of
4 MiB, so no more than that is lost."""

OnBytes = Callable[[int, int], object]
"""Called with the bytes that are through, and how many there are."""

_LONGEST_FILENAME = 128
_UPLOAD_NAME = re.compile(r"uploads/[0-9a-f]{64}")
_MOVED = ("UPLOAD_CONFLICT", "UPLOAD_NOT_FOUND")
"""Somebody else sends the same, or has just sent it: ask anew."""
_ANSWER_SECONDS = 5.0
"""However little patience is left, so long a server may take to tell how an upload stands."""


@dataclass(frozen=True, slots=True)
class Wire:
    """How uploads reach the server.

    Attributes:
        send: Makes one UploadAsset call.
        begin: Makes one BeginUpload call.
    """

    send: SendUpload
    begin: BeginUpload

    @classmethod
    def over(cls, transport: Transport) -> Wire:
        """Over an open line."""
        return cls(transport.upload_asset, transport.begin_upload)


@dataclass(frozen=True, slots=True)
class Upload:
    """Something to send.

    Attributes:
        source: The file, or the bytes themselves.
        filename: Name for people, or empty.
    """

    source: Path | bytes
    filename: str

    def open(self) -> io.BufferedReader | io.BytesIO:
        """The bytes from their beginning."""
        return self.source.open("rb") if isinstance(self.source, Path) else io.BytesIO(self.source)

    def measure(self) -> tuple[str, int]:
        """SHA-256 of the bytes, lowercase hex, and how many there are."""
        with self.open() as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return digest, file.seek(0, io.SEEK_END)


def upload_name(source: str | Path | bytes) -> str:
    """The name of the upload of a file or of bytes, ``uploads/{sha256}``, or `source` where it is one. Reads the file.

    Raises:
        InvalidRequest: The file can't be read (FILE_UNREADABLE).
    """
    if isinstance(source, str) and _UPLOAD_NAME.fullmatch(source):
        return source
    try:
        return f"uploads/{Upload(Path(source) if isinstance(source, str) else source, '').measure()[0]}"
    except OSError as error:
        raise file_unreadable(Path(str(source)), error) from error


async def upload(
    wire: Wire,
    server: Server,
    source: str | Path | bytes,
    filename: str | None = None,
    on_progress: OnBytes | None = None,
) -> Asset:
    """Stores a file or bytes as an asset. What the server has of it is not sent again, after whatever went wrong.

    Args:
        wire: How to reach the server.
        server: How patient to be with it.
        source: The path of a file, or the bytes themselves.
        filename: Name for people; default: the file's.
        on_progress: Called with the bytes that were sent, and how many there are.

    Raises:
        InvalidRequest: The file can't be read (FILE_UNREADABLE), or the server refuses it.
        ComfyMeshError: The upload failed.
    """
    what = Upload(Path(source) if isinstance(source, str) else source, _filename(source, filename))
    try:
        digest, size = await asyncio.to_thread(what.measure)
        sending = _Sending(wire, server, what, digest, size, on_progress or nobody)
        return await (sending.resumable() if size > RESUMABLE_BYTES else sending.at_once())
    except OSError as error:
        raise file_unreadable(Path(str(what.source)), error) from error


@dataclass(slots=True)
class _Sending:
    """One upload, with all its tries."""

    wire: Wire
    server: Server
    what: Upload
    digest: str
    size: int
    report: OnBytes

    async def at_once(self) -> Asset:
        """As a whole, again and again: the same bytes are the same asset."""

        async def attempt(_seconds: float) -> pb.UploadAssetResponse:
            header = pb.UploadAssetHeader(filename=self.what.filename, sha256=self.digest)
            return await self.wire.send(self._requests(header, 0))

        return asset_from_proto((await self.server.retry(attempt)).asset)

    async def resumable(self) -> Asset:
        """Behind what the server has, which it is asked before each try."""
        retrier, committed = self.server.retrier(), -1
        begin = pb.BeginUploadRequest(filename=self.what.filename, sha256=self.digest, size_bytes=self.size)
        while True:
            try:
                begun = await self.wire.begin(begin, max(retrier.remaining, _ANSWER_SECONDS))
                self.server.answered = True
                if begun.HasField("asset"):
                    self.report(self.size, self.size)
                    return asset_from_proto(begun.asset)
                if begun.upload.committed_bytes > committed:
                    # Something has come through since. The question itself does not count: it could go on for ever.
                    retrier.succeeded()
                committed = begun.upload.committed_bytes
                header = pb.UploadAssetHeader(upload=begun.upload.name, offset_bytes=committed)
                answer = await self.wire.send(self._requests(header, committed))
                return asset_from_proto(answer.asset)
            except (Unavailable, Conflict, NotFound) as error:
                if not isinstance(error, Unavailable) and error.reason not in _MOVED:
                    raise
                await retrier.failed(error)

    async def _requests(self, header: pb.UploadAssetHeader, offset: int) -> AsyncIterator[pb.UploadAssetRequest]:
        yield pb.UploadAssetRequest(header=header)
        file = await asyncio.to_thread(self.what.open)
        with file:
            file.seek(offset)
            while data := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield pb.UploadAssetRequest(data=data)
                offset += len(data)
                self.report(offset, self.size)


async def upload_inputs(wire: Wire, server: Server, inputs: Mapping[str, InputValue]) -> dict[str, Scalar]:
    """The same inputs with an asset in the place of each path and of bytes.

    Raises:
        ComfyMeshError: As `upload`.
    """
    ready: dict[str, Scalar] = {}
    for key, value in inputs.items():
        ready[key] = await upload(wire, server, value) if isinstance(value, (Path, bytes)) else value
    return ready


def _filename(source: str | Path | bytes, filename: str | None) -> str:
    name = filename if filename is not None else "" if isinstance(source, bytes) else Path(source).name
    return name[-_LONGEST_FILENAME:]


def nobody(_done: int, _whole: int) -> None:
    """Nobody wants to know."""
