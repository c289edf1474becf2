"""What the checker finds in histories of many tasks at once."""

from __future__ import annotations

from dataclasses import replace

from comfymesh.testkit.checking import Promise, check
from comfymesh.testkit.history import Answered, Called, Ended, Event, Heard, Joined, Left, Logged, Refused, Summed
from comfymesh.testkit.recording import dump, load

GROUP = "groups/g"
STEPS = [("Created", "QUEUED", 0), ("Assigned", "ASSIGNED", 1), ("Succeeded", "SUCCEEDED", 1)]
FAILS = [("Created", "QUEUED", 0), ("Assigned", "ASSIGNED", 1), ("AttemptFailed", "FAILED", 1)]


def log(task: str, first: int, steps: list[tuple[str, str, int]] = STEPS, origin: str = "") -> list[Logged]:
    after, found = 0, list[Logged]()
    for number, (event, state, attempt) in enumerate(steps):
        sequence = first + number
        found.append(
            Logged(float(sequence), task, sequence, after, event, state, attempt, sequence, "n", task, GROUP, origin)
        )
        after = sequence
    return found


def heard(record: Logged, follower: str = "f") -> Heard:
    return Heard(record.at, follower, f"@{record.sequence}", record.task, record.state, record.attempt, record.time)


CAUGHT_UP = Heard(0.0, "f", "@0", "", "CAUGHT_UP")
ONE, TWO = log("one", 1), log("two", 10)


def history(*events: Event, logs: tuple[list[Logged], ...] = (ONE, TWO)) -> list[Event]:
    return [*events, *(record for records in logs for record in records), Ended(100.0, settled=True)]


def found(events: list[Event], promise: Promise = Promise.P4) -> list[str]:
    return [violation.what for violation in check(events).violations if violation.promise is promise]


def following(*told: Event, scope: str = GROUP) -> list[Event]:
    return history(Joined(0.0, "f", scope), CAUGHT_UP, *told, Left(50.0, "f", ("one", "two")))


WELL = following(*map(heard, ONE), *map(heard, TWO))


def test_who_hears_everything_is_content() -> None:
    assert str(check(WELL)) == "every promise was kept"
    assert load(dump(WELL)) == WELL


def test_a_change_that_was_not_heard() -> None:
    assert found(following(heard(ONE[0]), heard(ONE[2]), *map(heard, TWO))) == [
        "follower f heard SUCCEEDED (attempt 1) and never ASSIGNED before it"
    ]


def test_the_beginning_of_a_new_task_that_was_not_heard() -> None:
    (what,) = found(following(*map(heard, ONE), *map(heard, TWO[1:])))
    assert "never QUEUED before it" in what


def test_what_was_there_may_be_heard_as_it_stands() -> None:
    stands = history(Joined(0.0, "f", GROUP), heard(ONE[2]), heard(TWO[2]), CAUGHT_UP, Left(50.0, "f", ("one",)))
    assert found(stands) == []


def test_a_change_that_was_heard_twice() -> None:
    what, *_ = found(following(*map(heard, ONE), heard(ONE[1]), *map(heard, TWO)))
    assert what == "follower f heard ASSIGNED (attempt 1) again or too late"


def test_an_end_that_was_not_heard() -> None:
    assert found(following(*map(heard, ONE), *map(heard, TWO[:2]))) == [
        "follower f was not told its end, and then that this is all"
    ]


def test_who_goes_on_hears_what_comes_next() -> None:
    broken = [Left(5.0, "f", reason="UNAVAILABLE"), Joined(6.0, "f", GROUP, "@2")]
    told: list[Event] = [*map(heard, ONE[:2]), *broken, heard(ONE[2]), *map(heard, TWO)]
    assert found(following(*told)) == []
    told.remove(heard(ONE[2]))
    assert len(found(following(*told))) == 1


def test_a_state_that_the_log_never_had() -> None:
    odd = replace(heard(ONE[0]), state="CANCELLED")
    assert "follower f heard CANCELLED (attempt 0), which the log never had" in found(following(odd))


