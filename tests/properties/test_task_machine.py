"""Whatever happens to a task, in whatever order and however often, the rules of its life hold."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from comfymesh.tasks import codec, events, machine
from comfymesh.tasks.failures import POLICIES, FailureClass
from comfymesh.tasks.record import Artifact, ArtifactKind, Definition, Key, Requirements, SpecRef, State, TaskError
from comfymesh.tasks.retry import MAX_SUSPECT_FAILURES, SUSPECT

ARTIFACT = Artifact("0", "a.png", "image/png", 3, "0" * 64, "9", "image", ArtifactKind.OUTPUT)
EVENTS = st.one_of(
    st.builds(events.Assigned, st.sampled_from(["n1", "n2"]), st.sampled_from(["c0", "c1"])),
    st.just(events.Started()),
    st.just(events.Succeeded((ARTIFACT,))),
    st.builds(lambda failure: events.AttemptFailed(TaskError(failure, "it broke")), st.sampled_from(FailureClass)),
    st.builds(events.Released, st.text(max_size=5)),
    st.builds(events.CancelRequested, st.text(max_size=5)),
    st.just(events.Cancelled()),
)


def definition(max_retries: int = 0) -> Definition:
    return Definition(
        key=Key("default", "t1"),
        request_digest="d",
        spec=SpecRef("s", 1),
        requirements=Requirements(("SaveImage",)),
        create_time=1000.0,
        max_retries=max_retries,
        labels={"a": "b"},
    )


@dataclass
class Log:
    """A subject with guarded appends, as the server keeps it."""

    records: list[machine.TaskRecord]

    def append(self, record: machine.TaskRecord, after: int) -> bool:
        if after != len(self.records):
            return False
        self.records.append(record)
        return True


class TaskLife(RuleBasedStateMachine):
    """Several writers, each with its own, perhaps stale, view of the task."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Log([machine.create(definition(max_retries=1))])
        self.views = [1, 1, 1]
        self.now = 1000.0

    @rule(writer=st.integers(0, 2))
    def read(self, writer: int) -> None:
        self.views[writer] = len(self.log.records)

    @rule(writer=st.integers(0, 2), event=EVENTS, wait=st.floats(0, 100))
    def write(self, writer: int, event: events.Event, wait: float) -> None:
        self.now += wait
        seen = self.views[writer]
        record = self.log.records[seen - 1]
        if not machine.allows(record, type(event)):
            return
        newest = len(self.log.records)
        assert self.log.append(machine.apply(record, event, self.now), seen) == (seen == newest)

    @invariant()
    def at_most_one_record_is_final_and_it_is_the_last(self) -> None:
        assert all(not record.is_final for record in self.log.records[:-1])

    @invariant()
    def attempts_never_go_back(self) -> None:
        attempts = [record.attempt for record in self.log.records]
        assert attempts == sorted(attempts)

    @invariant()
    def only_a_running_task_can_have_succeeded_and_then_it_has_its_artifacts(self) -> None:
        for before, after in zip(self.log.records, self.log.records[1:], strict=False):
            if after.state is State.SUCCEEDED:
                assert before.state is State.RUNNING
                assert after.artifacts

    @invariant()
    def a_queued_task_can_be_assigned_and_knows_since_when(self) -> None:
        last = self.log.records[-1]
        if last.state is State.QUEUED:
            assert machine.apply(last, events.Assigned("n", "c"), self.now).attempt == last.attempt + 1
            assert last.not_before <= self.now + 400

    @invariant()
    def a_task_that_takes_instances_down_is_given_up(self) -> None:
        last = self.log.records[-1]
        suspects = sum(failure.failure in SUSPECT for failure in last.failures)
        assert suspects <= MAX_SUSPECT_FAILURES
        assert suspects < MAX_SUSPECT_FAILURES or last.is_final

    @invariant()
    def no_class_fails_more_often_than_its_policy_and_the_caller_allow(self) -> None:
        last = self.log.records[-1]
        for failure, policy in POLICIES.items():
            count = sum(one.failure is failure for one in last.failures)
            limit = policy.max_failures + policy.caller_decides * last.definition.max_retries
            assert not policy.max_failures or count <= limit

    @invariant()
    def a_record_survives_the_way_over_the_wire(self) -> None:
        last = self.log.records[-1]
        again = codec.decode(codec.encode(last))
        assert codec.encode(again) == codec.encode(last)
        assert (again.state, again.attempt, again.artifacts) == (last.state, last.attempt, last.artifacts)


TestTaskLife = TaskLife.TestCase
