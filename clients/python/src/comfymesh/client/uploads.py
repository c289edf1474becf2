"""Sends local files and bytes to the server as assets."""

from __future__ import annotations

import asyncio
import hashlib
import io
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING

from comfymesh.client.convert import asset_from_proto
from comfymesh.client.graphs import file_unreadable
from comfymesh.client.inputs import Scalar
from comfymesh.v1 import asset_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from comfymesh.client.models import Asset
    from comfymesh.client.retries import Server

    SendUpload = Callable[[AsyncIterator[pb.UploadAssetRequest], float], Awaitable[pb.UploadAssetResponse]]

InputValue = Scalar | Path | bytes
"""A value for one input of a graph. Paths and bytes are uploaded; a string is a text and never a path."""

CHUNK_BYTES = 1024 * 1024
"""What one message may hold (comfymesh.v1.UploadAssetRequest)."""

_LONGEST_FILENAME = 128
_PAUSE = 0.05
"""Seconds to listen after each message once an upload broke: time to learn why (see Transport.upload_asset)."""


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

    def digest(self) -> str:
        """SHA-256 of the bytes, lowercase hex."""
        with self.open() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


async def upload(send: SendUpload, server: Server, source: str | Path | bytes, filename: str | None = None) -> Asset:
    """Stores a file or bytes as an asset. Repeated when the server is away; the same bytes are the same asset.

    Args:
        send: Makes one UploadAsset call.
        server: How patient to be with it.
        source: The path of a file, or the bytes themselves.
        filename: Name for people; default: the file's.

    Raises:
        InvalidRequest: The file can't be read (FILE_UNREADABLE), or the server refuses it.
        ComfyMeshError: The upload failed.
    """
    what = Upload(Path(source) if isinstance(source, str) else source, _filename(source, filename))

    pauses = chain([0.0], repeat(_PAUSE))

    async def attempt(_seconds: float) -> pb.UploadAssetResponse:
        return await send(_requests(what, digest), next(pauses))

    try:
        digest = await asyncio.to_thread(what.digest)
        answer = await server.retry(attempt)
    except OSError as error:
        raise file_unreadable(Path(str(what.source)), error) from error
    return asset_from_proto(answer.asset)


async def upload_inputs(send: SendUpload, server: Server, inputs: Mapping[str, InputValue]) -> dict[str, Scalar]:
    """The same inputs with an asset in the place of each path and of bytes.

    Raises:
        ComfyMeshError: As `upload`.
    """
    ready: dict[str, Scalar] = {}
    for key, value in inputs.items():
        ready[key] = await upload(send, server, value) if isinstance(value, (Path, bytes)) else value
    return ready


def _filename(source: str | Path | bytes, filename: str | None) -> str:
    name = filename if filename is not None else "" if isinstance(source, bytes) else Path(source).name
    return name[-_LONGEST_FILENAME:]


async def _requests(what: Upload, digest: str) -> AsyncIterator[pb.UploadAssetRequest]:
    yield pb.UploadAssetRequest(header=pb.UploadAssetHeader(filename=what.filename, sha256=digest))
    file = await asyncio.to_thread(what.open)
    with file:
        while data := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield pb.UploadAssetRequest(data=data)