def test_a_task_of_another_group() -> None:
    told = following(*map(heard, ONE), *map(heard, TWO), scope="groups/other")
    assert "follower f heard QUEUED (attempt 0) of a task that is not of groups/other" in found(told)


def test_who_never_hears_all() -> None:
    left_alone = history(Joined(0.0, "f", GROUP), *map(heard, ONE))
    assert found(left_alone) == ["follower f never heard all that it waited for"]


def test_a_group_that_is_miscounted() -> None:
    assert found(history(Summed(20.0, GROUP, {"SUCCEEDED": 2}))) == []
    assert len(found(history(Summed(20.0, GROUP, {"SUCCEEDED": 3})))) == 1
    assert len(found(history(Summed(20.0, GROUP, {"SUCCEEDED": 1})))) == 1


def creation(call: int, record: Logged) -> list[Event]:
    return [
        Called(record.at, call, "create", request_id=record.task, content=record.task),
        Answered(record.at, call, record.task, record.state, record.attempt, record.time),
    ]


def test_a_task_that_was_left_out_when_its_group_was_cancelled() -> None:
    wish: list[Event] = [Called(2.0, 3, "cancel group", GROUP), Answered(2.5, 3, GROUP, "", 0, 0)]
    assert found(history(*creation(1, ONE[0]), *wish)) == []  # It has ended by then, as far as clocks can tell.
    assert found(history(*creation(1, TWO[0]), *wish)) == [f"it was left out when {GROUP} was cancelled"]
    asked = log("two", 2, [STEPS[0], ("CancelRequested", "CANCELLED", 0)])
    assert found(history(*creation(1, asked[0]), *wish, logs=(ONE, asked))) == []


def test_a_group_that_was_said_not_to_be_though_a_task_of_it_was_answered() -> None:
    wish: list[Event] = [Called(2.0, 3, "cancel group", GROUP), Refused(2.5, 3, "GROUP_NOT_FOUND")]
    assert found(history(*wish, *creation(1, TWO[0]))) == []
    assert found(history(*creation(1, TWO[0]), *wish)) == [f"{GROUP} was said not to be, and has it"]


LETTER = log("letter", 20, [*FAILS, ("Resolved", "FAILED", 1)])
COPY = log("copy", 30, origin="letter")


def asking(call: int, method: str, task: str) -> list[Event]:
    return [Called(40.0, call, method, "letter"), Answered(41.0, call, task, "QUEUED", 0, COPY[0].time)]


def test_a_dead_letter_that_is_requeued_twice_makes_one_task() -> None:
    good = history(*asking(1, "requeue", "copy"), *asking(2, "requeue", "copy"), logs=(LETTER, COPY))
    assert str(check(good)) == "every promise was kept"
    another = log("another", 60, origin="letter")
    bad = history(*asking(1, "requeue", "copy"), *asking(2, "requeue", "another"), logs=(LETTER, COPY, another))
    assert found(bad, Promise.P3) == [
        "its requeueing was answered with another, copy",
        "it was requeued as copy, another",
    ]


def test_a_dead_letter_that_is_requeued_and_dropped() -> None:
    both = history(*asking(1, "requeue", "copy"), *asking(2, "drop", "letter"), logs=(LETTER, COPY))
    assert found(both, Promise.P3) == ["its requeueing was answered, and its dropping too"]


def test_a_resolution_that_is_not_in_the_log() -> None:
    (what,) = found(history(*asking(1, "drop", "letter"), logs=(LETTER[:-1],)), Promise.P3)
    assert "the log does not say so" in what


def test_a_requeueing_that_made_nothing() -> None:
    (what,) = found(history(*asking(1, "requeue", "copy"), logs=(LETTER,)), Promise.P1)
    assert what == "its creation was answered, and the log does not have it"


def test_a_task_that_was_too_late_to_begin_and_had_begun() -> None:
    late = log("late", 1, [*FAILS[:2], ("AttemptFailed", "QUEUED", 1), ("Expired", "EXPIRED", 1)])
    assert found(history(logs=(late,)), Promise.P2) == ["it was too late to begin, and had begun before"]
