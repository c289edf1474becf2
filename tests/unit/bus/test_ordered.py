"""Reading positions, and noticing what is missing."""

from __future__ import annotations

import pytest

from comfymesh.bus import streams, subjects
from comfymesh.bus.ordered import Order, Position, parse_position
from comfymesh.tasks.record import Key
from comfymesh.testkit.memory_bus import matches

KEY = Key("default", "one")


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.TASKS.consumer.1.42.7.1700000000500000000.3",
        "$JS.ACK.domain.hash.TASKS.consumer.1.42.7.1700000000500000000.3",
        "$JS.ACK.domain.hash.TASKS.consumer.1.42.7.1700000000500000000.3.token",
    ],
)
def test_both_forms_of_the_reply_subject_are_read(reply: str) -> None:
    assert parse_position(reply) == Position(stream=42, consumer=7, time=1700000000.5, pending=3)


@pytest.mark.parametrize("reply", ["", "_INBOX.1", "$JS.ACK.TASKS.consumer.1.42.7", "$JS.ACK.a.b.c.d.e.f"])
def test_other_subjects_are_not(reply: str) -> None:
    with pytest.raises(ValueError, match=r"reply subject|invalid literal"):
        parse_position(reply)


def test_a_number_that_is_not_the_next_one_is_noticed() -> None:
    order = Order()
    assert order.take(Position(10, 1, 0.0, 0))
    assert order.take(Position(15, 2, 0.0, 0))
    assert not order.take(Position(16, 4, 0.0, 0))
    assert not order.take(Position(15, 2, 0.0, 0))
    assert order.take(Position(16, 3, 0.0, 0))


@pytest.mark.parametrize(
    ("subject", "stream"),
    [
        (subjects.task(KEY), streams.TASKS),
        (subjects.spec(KEY, "d"), streams.TASKS),
        (subjects.work("n"), streams.WORK),
        (subjects.report("n"), streams.REPORTS),
        (subjects.progress(KEY), streams.PROGRESS),
        (subjects.blob("default", "d", 0), streams.BLOBS),
        (subjects.asset("default", "d"), streams.BLOBS),
        (subjects.preview(KEY), None),
        (subjects.control("n"), None),
    ],
)
def test_each_subject_is_stored_by_its_stream_and_no_other(subject: str, stream: streams.Stream | None) -> None:
    taking = [s for s in streams.ALL if any(matches(pattern, subject) for pattern in s.subjects)]
    assert taking == ([stream] if stream else [])


def test_a_task_is_found_by_the_subject_of_its_records() -> None:
    assert subjects.parse_task(subjects.task(KEY)) == KEY
    assert matches(subjects.ALL_TASKS, subjects.task(KEY))
    assert matches(subjects.ALL_REPORTS, subjects.report("n"))


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("*.b", "a.c", False),
    ],
)
def test_wildcards(pattern: str, subject: str, *, expected: bool) -> None:
    assert matches(pattern, subject) is expected
