"""Workflows as the bus keeps them: one guarded message each, and their versions beside it, named by their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from google.protobuf.message import DecodeError

from comfymesh.api import packing
from comfymesh.api.errors import RefusedError
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, Entry, Message
from comfymesh.bus.streams import WORKFLOWS
from comfymesh.v1.workflow_pb2 import Workflow, WorkflowInput
from comfymesh.wire.v1.workflow_record_pb2 import WorkflowContent, WorkflowRecord, WorkflowVersionRef

MAX_BYTES = 1024 * 1024
"""Largest version, packed."""

_GONE_AFTER = timedelta(days=30)
"""How long it is remembered of a workflow without tasks that it was there, so that a delete may be repeated."""


@dataclass(frozen=True, slots=True)
class Head:
    """A workflow without its versions' content.

    Attributes:
        record: What is stored.
        sequence: Where; 0 where nothing is.
    """

    record: WorkflowRecord
    sequence: int = 0

    @property
    def is_there(self) -> bool:
        """Whether it, or what it made, can be looked up."""
        return bool(self.record.versions)

    @property
    def is_deleted(self) -> bool:
        """Whether no more tasks are made of it."""
        return self.record.workflow.HasField("delete_time")

    @property
    def size_bytes(self) -> int:
        """Bytes of all versions."""
        return sum(version.size_bytes for version in self.record.versions)

    @property
    def workflow(self) -> Workflow:
        """As callers see it, without graph and inputs."""
        shown = Workflow()
        shown.CopyFrom(self.record.workflow)
        shown.etag = str(self.sequence)
        return shown

    def version(self, number: int) -> WorkflowVersionRef | None:
        """The version of that number; 0 for the default one."""
        wanted = number or self.record.workflow.default_version
        return next((version for version in self.record.versions if version.number == wanted), None)


@dataclass(frozen=True, slots=True)
class Content:
    """What a version is: its graph's text, and its inputs."""

    graph_json: str
    inputs: tuple[WorkflowInput, ...]

    @property
    def graph_digest(self) -> str:
        """SHA-256 of the text, lowercase hex."""
        return hashlib.sha256(self.graph_json.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Packed:
    """A version as it is stored, and the SHA-256 of that in lowercase hex."""

    data: bytes
    digest: str

    @classmethod
    def of(cls, content: Content) -> Self:
        """A version, ready to be stored.

        Raises:
            RefusedError: it is too large. Whoever has such a graph has files in it, which are better given as assets.
        """
        message = WorkflowContent(inputs=content.inputs, graph_zlib=packing.pack(content.graph_json.encode()))
        if (size := message.ByteSize()) > MAX_BYTES:
            text = (
                f"graph and inputs have {size} bytes when packed, at most {MAX_BYTES} are stored; give files as assets"
            )
            raise RefusedError("MESSAGE_TOO_LARGE", text, {"size_bytes": str(size), "limit_bytes": str(MAX_BYTES)})
        data = message.SerializeToString(deterministic=True)
        return cls(data, hashlib.sha256(data).hexdigest())


class WorkflowStore:
    """Reads and writes workflows.

    Args:
        bus: Where they are.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def head(self, tenant: str, workflow_id: str) -> Head:
        """A workflow, never stale; an empty one where there is none.

        Raises:
            BusUnavailableError: no answer.
            RefusedError: it can't be read.
        """
        message = await self._bus.last(WORKFLOWS, subjects.workflow(tenant, workflow_id))
        return Head(WorkflowRecord()) if message is None else read_head(message)

    async def content(self, tenant: str, workflow_id: str, version: WorkflowVersionRef) -> Content | None:
        """What a version is; None where it was removed meanwhile.

        Raises:
            BusUnavailableError: no answer.
            RefusedError: it can't be read.
        """
        subject = subjects.workflow_content(tenant, workflow_id, version.digest)
        message = await self._bus.last(WORKFLOWS, subject)
        if message is None:
            return None
        try:
            stored = WorkflowContent.FromString(message.data)
        except DecodeError as error:
            raise _unreadable(message, error) from error
        return Content(packing.unpack(stored.graph_zlib).decode(), tuple(stored.inputs))

    async def write(
        self, tenant: str, workflow_id: str, record: WorkflowRecord, after: int, version: Packed | None = None
    ) -> Head:
        """Store a workflow in place of what is at sequence `after`, and before that a version, if any.

        Raises:
            SequenceConflictError: that is not the last any more. The version may be stored; nothing names it.
            BusUnavailableError: not confirmed; it may or may not have been stored.
        """
        entries = [Entry(subjects.workflow(tenant, workflow_id), record.SerializeToString(), after)]
        if version is not None:
            entries.insert(0, Entry(subjects.workflow_content(tenant, workflow_id, version.digest), version.data))
        return Head(record, (await self._bus.append(entries))[-1])

    async def mark_gone(self, tenant: str, workflow_id: str, record: WorkflowRecord, after: int) -> int:
        """Store that a workflow is gone in place of what is at sequence `after`.

        Answers the sequence of this mark, which goes by itself.

        Raises:
            SequenceConflictError, BusUnavailableError: as `write`.
        """
        data = record.SerializeToString()
        entry = Entry(subjects.workflow(tenant, workflow_id), data, after, lifetime=_GONE_AFTER)
        (mark,) = await self._bus.append([entry])
        return mark

    async def drop_versions(self, tenant: str, workflow_id: str, mark: int) -> None:
        """Drop all versions up to the mark that says they are gone; what comes behind it is of a new workflow.

        Raises:
            BusUnavailableError: not confirmed. Calling again is safe.
        """
        await self._bus.purge(WORKFLOWS, subjects.workflow_content(tenant, workflow_id, "*"), mark)

    async def drop_version(self, tenant: str, workflow_id: str, version: WorkflowVersionRef, mark: int) -> None:
        """Drop what a version is, as it was before sequence `mark`, which does not name it any more.

        Raises:
            BusUnavailableError: not confirmed. What stays is removed with the workflow.
        """
        await self._bus.purge(WORKFLOWS, subjects.workflow_content(tenant, workflow_id, version.digest), mark)


def read_head(message: Message) -> Head:
    """The workflow in a message.

    Raises:
        RefusedError: it can't be read.
    """
    try:
        return Head(WorkflowRecord.FromString(message.data), message.sequence)
    except DecodeError as error:
        raise _unreadable(message, error) from error


def _unreadable(message: Message, error: DecodeError) -> RefusedError:
    where = {"subject": message.subject, "sequence": str(message.sequence), "problem": str(error)}
    text = (
        f"message {message.sequence} on {message.subject} is no workflow that this version can read: {error}; remove it"
        f" (`nats stream rmm {WORKFLOWS.name} {message.sequence}`), or run a version that can"
    )
    return RefusedError("RECORD_UNREADABLE", text, where)
