"""Artifacts of tasks: found by name, read in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from comfymesh import names
from comfymesh.api.errors import RefusedError, Violation, not_found
from comfymesh.artifacts.errors import BlobMissingError, StoreUnavailableError
from comfymesh.artifacts.store import BlobStore, read_all
from comfymesh.bus.tasklog import TaskLog
from comfymesh.tasks.record import Key
from comfymesh.v1 import task_pb2, task_service_pb2

TOGETHER_BYTES = 1024 * 1024
"""Artifacts that have no more bytes than this together travel in one message."""


class Artifacts:
    """Reads artifacts from the store."""

    def __init__(self, log: TaskLog, store: BlobStore) -> None:
        self._log = log
        self._store = store

    async def find(self, tenant: str, name: str) -> task_pb2.Artifact:
        """The artifact of that name.

        Raises:
            RefusedError: there is none.
        """
        task_id, _ = names.parse_artifact(name)
        stored = await self._log.get(Key(tenant, task_id))
        found = next((a for a in stored.task.artifacts if a.name == name), None) if stored else None
        if found is None:
            raise not_found("artifact", name)
        return found

    def read(self, tenant: str, artifact: task_pb2.Artifact, offset_bytes: int = 0) -> AsyncIterator[bytes]:
        """Its bytes from `offset_bytes` on."""
        if not 0 <= offset_bytes <= artifact.size_bytes:
            violation = Violation("offset_bytes", f"{offset_bytes} is not between 0 and {artifact.size_bytes}")
            raise RefusedError("INPUT_INVALID", f"offset_bytes: {violation.description}", violations=[violation])
        return self._store.read(tenant, artifact.sha256, artifact.size_bytes, offset_bytes)

    async def together(
        self, tenant: str, artifacts: Sequence[task_pb2.Artifact]
    ) -> list[task_service_pb2.ArtifactChunk]:
        """Every artifact whole; nothing where they are too large for one message, or can't all be read right now."""
        if sum(artifact.size_bytes for artifact in artifacts) > TOGETHER_BYTES:
            return []
        reads = [read_all(self._store, tenant, artifact.sha256, artifact.size_bytes) for artifact in artifacts]
        try:
            found = await asyncio.gather(*reads)
        except (BlobMissingError, StoreUnavailableError):
            return []  # Whoever reads them one by one is told what is wrong.
        return [
            task_service_pb2.ArtifactChunk(artifact=artifact.name, data=data)
            for artifact, data in zip(artifacts, found, strict=True)
        ]

    async def pieces(
        self, tenant: str, artifacts: Sequence[task_pb2.Artifact]
    ) -> AsyncIterator[task_service_pb2.ArtifactChunk]:
        """Every artifact, piece by piece."""
        for artifact in artifacts:
            offset = 0
            async for data in self.read(tenant, artifact):
                yield task_service_pb2.ArtifactChunk(artifact=artifact.name, offset_bytes=offset, data=data)
                offset += len(data)
