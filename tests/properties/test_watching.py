"""A watcher who is cut off at any moment and comes back with its token misses nothing and sees nothing twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from comfymesh.api.watch import Mailbox, make_token, read_token
from comfymesh.bus.tasklog import Stored
from comfymesh.tasks import codec, events, machine
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import Artifact, ArtifactKind, Definition, Key, Requirements, SpecRef, TaskError
from comfymesh.v1 import task_pb2

KEY = Key("default", "t1")
ARTIFACT = Artifact("0", "a.png", "image/png", 3, "0" * 64, "9", "image", ArtifactKind.OUTPUT)
LIFE = [
    events.Assigned("n1", "c0"),
    events.Started(),
    events.AttemptFailed(TaskError(FailureClass.INSTANCE_LOST, "gone")),
    events.Assigned("n2", "c0"),
    events.Started(),
    events.Succeeded((ARTIFACT,)),
]


def history() -> list[Stored]:
    """The records of a task that needed two attempts, at sequences that other tasks' records lie between."""
    definition = Definition(
        key=KEY, request_digest="d", spec=SpecRef("s", 1), requirements=Requirements(), create_time=1.0
    )
    records = [machine.create(definition)]
    for number, event in enumerate(LIFE):
        records.append(machine.apply(records[-1], event, 2.0 + number))
    return [Stored(KEY, 10 + 3 * number, codec.encode(record)) for number, record in enumerate(records)]


HISTORY = history()


@given(st.lists(st.integers(0, len(HISTORY)), max_size=4), st.lists(st.integers(0, len(HISTORY) - 1), max_size=12))
def test_every_change_comes_once_and_in_order_however_often_the_watch_is_cut(cuts: list[int], noise: list[int]) -> None:
    seen: list[int] = []
    token = make_token(0)
    for cut in [*sorted(cuts), len(HISTORY)]:
        mailbox = Mailbox()
        for index in noise:  # what the hub hands out meanwhile, late, early or twice
            if index < cut:
                mailbox.offer(HISTORY[index])
        position = read_token(token)
        mailbox.begin(position)
        for stored in HISTORY[:cut]:
            mailbox.offer(stored)
        for item in mailbox.take():
            assert isinstance(item, Stored)
            seen.append(item.sequence)
            token = make_token(item.sequence)
    assert seen == [stored.sequence for stored in HISTORY]


@given(st.sampled_from([2, 3, 5, 6]), st.lists(st.tuples(st.integers(1, 2), st.floats(0, 1)), max_size=30), st.data())
def test_progress_never_goes_back_within_an_attempt_and_is_only_told_of_the_attempt_that_is_known(
    known: int, told: list[tuple[int, float]], data: st.DataObject
) -> None:
    mailbox, coming = Mailbox(), HISTORY[known:]
    for stored in HISTORY[:known]:
        mailbox.offer(stored)
    mailbox.take()
    attempt, fraction = HISTORY[known - 1].task.attempt, -1.0
    for number, value in told:
        if coming and data.draw(st.integers(0, 5)) == 0:
            mailbox.offer(coming.pop(0))
        mailbox.offer_progress(task_pb2.TaskProgress(attempt=number, fraction=value))
        for item in mailbox.take() if data.draw(st.booleans()) else []:
            if isinstance(item, Stored) and item.task.attempt != attempt:
                attempt, fraction = item.task.attempt, -1.0
            elif isinstance(item, task_pb2.TaskProgress):
                assert item.attempt == attempt
                assert item.fraction > fraction  # the same is told once, however often it is heard
                fraction = item.fraction


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=20))
def test_of_progress_that_is_left_out_no_artifact_is(told: list[tuple[bool, bool]]) -> None:
    """Each is told once, with the attempt that has made it; the next attempt makes its own, be they the same."""
    mailbox, seen = Mailbox(), list[tuple[int, str]]()
    for first, attempt in ((0, 1), (3, 2)):
        for stored in HISTORY[first : 3 + first]:
            mailbox.offer(stored)
        made = list[str]()
        for more, read in [*told, (False, True)]:
            made += [f"{len(made)}"] * more
            artifacts = [task_pb2.Artifact(name=name) for name in made]
            mailbox.offer_progress(task_pb2.TaskProgress(attempt=attempt, artifacts=artifacts))
            for item in mailbox.take() if read else []:
                if isinstance(item, task_pb2.TaskProgress):
                    seen += [(item.attempt, artifact.name) for artifact in item.artifacts]
    assert seen == [(attempt, name) for attempt in (1, 2) for name in made]


@given(st.lists(st.booleans(), max_size=12))
def test_what_is_held_back_for_a_moment_is_told_later_and_states_never_wait(early: list[bool]) -> None:
    mailbox, coming = Mailbox(), list(HISTORY)
    for states_only in early:
        if coming:
            mailbox.offer(coming.pop(0))
        attempt, state = mailbox.task.attempt, mailbox.task.state
        mailbox.offer_progress(task_pb2.TaskProgress(attempt=attempt, fraction=0.5))
        told = mailbox.take(states_only=states_only)
        assert all(isinstance(item, Stored) for item in told) or not states_only
        assert mailbox.position == HISTORY[len(HISTORY) - len(coming) - 1].sequence
        assert not mailbox.keeps or states_only
        if states_only and mailbox.task.state == state == task_pb2.Task.STATE_RUNNING:
            assert mailbox.keeps


@given(st.integers(0, 10_000))
def test_a_watcher_who_does_not_read_costs_no_more_than_the_changes_of_one_task(count: int) -> None:
    mailbox = Mailbox()
    for stored in HISTORY[:3]:
        mailbox.offer(stored)
    for step in range(min(count, 200)):
        mailbox.offer_progress(task_pb2.TaskProgress(attempt=1, fraction=step / 200))
        mailbox.offer_preview(task_pb2.Preview(attempt=1, data=b"x" * 10))
    assert len(mailbox.take()) <= 3 + 2


@given(st.text(max_size=20))
def test_no_text_is_too_odd_for_a_token(text: str) -> None:
    assert 0 <= read_token(text) < 2**64


@given(st.integers(0, 2**64 - 1))
def test_a_token_says_the_position_that_it_was_made_for(position: int) -> None:
    assert read_token(make_token(position)) == position
