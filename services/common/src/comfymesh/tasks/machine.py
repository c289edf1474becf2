"""The one place that knows how a task changes: the table of transitions, and the function that applies them.

QUEUED -> ASSIGNED -> RUNNING -> SUCCEEDED | FAILED | CANCELLED | EXPIRED, with CANCELLING between, and the ways back to
QUEUED. Who appends which event is written in docs/states.md; nothing here knows of processes, clocks or the bus.
"""

from __future__ import annotations

from dataclasses import replace

from comfymesh.tasks import retry, usage
from comfymesh.tasks.events import (
    Assigned,
    AttemptFailed,
    Cancelled,
    CancelRequested,
    Event,
    Expired,
    Released,
    Resolved,
    Started,
    Succeeded,
)
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import FINAL, Definition, Failure, State, TaskError, TaskRecord

TRANSITIONS: dict[tuple[State, type[Event]], tuple[State, ...]] = {
    (State.QUEUED, Assigned): (State.ASSIGNED,),
    (State.QUEUED, CancelRequested): (State.CANCELLED,),
    (State.QUEUED, Expired): (State.EXPIRED,),
    (State.ASSIGNED, Started): (State.RUNNING,),
    # Some attempts are over before it is worth saying that they have begun.
    (State.ASSIGNED, Succeeded): (State.SUCCEEDED,),
    (State.ASSIGNED, Released): (State.QUEUED, State.FAILED),
    (State.ASSIGNED, AttemptFailed): (State.QUEUED, State.FAILED),
    (State.ASSIGNED, CancelRequested): (State.CANCELLING,),
    (State.RUNNING, Succeeded): (State.SUCCEEDED,),
    (State.RUNNING, AttemptFailed): (State.QUEUED, State.FAILED),
    (State.RUNNING, CancelRequested): (State.CANCELLING,),
    (State.CANCELLING, Cancelled): (State.CANCELLED,),
    # Whatever ended the attempt, it has ended, and nobody wants another one.
    (State.CANCELLING, AttemptFailed): (State.CANCELLED,),
    (State.CANCELLING, Released): (State.CANCELLED,),
    # A note behind the end, once. Nothing leaves a final state.
    (State.FAILED, Resolved): (State.FAILED,),
}
"""Which event may happen in which state, and the states that can follow. What is not here is illegal."""


class IllegalTransitionError(Exception):
    """The event can't happen to a task in this state; the record was left as it is."""

    def __init__(self, record: TaskRecord, event: Event) -> None:
        self.record = record
        self.event = event
        super().__init__(f"{type(event).__name__} can't happen to task {record.key.task_id}, which is {record.state}")


def create(definition: Definition) -> TaskRecord:
    """The first record of a task."""
    return TaskRecord(
        definition=definition,
        state=State.QUEUED,
        event="Created",
        update_time=definition.create_time,
        reason="waiting for a slot",
    )


def allows(record: TaskRecord, event: type[Event]) -> bool:
    """Whether `event` may happen to the task as it stands."""
    if event is Expired:
        return can_expire(record)
    if event is Resolved:
        return record.is_dead_letter
    return (record.state, event) in TRANSITIONS


def can_expire(record: TaskRecord) -> bool:
    """Whether the task ends where it still waits at its `start_by`."""
    waits = record.state is State.QUEUED and not record.has_begun
    return waits and record.definition.start_by is not None


def apply(record: TaskRecord, event: Event, now: float) -> TaskRecord:
    """The record after `event` at `now` (seconds since the epoch).

    Raises:
        IllegalTransitionError: the table has no such transition.
    """
    if not allows(record, type(event)):
        raise IllegalTransitionError(record, event)
    changed = _change(record, event, now)
    ended = (record.end_time or now) if changed.state in FINAL else None
    return replace(changed, event=type(event).__name__, update_time=now, end_time=ended)


def _change(record: TaskRecord, event: Event, now: float) -> TaskRecord:
    match event:
        case Assigned():
            return _assigned(record, event)
        case Started():
            return _started(record, event.began or now)
        case Succeeded():
            return _succeeded(record, event, now)
        case AttemptFailed():
            return _failed(record, event, now)
        case Released():
            return _released(record, event, now)
        case CancelRequested():
            state = State.CANCELLED if record.state is State.QUEUED else State.CANCELLING
            return replace(record, state=state, reason=event.reason or "cancelled by the caller")
        case Cancelled():
            return replace(record, state=State.CANCELLED, timing=event.timing)
        case Expired():
            return _expired(record)
        case Resolved():
            return replace(record, resolution=event.resolution, requeued_as=event.requeued_as)


def _expired(record: TaskRecord) -> TaskRecord:
    reason = f"no attempt had begun {record.definition.start_timeout:g} s after its creation"
    advice = "create it again with a longer start_timeout or a higher priority, or add instances"
    error = TaskError(FailureClass.EXPIRED, f"{reason}; {advice}")
    return replace(record, state=State.EXPIRED, error=error, reason=reason)


def _assigned(record: TaskRecord, event: Assigned) -> TaskRecord:
    return replace(
        record,
        state=State.ASSIGNED,
        attempt=record.attempt + 1,
        node=event.node,
        instance=event.instance,
        start_time=None,
        timing=None,
        not_before=0.0,
        reason=f"assigned to {event.node}",
    )


def _started(record: TaskRecord, began: float) -> TaskRecord:
    reason = f"running on {record.node}"
    return replace(record, state=State.RUNNING, start_time=began, releases=0, reason=reason)


def _succeeded(record: TaskRecord, event: Succeeded, now: float) -> TaskRecord:
    start = record.start_time or event.began or now
    return replace(
        record,
        state=State.SUCCEEDED,
        start_time=start,
        artifacts=event.artifacts,
        timing=event.timing,
        releases=0,
        error=None,
        reason=event.note,
    )


def _released(record: TaskRecord, event: Released, now: float) -> TaskRecord:
    if record.state is State.CANCELLING:
        return replace(record, state=State.CANCELLED)
    if not event.counts:
        return replace(record, state=State.QUEUED, reason=event.reason)
    record = replace(record, releases=record.releases + 1, reason=event.reason)
    match retry.after_release(record.key, record.releases, now):
        case retry.Retry(not_before):
            return replace(record, state=State.QUEUED, not_before=not_before)
        case retry.GiveUp(reason):
            error = TaskError(FailureClass.INTERNAL, f"no node could begin it: {event.reason}")
            return replace(record, state=State.FAILED, error=error, reason=f"{event.reason} ({reason})")


def _failed(record: TaskRecord, event: AttemptFailed, now: float) -> TaskRecord:
    if record.state is State.CANCELLING:
        return replace(record, state=State.CANCELLED, timing=event.timing)
    seconds = sum(usage.executed(record.start_time, event.timing, now))
    failure = Failure(record.attempt, record.node, record.instance, event.error.failure, now, seconds)
    record = replace(record, failures=(*record.failures, failure), error=event.error, timing=event.timing)
    what = f"attempt {record.attempt}: {event.error.failure}: {event.error.message}"
    match retry.decide(record.key, record.failures, record.definition.max_retries):
        case retry.Retry(not_before):
            return replace(record, state=State.QUEUED, not_before=not_before, reason=f"to be tried again after {what}")
        case retry.GiveUp(reason):
            return replace(record, state=State.FAILED, reason=f"{what} ({reason})")
