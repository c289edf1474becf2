"""A task, whoever writes to its log and however late: one final state, and no way back."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from comfymesh.tasks import codec, events, machine, retry
from comfymesh.tasks.events import Assigned, AttemptFailed, Event
from comfymesh.tasks.failures import MAX_BACK_OFF, POLICIES
from comfymesh.tasks.record import FINAL, Failure, Key, State, TaskRecord, prompt_id
from comfymesh.testkit import tasks

WRITERS = range(3)


class Log(RuleBasedStateMachine):
    """Several writers append to one task. Each knows the log as it was when it looked last, and may repeat itself."""

    def __init__(self) -> None:
        super().__init__()
        self.now = tasks.NOW
        self.history = [tasks.queued(max_retries=2, start_timeout=1.0)]
        self.seen = dict.fromkeys(WRITERS, 1)
        self.sent: list[tuple[TaskRecord, int]] = []

    @rule(writer=st.sampled_from(WRITERS))
    def look(self, writer: int) -> None:
        self.seen[writer] = len(self.history)

    @rule(seconds=st.floats(0, 1000))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(writer=st.sampled_from(WRITERS), event=tasks.happenings)
    def write(self, writer: int, event: Event) -> None:
        known = self.history[self.seen[writer] - 1]
        try:
            record = machine.apply(known, event, self.now)
        except machine.IllegalTransitionError:
            assert not machine.allows(known, type(event))
            return
        assert record.state in machine.TRANSITIONS[known.state, type(event)]
        self.sent.append((record, self.seen[writer]))
        self.append(*self.sent[-1])

    @rule(number=st.integers(0, 1000))
    def repeat(self, number: int) -> None:
        """A message arrives once more, or late."""
        if self.sent:
            self.append(*self.sent[number % len(self.sent)])

    def append(self, record: TaskRecord, expected: int) -> None:
        if expected == len(self.history):
            self.history.append(record)

    @invariant()
    def nothing_leaves_a_final_state_and_only_a_resolution_comes_behind_it_once(self) -> None:
        behind = [later for earlier, later in pairwise(self.history) if earlier.is_final]
        assert len(behind) <= 1
        for record in behind:
            assert (record.state, record.event) == (State.FAILED, events.Resolved.__name__)
            assert record.end_time == self.history[-2].end_time

    @invariant()
    def attempts_never_go_back_and_begin_by_assignment(self) -> None:
        for earlier, later in pairwise(self.history):
            assert later.attempt == earlier.attempt + (later.event == Assigned.__name__)

    @invariant()
    def the_end_has_a_time_and_nothing_else_has(self) -> None:
        for record in self.history:
            assert (record.end_time is not None) == record.is_final

    @invariant()
    def what_waits_can_be_assigned_and_before_long(self) -> None:
        last = self.history[-1]
        if last.state is State.QUEUED:
            assert machine.apply(last, tasks.assigned(), self.now).attempt == last.attempt + 1
            assert last.not_before <= self.now + 1.25 * MAX_BACK_OFF.total_seconds() + 1e-3

    @invariant()
    def it_is_not_handed_back_for_ever(self) -> None:
        releases = 0
        for record in self.history:
            releases = 0 if record.state in {State.RUNNING, State.SUCCEEDED} else record.releases
        assert self.history[-1].releases == releases <= retry.MAX_RELEASES

    @invariant()
    def what_has_begun_once_never_expires(self) -> None:
        if self.history[-1].state is State.EXPIRED:
            assert not any(record.state is State.RUNNING or record.failures for record in self.history)

    @invariant()
    def failures_are_bounded(self) -> None:
        last = self.history[-1]
        numbers = [failure.attempt for failure in last.failures]
        assert numbers == sorted(set(numbers))
        for kind, policy in POLICIES.items():
            count = sum(failure.failure is kind for failure in last.failures)
            allowed = policy.max_failures + (last.definition.max_retries if policy.caller_decides else 0)
            assert not policy.max_failures or count <= allowed
        assert sum(failure.failure in retry.SUSPECT for failure in last.failures) <= retry.MAX_SUSPECT_FAILURES

    @invariant()
    def the_definition_never_changes(self) -> None:
        assert all(record.definition == self.history[0].definition for record in self.history)

    @invariant()
    def every_record_survives_the_log(self) -> None:
        last = self.history[-1]
        assert codec.decode(codec.encode(last)).state is last.state


TestLog = Log.TestCase
TestLog.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@settings(max_examples=40, deadline=None)
@given(tasks.records, tasks.happenings)
def test_nothing_leaves_a_final_state(record: TaskRecord, event: Event) -> None:
    if record.state in FINAL and machine.allows(record, type(event)):
        assert machine.apply(record, event, tasks.NOW).state is record.state


@settings(max_examples=40, deadline=None)
@given(tasks.records)
def test_a_record_comes_back_from_the_log_as_it_was(record: TaskRecord) -> None:
    assert codec.decode(codec.encode(record)) == record


@given(record=tasks.records, other=tasks.records)
def test_who_goes_on_from_a_message_writes_what_anybody_would(record: TaskRecord, other: TaskRecord) -> None:
    read = codec.from_message(codec.to_message(record), goes_on=True)
    assert read == record
    further = replace(other, definition=read.definition)
    assert codec.to_message(further) == codec.to_message(replace(other, definition=replace(record.definition)))
    assert codec.decode(codec.encode(further)) == further


@settings(max_examples=40, deadline=None)
@given(tasks.records)
def test_what_callers_see_never_holds_what_is_internal(record: TaskRecord) -> None:
    task = codec.to_message(record).task
    assert task.name == f"tasks/{record.key.task_id}"
    assert task.graph_json == ""
    assert State[type(task).State.Name(task.state).removeprefix("STATE_")] is record.state


@given(st.lists(tasks.failures, min_size=1, max_size=20), st.integers(0, 10))
def test_a_retry_is_never_in_the_past_and_never_far_away(failures: list[Failure], max_retries: int) -> None:
    match retry.decide(Key("default", "one"), failures, max_retries):
        case retry.Retry(not_before):
            assert 0 <= not_before - failures[-1].time <= 1.25 * MAX_BACK_OFF.total_seconds() + 1e-3
        case retry.GiveUp(reason):
            assert reason


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_each_attempt_has_a_prompt_id_of_its_own(one: int, other: int) -> None:
    ids = {
        prompt_id(Key(tenant, task), n, "a", "x") for tenant, task in (("a", "b"), ("a-b", "c")) for n in (one, other)
    }
    assert len(ids) == 2 * len({one, other})


def test_a_failure_is_written_down_by_its_attempt() -> None:
    record = tasks.after(tasks.queued(), tasks.assigned(), tasks.failed())
    assert isinstance(tasks.failed(), AttemptFailed)
    assert [(f.attempt, f.node, f.instance) for f in record.failures] == [(1, "a", "x")]
