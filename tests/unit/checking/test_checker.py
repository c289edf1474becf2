"""The checker passes what is right, and finds every fault that is planted into it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.tasks.record import FINAL, State
from comfymesh.testkit.checking import Promise, check, specimens
from comfymesh.testkit.history import (
    UNGUARDED,
    Answered,
    Called,
    Closed,
    Defect,
    Event,
    Fault,
    Logged,
    Progressed,
    Prompted,
    Read,
    Told,
)
from comfymesh.testkit.recording import dump, load

seeds = st.integers(0, 2**32)


@given(seeds, st.integers(1, 6))
def test_a_clean_history_passes(seed: int, count: int) -> None:
    assert str(check(specimens.history(seed, count))) == "every promise was kept"


@given(seeds)
def test_a_history_is_the_same_after_it_was_written_and_read(seed: int) -> None:
    history = specimens.history(seed)
    assert load(dump(history)) == history


def test_an_odd_line_is_refused() -> None:
    with pytest.raises(ValueError, match="line 1 is no event"):
        load('{"kind": "Nonsense"}\n')


def found(history: list[Event], promise: Promise) -> list[str]:
    """What the checker says of a promise; and of nothing else is anything wrong that would hide it."""
    return [violation.what for violation in check(history).violations if violation.promise is promise]


HISTORY = specimens.history_of(specimens.RETRIED)
LOG = [event for event in HISTORY if isinstance(event, Logged)]
TOLD = [event for event in HISTORY if isinstance(event, Told)]


def test_a_resolution_behind_the_end_is_fine_and_need_not_be_told() -> None:
    history = specimens.history_of(specimens.RESOLVED)
    assert [event.state for event in history if isinstance(event, Told)][-2:] == [State.ASSIGNED, State.FAILED]
    assert check(history).good


def test_a_dead_letter_that_is_resolved_twice_is_found() -> None:
    history = specimens.history_of([*specimens.RESOLVED, specimens.RESOLVED[-1]])
    assert found(history, Promise.P2) == ["its dead letter was resolved 2 times"]


def without(*events: Event) -> list[Event]:
    return [event for event in HISTORY if event not in events]


def instead(old: Event, *new: Event) -> list[Event]:
    return [made for event in HISTORY for made in (new if event == old else (event,))]


def first(kind: type, **fields: object) -> Event:
    return next(
        event
        for event in HISTORY
        if isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items())
    )


class TestP1:
    def test_a_creation_that_was_answered_and_is_not_in_the_log(self) -> None:
        assert found(without(*LOG), Promise.P1) == ["its creation was answered, and the log does not have it"]

    def test_a_task_that_never_ends(self) -> None:
        assert found(without(LOG[-1]), Promise.P1) == ["it never ended: it is RUNNING (attempt 2)"]


class TestP2:
    def test_a_record_that_was_stored_without_a_guard(self) -> None:
        history = instead(LOG[2], replace(LOG[2], after=UNGUARDED))
        assert found(history, Promise.P2) == [
            f"record {LOG[2].sequence}: follows record {LOG[1].sequence} and was stored without a guard"
        ]

    def test_two_successors_of_one_record(self) -> None:
        other = replace(LOG[3], sequence=LOG[3].sequence + 500, after=LOG[2].sequence)
        history = [*without(*LOG[4:]), other]
        assert any(f"was stored as the successor of {LOG[2].sequence}" in what for what in found(history, Promise.P2))

    def test_a_record_that_was_lost_from_the_middle(self) -> None:
        assert any("was stored as the successor of" in what for what in found(without(LOG[3]), Promise.P2))

    def test_a_second_commit(self) -> None:
        again = replace(LOG[-1], sequence=LOG[-1].sequence + 1, after=LOG[-1].sequence, time=LOG[-1].time + 1)
        whats = found([*HISTORY, again], Promise.P2)
        assert "it was committed 2 times" in whats
        assert any("Succeeded can't lead from SUCCEEDED to SUCCEEDED" in what for what in whats)

    @pytest.mark.parametrize("state", sorted(FINAL))
    def test_a_change_after_the_end(self, state: str) -> None:
        end = replace(LOG[-1], state=state)
        after = replace(LOG[2], sequence=end.sequence + 1, after=end.sequence, attempt=end.attempt)
        assert any("can't lead from" in what for what in found([*instead(LOG[-1], end), after], Promise.P2))

    def test_an_attempt_that_goes_back(self) -> None:
        history = instead(LOG[4], replace(LOG[4], attempt=1))
        assert any("leads from attempt 1 to 1" in what for what in found(history, Promise.P2))

    def test_a_task_whose_content_changes(self) -> None:
        history = instead(LOG[4], replace(LOG[4], content="something else"))
        assert any("and is something else" in what for what in found(history, Promise.P2))

    def test_a_first_record_that_is_none(self) -> None:
        assert len(found(without(LOG[0]), Promise.P2)) >= 2

    def test_a_prompt_that_is_executed_twice(self) -> None:
        began = first(Prompted, what="began")
        assert found(instead(began, began, began), Promise.P2) == ["prompt t0/1 was executed by c/0, c/0"]

    def test_not_a_prompt_that_begins_again_after_its_comfyui_has_died(self) -> None:
        began = first(Prompted, what="began")
        assert isinstance(began, Prompted)
        assert check(instead(began, began, replace(began, server="c/1"))).good

    def test_a_prompt_that_two_execute(self) -> None:
        began = first(Prompted, what="began")
        assert isinstance(began, Prompted)
        assert found(instead(began, began, replace(began, server="d/0")), Promise.P2)


class TestP3:
    def test_a_repetition_that_made_another_task(self) -> None:
        called = replace(first(Called, call=0), call=900)  # type: ignore[type-var]
        answered = replace(first(Answered, call=0), call=900, task="t9")  # type: ignore[type-var]
        assert found([*HISTORY, called, answered], Promise.P3) == ["request r0: made more than one task: t0, t9"]

    def test_other_content_that_was_accepted(self) -> None:
        called = replace(first(Called, call=2), call=900)  # type: ignore[type-var]
        answered = replace(first(Answered, call=0), call=900)  # type: ignore[type-var]
        assert any("more than one content" in what for what in found([*HISTORY, called, answered], Promise.P3))

    def test_the_same_content_that_was_refused(self) -> None:
        called = replace(first(Called, call=2), content=LOG[0].content)  # type: ignore[type-var]
        assert any("with one content only" in w for w in found(instead(first(Called, call=2), called), Promise.P3))

    def test_one_content_as_two_tasks_in_the_log(self) -> None:
        twin = [replace(record, task="t9", sequence=record.sequence + 100) for record in LOG]
        assert any("is in the log as t0, t9" in what for what in found([*HISTORY, *twin], Promise.P3))


class TestP4:
    def test_a_change_that_a_watcher_is_not_told(self) -> None:
        (what,) = found(without(TOLD[3], *related(TOLD[3])), Promise.P4)
        assert what == "watcher w0 was told ASSIGNED (attempt 2) and never QUEUED before it"

    def test_a_change_that_it_is_told_twice(self) -> None:
        whats = found(instead(TOLD[3], TOLD[3], TOLD[3]), Promise.P4)
        assert "watcher w0 was told QUEUED (attempt 1) again or too late" in whats

    def test_changes_that_it_is_told_in_another_order(self) -> None:
        history = instead(TOLD[4], TOLD[4], TOLD[3])
        history.remove(TOLD[3])
        assert found(history, Promise.P4)

    def test_a_state_that_the_log_never_had(self) -> None:
        history = instead(TOLD[3], replace(TOLD[3], time=TOLD[3].time + 1))
        assert any("which the log never had" in what for what in found(history, Promise.P4))

    def test_progress_that_goes_back(self) -> None:
        late = first(Progressed, fraction=0.7)
        assert isinstance(late, Progressed)
        (what,) = found(instead(late, late, replace(late, fraction=0.3)), Promise.P4)
        assert what == "watcher w0 saw progress of attempt 1 go back from 0.700 to 0.300"

    def test_progress_of_an_attempt_that_is_over(self) -> None:
        late = first(Progressed, fraction=0.7)
        assert found([*HISTORY[:-1], late, HISTORY[-1]], Promise.P4)

    def test_a_stream_that_ends_before_the_end(self) -> None:
        assert any("the log says otherwise" in what for what in found(without(TOLD[-1]), Promise.P4))

    def test_a_stream_that_never_ends(self) -> None:
        end = first(Closed, reason="")
        assert any("was open to the last" in what for what in found(without(end), Promise.P4))

    def test_an_answer_that_is_older_than_what_was_known(self) -> None:
        called, answered = Called(900, 900, "get", "t0"), Answered(900, 900, "t0", "RUNNING", 1, LOG[2].time)
        whats = found([*HISTORY[:-1], called, answered, HISTORY[-1]], Promise.P4)
        assert whats == ["an answer said RUNNING when SUCCEEDED was known already"]

    def test_not_an_answer_that_was_overtaken(self) -> None:
        called, answered = Called(0, 900, "get", "t0"), Answered(900, 900, "t0", "RUNNING", 1, LOG[2].time)
        assert check([HISTORY[0], called, *HISTORY[1:-1], answered, HISTORY[-1]]).good

    def test_an_answer_with_a_state_that_the_log_never_had(self) -> None:
        answer = first(Answered, call=100)
        assert isinstance(answer, Answered)
        assert any("never had" in w for w in found(instead(answer, replace(answer, state="FAILED")), Promise.P4))


class TestP5:
    @pytest.mark.parametrize("wrong", [{"size_bytes": 9}, {"sha256": "00" * 32}, {"error": "ARTIFACT_NOT_FOUND"}])
    def test_an_artifact_that_can_not_be_read_as_it_was_made(self, wrong: dict[str, object]) -> None:
        good = first(Read, error="")
        assert isinstance(good, Read)
        assert len(found(instead(good, replace(good, **wrong)), Promise.P5)) == 1  # type: ignore[arg-type]

    def test_an_artifact_that_nobody_read(self) -> None:
        reads = [event for event in HISTORY if isinstance(event, Read)]
        assert any("was never read" in what for what in found(without(*reads), Promise.P5))


def test_a_defect_that_a_process_met() -> None:
    assert found([*HISTORY, Defect(1.0, "api", "KeyError()")], Promise.P9) == ["a defect of api: KeyError()"]


@pytest.mark.parametrize(
    ("faults", "blamed"),
    [
        (["clock ahead"], True),
        (["rough bus", "clock ahead"], True),
        (["clock ahead", "kill"], False),
        (["slow comfyui"], False),
        ([], False),
    ],
)
def test_a_node_that_was_lost_by_a_clock_alone(faults: list[str], *, blamed: bool) -> None:
    last = next(event for event in reversed(HISTORY) if isinstance(event, Logged))
    lost = replace(last, failure="NODE_LOST")
    history = [Fault(0.0, what) for what in faults] + [lost if event is last else event for event in HISTORY]
    assert bool(found(history, Promise.P6)) is blamed


def test_a_verdict_tells_the_story_of_the_task() -> None:
    text = str(check(without(LOG[-1])))
    assert text.startswith("P1: it never ended")
    assert "the story of t0:" in text
    for part in ("create #0", "Created -> QUEUED", "w0 is told RUNNING", "c/0 began t0/1", "made tasks/t0/artifacts/0"):
        assert part in text


@given(seeds, st.data())
def test_a_record_that_is_taken_out_of_any_log_is_found(seed: int, data: st.DataObject) -> None:
    history = specimens.history(seed)
    record = data.draw(st.sampled_from([event for event in history if isinstance(event, Logged)]))
    assert not check([event for event in history if event != record]).good


@given(seeds, st.data())
def test_a_message_that_is_taken_out_of_any_stream_is_found_unless_it_is_the_first(
    seed: int, data: st.DataObject
) -> None:
    history = specimens.history(seed)
    told = [event for event in history if isinstance(event, Told)]
    later = [event for event in told if event.watcher in {t.watcher for t in told if t.at <= event.at and t != event}]
    chosen = [event for event in later if event != next(t for t in told if t.watcher == event.watcher)]
    if chosen:
        taken = data.draw(st.sampled_from(chosen))
        assert not check([event for event in history if event != taken]).good


@given(seeds, st.randoms(use_true_random=False))
def test_no_history_makes_the_checker_fail(seed: int, chance: object) -> None:
    """Whatever order it comes in, and whatever is missing: there is a verdict."""
    history = specimens.history(seed)
    kept = [event for event in history if chance.random() < 0.8]  # type: ignore[attr-defined]
    chance.shuffle(kept)  # type: ignore[attr-defined]
    assert isinstance(str(check(kept)), str)


def related(told: Told) -> list[Event]:
    """What a watcher is not told either, when it is not told a change."""
    return [event for event in HISTORY if isinstance(event, Progressed) and event.token == told.token]
