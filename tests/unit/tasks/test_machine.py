"""Each transition, one by one."""

from __future__ import annotations

import pytest

from comfymesh.tasks import machine, retry
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
from comfymesh.tasks.failures import POLICIES, FailureClass
from comfymesh.tasks.record import FINAL, HELD, Resolution, State, TaskError, TaskRecord
from comfymesh.testkit.tasks import NOW, after, assigned, failed, queued

EVENTS: dict[type[Event], Event] = {
    Assigned: assigned(),
    Started: Started(),
    Succeeded: Succeeded(()),
    AttemptFailed: failed(),
    Released: Released("given back"),
    CancelRequested: CancelRequested(),
    Cancelled: Cancelled(),
    Expired: Expired(),
    Resolved: Resolved(Resolution.DROPPED),
}
REACHED = {
    State.QUEUED: queued(start_timeout=60.0),
    State.ASSIGNED: after(queued(), assigned()),
    State.RUNNING: after(queued(), assigned(), Started()),
    State.CANCELLING: after(queued(), assigned(), CancelRequested()),
    State.SUCCEEDED: after(queued(), assigned(), Started(), Succeeded(())),
    State.FAILED: after(queued(), assigned(), failed()),
    State.CANCELLED: after(queued(), CancelRequested()),
    State.EXPIRED: after(queued(start_timeout=60.0), Expired()),
}


