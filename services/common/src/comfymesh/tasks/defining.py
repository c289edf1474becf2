"""What never changes of a task, as the message that all of its records begin with.

Making that message is most of what it costs to write a record, and each task is written three times or more.
"""

from __future__ import annotations

from typing import cast

from comfymesh import names
from comfymesh.tasks.moments import timestamp
from comfymesh.tasks.parts import to_needs, to_placement
from comfymesh.tasks.record import ANYWHERE, Definition, State
from comfymesh.v1 import task_pb2
from comfymesh.wire.v1 import task_record_pb2

STATES = {state: cast("task_pb2.Task.State", task_pb2.Task.State.Value(f"STATE_{state}")) for state in State}
_CHANGING = ("event", "failures", "not_before", "releases", "small_artifacts")
_CHANGING_OF_TASK = (
    *("state", "state_reason", "attempt", "node", "instance", "artifacts", "update_time", "start_time", "end_time"),
    *("error", "timing", "dead_letter_resolution", "requeued_as"),
)
"""Fields of a record, and of the task in it, that tell how the task stands. All others are its definition's."""


def defined(definition: Definition) -> task_record_pb2.TaskRecord:
    """What never changes of a task, as a message that has only that: made once, and copied for each of its records."""
    if definition.message is None:
        keep(definition, _definition_message(definition))
    return cast("task_record_pb2.TaskRecord", definition.message)


def keep(definition: Definition, message: task_record_pb2.TaskRecord) -> None:
    """Keep what never changes of a record, that was read or made of the definition, for further ones."""
    kept = task_record_pb2.TaskRecord()
    kept.CopyFrom(message)
    for part, fields in ((kept, _CHANGING), (kept.task, _CHANGING_OF_TASK)):
        for field in fields:
            part.ClearField(field)
    object.__setattr__(definition, "message", kept)


def _definition_message(definition: Definition) -> task_record_pb2.TaskRecord:
    message = task_record_pb2.TaskRecord(
        task=defined_task(definition),
        tenant=definition.key.tenant,
        task_id=definition.key.task_id,
        request_digest=definition.request_digest,
        spec=task_record_pb2.SpecRef(
            digest=definition.spec.digest,
            size_bytes=definition.spec.size_bytes,
            small=definition.spec.small,
            blobs=map(bytes.fromhex, definition.spec.blobs or ()),
            blobs_known=definition.spec.blobs is not None,
        ),
        requirements=to_needs(definition.requirements),
        trace_parent=definition.trace_parent,
        work=task_record_pb2.GraphWork(shape=definition.work.shape, units=definition.work.units),
    )
    if definition.unknown:
        message.MergeFromString(definition.unknown)
    return message


def defined_task(definition: Definition) -> task_pb2.Task:
    """What never changes of a task that was made by this version, as callers see it."""
    task = task_pb2.Task(
        name=names.task(definition.key.task_id),
        display_name=definition.display_name,
        priority=definition.priority,
        labels=definition.labels,
        max_retries=definition.max_retries,
        allow_partial_outputs=definition.allow_partial_outputs,
        group=names.group(definition.group) if definition.group else "",
        create_time=timestamp(definition.create_time),
        graph_digest=definition.spec.digest,
        requeued_from=names.task(definition.requeued_from) if definition.requeued_from else "",
        callback_url=definition.callback_url,
        callback_states=[STATES[state] for state in definition.callback_states],
        workflow=definition.workflow_version.partition("/versions/")[0],
        workflow_version=definition.workflow_version,
    )
    task.execution_timeout.FromMilliseconds(round(definition.execution_timeout * 1000))
    if definition.start_timeout is not None:
        task.start_timeout.FromMilliseconds(round(definition.start_timeout * 1000))
    if definition.requirements.placement != ANYWHERE:
        task.placement.CopyFrom(to_placement(definition.requirements.placement))
    return task
