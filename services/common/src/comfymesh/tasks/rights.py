"""What a node may read and write of the mesh's tasks: those given to it, changed as a node changes them. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from comfymesh.tasks.events import Assigned, AttemptFailed, Cancelled, Event, Released, Started, Succeeded
from comfymesh.tasks.machine import TRANSITIONS
from comfymesh.tasks.record import HELD, State, TaskRecord
from comfymesh.wire.v1 import spec_pb2

_WRITTEN_BY_NODES: dict[str, type[Event]] = {
    event.__name__: event for event in (Assigned, Started, Succeeded, AttemptFailed, Released, Cancelled)
}


def holds(node: str, record: TaskRecord | None) -> bool:
    """Whether the node holds an attempt of the task."""
    return record is not None and record.node == node and record.state in HELD


def refusal(node: str, last: TaskRecord | None, record: TaskRecord) -> str:
    """Why the node may not append `record` behind `last`; empty where it may.

    A task that waits may be claimed by whoever knows its name, which is who was offered it. What the record says of the
    task itself is not looked at: see `as_written`.
    """
    if last is None:
        return "there is no such task"
    event = _WRITTEN_BY_NODES.get(record.event)
    if event is None or record.state not in TRANSITIONS.get((last.state, event), ()):
        return f"a node can't make {record.event} of a task that is {last.state}"
    if last.state is State.QUEUED:
        return "" if (record.node, record.attempt) == (node, last.attempt + 1) else "a node claims for itself alone"
    return "" if holds(node, last) and record.attempt == last.attempt else "the task is not this node's"


def as_written(last: TaskRecord, record: TaskRecord) -> TaskRecord:
    """The record that is stored: what a task is, is not for a node to say, nor for an older version to forget."""
    return replace(record, definition=last.definition)


def blobs_of(spec: spec_pb2.Spec) -> Collection[str]:
    """The blobs that an attempt has to read, by SHA-256."""
    graph = [spec.graph_blob.sha256] if spec.HasField("graph_blob") else []
    return frozenset([*graph, *(binding.blob.sha256 for binding in spec.assets)])
