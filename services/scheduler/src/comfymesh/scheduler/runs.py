"""What the log tells of attempts that ran. Read without making a whole value of the record: every task passes here."""

from __future__ import annotations

from comfymesh import names
from comfymesh.bus.tasklog import Stored
from comfymesh.scheduler.domain.events import Run
from comfymesh.scheduler.domain.fleet import Place
from comfymesh.scheduler.domain.vram import make_of
from comfymesh.tasks.events import AttemptFailed, Succeeded
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.moments import seconds
from comfymesh.tasks.parts import failure_of, needs_of, timing_of
from comfymesh.v1 import task_pb2
from comfymesh.wire.v1 import task_record_pb2

_ENDS = frozenset({Succeeded.__name__, AttemptFailed.__name__})


def run_of(stored: Stored) -> Run | None:
    """The attempt whose end a record tells; None where it tells none, or nothing that can be learned from."""
    try:
        return _run_of(stored)
    except (LookupError, ValueError):
        return None  # A later version has written what this one can't read.


def _run_of(stored: Stored) -> Run | None:
    task, message = stored.task, stored.message
    if message.event not in _ENDS or not task.node:
        return None  # Later records of the task tell it once more.
    succeeded, failure = task.state == task_pb2.Task.STATE_SUCCEEDED, _failure(message)
    if failure is None and not task.HasField("timing"):
        return None
    return Run(
        key=stored.key,
        shape=message.work.shape,
        units=message.work.units,
        models=tuple(sorted({model.name for model in message.requirements.models})),
        place=Place(names.parse_node(task.node), task.instance),
        timing=timing_of(task.timing) if task.HasField("timing") else None,
        succeeded=succeeded,
        failure=failure,
        time=seconds(task.update_time),
        make=make_of(needs_of(message.requirements)),
    )


def _failure(message: task_record_pb2.TaskRecord) -> FailureClass | None:
    """How the attempt failed: the last failure, if that is of this attempt."""
    if message.event != AttemptFailed.__name__ or not message.failures:
        return None
    last = failure_of(message.failures[-1])
    return last.failure if last.attempt == message.task.attempt else None
