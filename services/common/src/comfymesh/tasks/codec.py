"""Task records as protobuf messages and back, as a whole. `parts.py` has what they are made of."""

from __future__ import annotations

from typing import cast

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from comfymesh import names
from comfymesh.tasks.defining import STATES, defined, defined_task, keep
from comfymesh.tasks.moments import seconds, timestamp
from comfymesh.tasks.parts import (
    artifact_of,
    error_of,
    failure_of,
    needs_of,
    placement_of,
    timing_of,
    to_artifact,
    to_error,
    to_failure,
    to_timing,
)
from comfymesh.tasks.record import ANYWHERE, Definition, Key, Resolution, SpecRef, TaskRecord, Work
from comfymesh.tasks.usage import Ending
from comfymesh.v1 import task_pb2
from comfymesh.wire.v1 import task_record_pb2

_STATE_OF = {number: state for state, number in STATES.items()}
_RESOLUTIONS = {
    resolution: cast(
        "task_pb2.Task.DeadLetterResolution",
        task_pb2.Task.DeadLetterResolution.Value(f"DEAD_LETTER_RESOLUTION_{resolution}"),
    )
    for resolution in Resolution
}
_RESOLUTION_OF = {
    task_pb2.Task.DEAD_LETTER_RESOLUTION_UNSPECIFIED: None,
    **{number: resolution for resolution, number in _RESOLUTIONS.items()},
}


def encode(record: TaskRecord) -> bytes:
    """The record as bytes for the log."""
    return to_message(record).SerializeToString()


def decode(data: bytes) -> TaskRecord:
    """The record in `data`.

    Raises:
        google.protobuf.message.DecodeError: `data` is not a task record.
    """
    return from_message(task_record_pb2.TaskRecord.FromString(data))


def to_message(record: TaskRecord) -> task_record_pb2.TaskRecord:
    """The record as a message; its `task` is what callers may see."""
    message = task_record_pb2.TaskRecord()
    message.CopyFrom(defined(record.definition))
    _tell(message.task, record)
    message.event = record.event
    message.releases = record.releases
    if record.failures:
        message.failures.extend(map(to_failure, record.failures))
    for artifact in record.artifacts:
        if artifact.small:
            message.small_artifacts[artifact.artifact_id] = artifact.small
    if record.not_before:
        message.not_before.CopyFrom(timestamp(record.not_before))
    return message


def from_message(message: task_record_pb2.TaskRecord, *, goes_on: bool = False) -> TaskRecord:
    """The record in a message.

    Args:
        message: The record.
        goes_on: Whether further records are to be written of the task: what they have in common is kept then.
    """
    task = message.task
    definition = _definition(message)
    if goes_on:
        keep(definition, message)
    return TaskRecord(
        definition=definition,
        state=_STATE_OF[task.state],
        event=message.event,
        update_time=seconds(task.update_time),
        reason=task.state_reason,
        attempt=task.attempt,
        node=names.parse_node(task.node) if task.node else "",
        instance=task.instance,
        error=error_of(task.error) if task.HasField("error") else None,
        artifacts=tuple(artifact_of(artifact, message.small_artifacts) for artifact in task.artifacts),
        failures=tuple(failure_of(failure) for failure in message.failures),
        not_before=seconds(message.not_before),
        releases=message.releases,
        start_time=seconds(task.start_time) if task.HasField("start_time") else None,
        end_time=seconds(task.end_time) if task.HasField("end_time") else None,
        timing=timing_of(task.timing) if task.HasField("timing") else None,
        resolution=_RESOLUTION_OF[task.dead_letter_resolution],
        requeued_as=names.parse_task(task.requeued_as) if task.requeued_as else "",
    )


