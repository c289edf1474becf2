"""How long waiting tasks will still wait, and how wrong that was before."""

from __future__ import annotations

import math
import random

import pytest

from comfymesh.scheduler.domain.lanes import Family, Group, Waiting
from comfymesh.scheduler.domain.outlook import Outlook
from comfymesh.tasks.record import Key, Requirements

GROUP = Group(Requirements(), Family(()), ())


def waiting(created: float = 100.0, fifo: float = 200.0, priority: int = 0, run: float = 5.0) -> Waiting:
    task = Waiting(Key("default", "one"), 1, GROUP, priority, created)
    task.fifo, task.run = fifo, run
    return task


def test_before_anything_is_known_it_is_as_if_all_were_served_in_order() -> None:
    outlook = Outlook()
    end, start = outlook.end(waiting(), 150), outlook.start(waiting(), 150)
    assert end is not None
    assert start is not None
    assert (end.seconds, start.seconds) == (50, 45)
    assert end.error > 0


def test_it_learns_how_much_sooner_tasks_are_served_and_how_sure_that_is() -> None:
    outlook, chance = Outlook(), random.Random(1)
    for _ in range(500):
        outlook.learn(waiting(), 100 + 100 * chance.uniform(0.1, 0.3))
    end = outlook.end(waiting(), 100)
    assert end is not None
    assert end.seconds == pytest.approx(20, abs=3)
    assert end.error == pytest.approx(5, abs=3)


def test_what_is_learned_of_one_priority_is_not_believed_of_another_that_is_known() -> None:
    outlook = Outlook()
    for _ in range(200):
        outlook.learn(waiting(priority=50), 110)
        outlook.learn(waiting(priority=-50), 300)
    high, low = outlook.end(waiting(priority=40), 100), outlook.end(waiting(priority=-1), 100)
    assert high is not None
    assert low is not None
    assert high.seconds < 15
    assert low.seconds > 150


def test_a_task_is_never_expected_to_be_done_sooner_than_it_runs() -> None:
    end, start = Outlook().end(waiting(run=7), 1000), Outlook().start(waiting(run=7), 1000)
    assert end is not None
    assert start is not None
    assert (end.seconds, start.seconds) == (7, 0)


def test_where_no_instance_is_known_nobody_can_tell() -> None:
    outlook = Outlook()
    assert outlook.end(waiting(fifo=math.inf), 100) is None
    outlook.learn(waiting(fifo=math.inf), 200)
    outlook.learn(waiting(fifo=100), 200)
    assert outlook.start(waiting(fifo=math.inf), 100) is None
