"""Collects the bytes of artifacts, from chunks on a run's stream or from ReadArtifact, and checks their hash."""

from __future__ import annotations

import hashlib
from contextlib import aclosing
from dataclasses import fields
from typing import TYPE_CHECKING

from comfymesh.client.convert import artifact_from_proto
from comfymesh.client.errors import ServerError, Unavailable
from comfymesh.client.models import Artifact, LoadedArtifact
from comfymesh.v1 import asset_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from comfymesh.client.retries import Server
    from comfymesh.v1 import task_service_pb2

    OpenRead = Callable[[pb.ReadArtifactRequest], AsyncGenerator[pb.ReadArtifactResponse]]


class ChunkBuffer:
    """Puts chunks together. What comes out of order is dropped; it can be read again."""

    def __init__(self) -> None:
        self._parts: dict[str, bytearray] = {}

    def take_from(self, message: task_service_pb2.RunTaskResponse) -> None:
        """Takes the chunks that a message brings, if any."""
        if message.HasField("artifact_chunk"):
            self.add(message.artifact_chunk)
        for chunk in message.artifact_chunks:
            self.add(chunk)

    def add(self, chunk: task_service_pb2.ArtifactChunk) -> None:
        """Takes a chunk."""
        if chunk.offset_bytes == 0:
            self._parts[chunk.artifact] = bytearray()
        part = self._parts.get(chunk.artifact)
        if part is None or len(part) != chunk.offset_bytes:
            self._parts.pop(chunk.artifact, None)
            return
        part += chunk.data

    def holds(self, artifacts: Iterable[Artifact]) -> bool:
        """Whether the bytes of all of these are here."""
        return all(len(self._parts.get(artifact.name, b"")) == artifact.size_bytes for artifact in artifacts)

    def take(self, artifact: Artifact) -> LoadedArtifact | None:
        """Hands out an artifact, or None when its bytes are not all here, or not the right ones."""
        data = bytes(self._parts.pop(artifact.name, b""))
        return loaded(artifact, data) if _matches(artifact, data) else None


def loaded(artifact: Artifact, data: bytes) -> LoadedArtifact:
    """The artifact with its bytes."""
    known = {each.name: getattr(artifact, each.name) for each in fields(Artifact)}
    return LoadedArtifact(**known, data=data)


async def download(open_stream: OpenRead, server: Server, name: str) -> LoadedArtifact:
    """Reads an artifact; goes on where it was when the stream breaks.

    Args:
        open_stream: Begins one ReadArtifact stream.
        server: How patient to be with it.
        name: Resource name of the artifact.

    Raises:
        ServerError: What came does not have the size and hash that the server told (CONTENT_MISMATCH).
        ComfyMeshError: The call was refused, or the server stayed away for too long.
    """
    data = bytearray()
    artifact = Artifact(name=name, filename=name.rsplit("/", 1)[-1])
    retrier = server.retrier()
    while True:
        try:
            request = pb.ReadArtifactRequest(name=name, offset_bytes=len(data))
            async with aclosing(open_stream(request)) as messages:
                async for message in messages:
                    if message.HasField("artifact"):
                        artifact = artifact_from_proto(message.artifact)
                    if message.data:
                        retrier.succeeded()
                        data += message.data
            break
        except Unavailable as error:
            await retrier.failed(error)
    return _checked(artifact, bytes(data))


def _checked(artifact: Artifact, data: bytes) -> LoadedArtifact:
    if not _matches(artifact, data):
        received = hashlib.sha256(data).hexdigest()
        raise ServerError(
            f"{artifact.name} arrived damaged: {len(data)} bytes with another hash than the server told. "
            "Read it again; if that does not help, run the task again.",
            reason="CONTENT_MISMATCH",
            metadata={"expected": artifact.sha256, "received": received},
        )
    return loaded(artifact, data)


def _matches(artifact: Artifact, data: bytes) -> bool:
    if not artifact.sha256:
        return len(data) == artifact.size_bytes
    return hashlib.sha256(data).hexdigest() == artifact.sha256