@pytest.mark.parametrize("event", EVENTS.values(), ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("state", REACHED)
def test_what_the_table_has_happens_and_nothing_else(state: State, event: Event) -> None:
    record, allowed = REACHED[state], machine.TRANSITIONS.get((state, type(event)))
    assert record.state is state
    if allowed is not None:
        assert machine.apply(record, event, NOW).state in allowed
        return
    with pytest.raises(machine.IllegalTransitionError) as refused:
        machine.apply(record, event, NOW)
    assert refused.value.record is record
    assert type(event).__name__ in str(refused.value)


def test_every_state_is_reached_and_nothing_leaves_a_final_one() -> None:
    assert set(REACHED) == set(State)
    assert all(ends == (state,) for (state, _), ends in machine.TRANSITIONS.items() if state in FINAL)


def test_states_that_a_node_holds_are_those_with_a_node() -> None:
    assert {state for state, record in REACHED.items() if record.node and not record.is_final} == HELD


def test_a_new_attempt_forgets_the_one_before() -> None:
    record = after(queued(), assigned(), Started(), failed(FailureClass.NODE_LOST), assigned("b", "y"))
    assert (record.attempt, record.node, record.instance) == (2, "b", "y")
    assert (record.start_time, record.not_before) == (None, 0.0)


def test_what_was_handed_back_counts_for_nothing() -> None:
    record = after(queued(), assigned(), Released("not begun"))
    assert (record.state, record.failures, record.reason) == (State.QUEUED, (), "not begun")


def test_what_is_handed_back_again_and_again_waits_longer_and_is_given_up_in_the_end() -> None:
    record, waits = queued(), list[float]()
    while record.state is State.QUEUED:
        record = after(record, assigned(), Released("no upload gets through"))
        waits.append(record.not_before - NOW)
    assert len(waits) == retry.MAX_RELEASES
    assert waits[: retry.FREE_RELEASES] == [-NOW] * retry.FREE_RELEASES
    growing = waits[retry.FREE_RELEASES : retry.FREE_RELEASES + 6]
    assert growing == sorted(set(growing))
    assert max(waits) <= 40.0
    assert record.state is State.FAILED
    assert record.error is not None
    assert "no upload gets through" in record.error.message


def test_giving_way_to_others_is_never_counted_and_there_is_no_wait() -> None:
    record = queued()
    for _ in range(retry.MAX_RELEASES + 1):
        record = after(record, assigned(), Released("for another", counts=False))
    assert (record.state, record.releases, record.not_before, record.reason) == (State.QUEUED, 0, 0.0, "for another")


def test_an_attempt_that_began_is_a_new_start_for_counting_releases() -> None:
    record = after(queued(), assigned(), Released("x"), assigned(), Started(), failed(FailureClass.PREEMPTED))
    assert record.releases == 0


def test_an_attempt_may_end_before_anybody_was_told_that_it_began() -> None:
    record = after(queued(), assigned(), Succeeded((), began=NOW - 0.01))
    assert (record.state, record.start_time) == (State.SUCCEEDED, NOW - 0.01)
    told = after(queued(), assigned(), Started(NOW - 5), Succeeded((), began=NOW - 1))
    assert told.start_time == NOW - 5


def test_success_clears_the_error_of_an_earlier_attempt() -> None:
    tried = after(queued(), assigned(), failed(FailureClass.NODE_LOST))
    assert tried.error is not None
    assert after(tried, assigned(), Started(), Succeeded(())).error is None


@pytest.mark.parametrize("event", [failed(), Released("x"), Cancelled()], ids=lambda event: type(event).__name__)
def test_however_a_cancelled_attempt_ends_the_task_is_cancelled(event: Event) -> None:
    record = after(queued(), assigned(), Started(), CancelRequested("enough"), event)
    assert (record.state, record.reason) == (State.CANCELLED, "enough")


def test_a_failure_that_is_final_says_what_happened_and_why_it_is_not_tried_again() -> None:
    record = after(queued(), assigned(), AttemptFailed(TaskError(FailureClass.INVALID_WORKFLOW, "no such class")))
    assert record.state is State.FAILED
    assert record.reason == "attempt 1: INVALID_WORKFLOW: no such class (not retried)"


def test_a_retry_waits_longer_each_time() -> None:
    record, waits = queued(max_retries=10), list[float]()
    for _ in range(6):
        record = after(record, assigned(), failed())
        waits.append(record.not_before - NOW)
    assert waits == sorted(waits)
    assert waits[0] >= 2.0
    assert waits[-1] >= 64.0


@pytest.mark.parametrize(
    "kinds", [[FailureClass.NODE_LOST] * 3, [FailureClass.INSTANCE_LOST, FailureClass.STALLED] * 2]
)
def test_a_graph_that_takes_three_instances_down_is_poison(kinds: list[FailureClass]) -> None:
    record = queued()
    for kind in kinds[:3]:
        assert record.state is State.QUEUED
        record = after(record, assigned(), Started(), failed(kind))
    assert record.state is State.FAILED
    assert f"poison: {retry.MAX_SUSPECT_FAILURES}" in record.reason


def test_giving_way_is_never_held_against_a_task() -> None:
    record = queued()
    for _ in range(50):
        record = after(record, assigned(), Started(), failed(FailureClass.PREEMPTED))
    assert record.state is State.QUEUED


def test_what_expires_says_how_long_it_waited_and_what_to_do() -> None:
    record = after(queued(start_timeout=90.0), Expired(), now=NOW + 91)
    assert record.reason == "no attempt had begun 90 s after its creation"
    assert record.error is not None
    assert record.error.failure is FailureClass.EXPIRED
    assert "longer start_timeout" in record.error.message
    assert record.end_time == NOW + 91


@pytest.mark.parametrize(
    "record",
    [
        queued(),
        after(queued(start_timeout=1.0), assigned(), Started(), failed(FailureClass.PREEMPTED)),
        after(queued(start_timeout=1.0), assigned(), failed(FailureClass.NODE_LOST)),
    ],
    ids=["has no such limit", "has run", "was tried"],
)
def test_a_task_does_not_expire_that(record: TaskRecord) -> None:
    assert record.state is State.QUEUED
    with pytest.raises(machine.IllegalTransitionError):
        machine.apply(record, Expired(), NOW + 3600)


def test_what_was_only_handed_back_has_not_begun() -> None:
    record = after(queued(start_timeout=1.0), assigned(), Released("not begun"), Expired())
    assert record.state is State.EXPIRED


def test_a_dead_letter_is_resolved_once_and_keeps_its_end() -> None:
    dead = after(queued(), assigned(), failed())
    assert dead.is_dead_letter
    resolved = after(dead, Resolved(Resolution.REQUEUED, "two"), now=NOW + 60)
    assert (resolved.state, resolved.resolution, resolved.requeued_as) == (State.FAILED, Resolution.REQUEUED, "two")
    assert (resolved.end_time, resolved.update_time, resolved.error) == (NOW, NOW + 60, dead.error)
    assert not resolved.is_dead_letter
    with pytest.raises(machine.IllegalTransitionError):
        machine.apply(resolved, Resolved(Resolution.DROPPED), NOW + 61)


def test_every_failure_class_has_a_policy() -> None:
    assert set(POLICIES) == set(FailureClass)
