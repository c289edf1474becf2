"""What a node may write: the changes of tasks that are its own, and claims for itself. Nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from comfymesh.tasks import events, machine, rights
from comfymesh.tasks.record import Resolution, State, TaskRecord
from comfymesh.testkit.tasks import NOW, after, assigned, failed, queued

WAITING = queued()
MINE = after(WAITING, assigned("a"))
RUNNING = after(MINE, events.Started(NOW))
THEIRS = after(WAITING, assigned("b"))


@pytest.mark.parametrize(
    ("before", "event"),
    [
        (WAITING, assigned("a")),
        (MINE, events.Started(NOW)),
        (MINE, events.Succeeded((), NOW)),
        (MINE, events.Released("no instance")),
        (MINE, failed()),
        (RUNNING, events.Succeeded((), NOW)),
        (RUNNING, failed()),
        (after(RUNNING, events.CancelRequested("")), events.Cancelled()),
    ],
)
def test_a_node_claims_runs_and_ends_what_is_its_own(before: TaskRecord, event: events.Event) -> None:
    assert rights.refusal("a", before, machine.apply(before, event, NOW)) == ""
    if before is not WAITING:
        assert rights.refusal("b", before, machine.apply(before, event, NOW)) == "the task is not this node's"


@pytest.mark.parametrize(
    ("before", "event"),
    [
        (WAITING, events.CancelRequested("mischief")),
        (RUNNING, events.CancelRequested("mischief")),
        (WAITING, assigned("b")),
        (THEIRS, events.Started(NOW)),
        (after(MINE, failed()), events.Resolved(Resolution.DROPPED)),
    ],
)
def test_it_makes_no_other_change(before: TaskRecord, event: events.Event) -> None:
    assert rights.refusal("a", before, machine.apply(before, event, NOW))


@pytest.mark.parametrize(
    "forged",
    [
        {"state": State.QUEUED},
        {"event": "Created"},
        {"attempt": 9},
    ],
)
def test_it_writes_no_record_that_does_not_follow(forged: dict[str, Any]) -> None:
    assert rights.refusal("a", MINE, replace(RUNNING, **forged))


def test_what_a_task_is_stays_whatever_a_node_says() -> None:
    forged = replace(RUNNING, definition=replace(MINE.definition, priority=9))
    assert rights.as_written(MINE, forged) == RUNNING


def test_a_final_state_is_left_by_nothing() -> None:
    ended = after(RUNNING, events.Succeeded((), NOW))
    assert rights.refusal("a", ended, replace(ended, event="Started", state=State.RUNNING))
    assert rights.refusal("a", None, RUNNING) == "there is no such task"