def _tell(task: task_pb2.Task, record: TaskRecord) -> None:
    """Write down how the task stands, in a message that has its definition."""
    task.state = STATES[record.state]
    task.state_reason = record.reason
    task.attempt = record.attempt
    task.instance = record.instance
    task.update_time.CopyFrom(timestamp(record.update_time))
    if record.node:
        task.node = names.node(record.node)
    if record.artifacts:
        task.artifacts.extend([to_artifact(record.key.task_id, artifact) for artifact in record.artifacts])
    if record.requeued_as:
        task.requeued_as = names.task(record.requeued_as)
    if record.resolution is not None:
        task.dead_letter_resolution = _RESOLUTIONS[record.resolution]
    if record.error is not None:
        task.error.CopyFrom(to_error(record.error))
    if record.timing is not None:
        task.timing.CopyFrom(to_timing(record.timing))
    if record.start_time is not None:
        task.start_time.CopyFrom(timestamp(record.start_time))
    if record.end_time is not None:
        task.end_time.CopyFrom(timestamp(record.end_time))


def _definition(message: task_record_pb2.TaskRecord) -> Definition:
    task = message.task
    return Definition(
        key=Key(message.tenant, message.task_id),
        request_digest=message.request_digest,
        spec=SpecRef(
            message.spec.digest,
            message.spec.size_bytes,
            message.spec.small,
            tuple(digest.hex() for digest in message.spec.blobs) if message.spec.blobs_known else None,
        ),
        requirements=needs_of(
            message.requirements, placement_of(task.placement) if task.HasField("placement") else ANYWHERE
        ),
        create_time=seconds(task.create_time),
        display_name=task.display_name,
        priority=task.priority,
        labels=dict(task.labels),
        execution_timeout=task.execution_timeout.ToMilliseconds() / 1000,
        start_timeout=task.start_timeout.ToMilliseconds() / 1000 if task.HasField("start_timeout") else None,
        max_retries=task.max_retries,
        allow_partial_outputs=task.allow_partial_outputs,
        trace_parent=message.trace_parent,
        group=names.parse_group(task.group) if task.group else "",
        requeued_from=names.parse_task(task.requeued_from) if task.requeued_from else "",
        callback_url=task.callback_url,
        callback_states=tuple(_STATE_OF[state] for state in task.callback_states),
        workflow_version=task.workflow_version,
        work=Work(message.work.shape, message.work.units) if message.HasField("work") else Work(),
        unknown=_unknown(message),
    )


def _unknown(message: task_record_pb2.TaskRecord) -> bytes:
    """Fields of a record, and of the task in it, that this version does not know: as a message that has only these.

    They are written again with each change, so that a version in between takes nothing away (ADR 47).
    """
    if not len(UnknownFieldSet(message)) and not len(UnknownFieldSet(message.task)):
        return b""
    rest = task_record_pb2.TaskRecord()
    rest.MergeFrom(message)
    _forget(rest.task)
    task = rest.task.SerializeToString()
    _forget(rest)
    if task:
        rest.task.MergeFromString(task)
    return rest.SerializeToString()


def _forget(message: Message) -> None:
    for field, _ in message.ListFields():
        message.ClearField(field.name)


def ending_of(message: task_record_pb2.TaskRecord) -> Ending:
    """What `usage` asks of a record: a fraction of what its whole value costs.

    Raises:
        KeyError, ValueError: this version can't read it.
    """
    task = message.task
    return Ending(
        event=message.event,
        state=_STATE_OF[task.state],
        attempt=task.attempt,
        node=names.parse_node(task.node) if task.node else "",
        instance=task.instance,
        failures=[failure_of(failure) for failure in message.failures],
        start_time=seconds(task.start_time) if task.HasField("start_time") else None,
        timing=timing_of(task.timing) if task.HasField("timing") else None,
        update_time=seconds(task.update_time),
    )


def to_task(record: TaskRecord) -> task_pb2.Task:
    """A task that was just made, as callers would see it: nothing else of its record is made for that."""
    task = defined_task(record.definition)
    _tell(task, record)
    return task
