"""The task log as a history has it."""

from __future__ import annotations

from collections.abc import Iterator

from comfymesh.bus import subjects
from comfymesh.bus.port import Message
from comfymesh.tasks import codec, usage
from comfymesh.tasks.events import AttemptFailed
from comfymesh.tasks.moments import seconds
from comfymesh.tasks.parts import failure_of
from comfymesh.testkit.history import UNGUARDED, Logged, Made
from comfymesh.testkit.meshapi import CONTENT_LABEL, seen
from comfymesh.v1 import task_pb2
from comfymesh.wire.v1 import task_record_pb2


def records(message: Message, expected: int | None, began: float) -> Iterator[Logged | Made]:
    """What a message of the log says.

    Args:
        message: The message.
        expected: The sequence that its writer expected, None where it expected nothing.
        began: When the run began, seconds since the epoch.
    """
    if not message.data:
        return  # The mark of a task that has left the log.
    key = subjects.parse_task(message.subject)
    record = task_record_pb2.TaskRecord.FromString(message.data)
    task, at = record.task, max(0.0, message.time - began)
    yield Logged(
        at,
        key.task_id,
        message.sequence,
        UNGUARDED if expected is None else expected,
        record.event,
        *seen(task),
        node=task.node.rpartition("/")[2],
        content=task.labels.get(CONTENT_LABEL, ""),
        group=task.group,
        origin=task.requeued_from.rpartition("/")[2],
        failure=_failure(record),
        limit=task.execution_timeout.ToMilliseconds() / 1000,
        start_by=_start_by(task, began),
        used=_used(record),
    )
    for artifact in task.artifacts:
        yield Made(at, key.task_id, artifact.name, artifact.size_bytes, artifact.sha256)


def _start_by(task: task_pb2.Task, began: float) -> float:
    """When it must have begun, in seconds since the run began; 0 where it may wait for ever."""
    if not task.HasField("start_timeout"):
        return 0.0
    return seconds(task.create_time) - began + task.start_timeout.ToMilliseconds() / 1000


def _used(record: task_record_pb2.TaskRecord) -> float | None:
    """What the attempt has used that a record ends; None where it ends none."""
    if record.event not in usage.ENDS:
        return None
    used = usage.of_record(codec.from_message(record))
    return None if used is None else used.seconds


def _failure(record: task_record_pb2.TaskRecord) -> str:
    """How the attempt failed whose failure a record tells; empty where it tells none."""
    if record.event != AttemptFailed.__name__ or not record.failures:
        return ""
    return failure_of(record.failures[-1]).failure.value
