"""Artifacts of tasks: found by name, read in pieces. And the graphs that made them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from comfymesh import names
from comfymesh.api import packing
from comfymesh.api.errors import not_found
from comfymesh.api.ranges import checked
from comfymesh.artifacts.errors import BlobMissingError, StoreUnavailableError
from comfymesh.artifacts.store import BlobStore, read_all, read_range
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus
from comfymesh.bus.streams import PROGRESS
from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.tasks.record import Key
from comfymesh.v1 import task_pb2, task_service_pb2

TOGETHER_BYTES = 1024 * 1024
"""Artifacts that have no more bytes than this together travel in one message."""

_LOOKS = 5
_LOOK_SECONDS = 0.1
"""Watchers hear of an artifact from the node, on a cluster before its progress is stored and can be read."""

_UNDER_WAY = frozenset({task_pb2.Task.STATE_RUNNING, task_pb2.Task.STATE_CANCELLING})


@dataclass(frozen=True, slots=True)
class Found:
    """An artifact, with its bytes where the task's record holds them."""

    tenant: str
    artifact: task_pb2.Artifact
    small: bytes | None


class Artifacts:
    """Reads artifacts, and the graphs that made them."""

    def __init__(self, log: TaskLog, bus: Bus, store: BlobStore) -> None:
        self._log = log
        self._bus = bus
        self._store = store

    async def find(self, tenant: str, name: str) -> Found:
        """The artifact of that name: one that the task has made, or that its present attempt has stored by now.

        Raises:
            RefusedError: there is none.
        """
        task_id, artifact_id = names.parse_artifact(name)
        for _ in range(_LOOKS):
            stored = await self._log.get(Key(tenant, task_id))
            if stored is None:
                break
            for found in all_of(stored) or await self._under_way(stored):
                if name == found.artifact.name or artifact_id == found.artifact.sha256:
                    return found
            if stored.task.state not in _UNDER_WAY:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        raise not_found("artifact", name)

    async def _under_way(self, stored: Stored) -> list[Found]:
        """What the present attempt has told of."""
        if stored.task.state not in _UNDER_WAY:
            return []
        latest = await self._bus.last(PROGRESS, subjects.progress(stored.key))
        try:
            progress = task_pb2.TaskProgress.FromString(latest.data if latest else b"")
        except DecodeError:
            return []
        told = progress.artifacts if progress.attempt == stored.task.attempt else ()
        return [Found(stored.key.tenant, artifact, None) for artifact in told]

    async def graph(self, stored: Stored) -> str:
        """The graph that a task runs, JSON text.

        Raises:
            BlobMissingError, StoreUnavailableError: it can't be read.
        """
        spec = await self._log.spec_of(stored)
        blob, packed = spec.graph_blob, spec.graph_zlib
        if not packed:
            packed = await read_all(self._store, stored.key.tenant, blob.sha256, blob.size_bytes)
        return packing.unpack(packed).decode()

    async def read(self, found: Found, offset_bytes: int = 0, length_bytes: int = 0) -> AsyncIterator[bytes]:
        """Its bytes from `offset_bytes` on; all that follow where the length is 0.

        Raises:
            RefusedError: there is nothing at that offset.
        """
        artifact = found.artifact
        wanted = checked(artifact.size_bytes, offset_bytes, length_bytes)
        if found.small is not None:
            yield found.small[wanted.start : wanted.end]
            return
        async for piece in read_range(self._store, found.tenant, artifact.sha256, wanted):
            yield piece

    async def together(self, stored: Stored) -> list[task_service_pb2.ArtifactChunk]:
        """Every artifact of a task whole; nothing where they are too large for one message, or can't be read now."""
        artifacts = all_of(stored)
        if sum(found.artifact.size_bytes for found in artifacts) > TOGETHER_BYTES:
            return []
        try:
            whole = await asyncio.gather(*(self._whole(found) for found in artifacts))
        except (BlobMissingError, StoreUnavailableError):
            return []  # Whoever reads them one by one is told what is wrong.
        return [
            task_service_pb2.ArtifactChunk(artifact=found.artifact.name, data=data)
            for found, data in zip(artifacts, whole, strict=True)
        ]

    async def pieces(self, stored: Stored) -> AsyncIterator[task_service_pb2.ArtifactChunk]:
        """Every artifact of a task, piece by piece."""
        for found in all_of(stored):
            offset = 0
            async for data in self.read(found):
                chunk = task_service_pb2.ArtifactChunk(artifact=found.artifact.name, offset_bytes=offset, data=data)
                yield chunk
                offset += len(data)

    async def _whole(self, found: Found) -> bytes:
        return b"".join([piece async for piece in self.read(found)])


def all_of(stored: Stored) -> list[Found]:
    """Every artifact of a task."""
    small = stored.message.small_artifacts
    return [
        Found(stored.key.tenant, artifact, small.get(names.parse_artifact(artifact.name)[1]))
        for artifact in stored.task.artifacts
    ]
