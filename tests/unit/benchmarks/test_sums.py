"""The pure parts of the suites that run on request."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.faults import made
from benchmarks.graphs import lasting
from benchmarks.ground import Sync, nats_configuration
from benchmarks.logalone import chains
from benchmarks.sustained import Course, Load, Sustained, together

from comfymesh.bus.tasklog import Stored
from comfymesh.tasks.record import Key


def test_what_is_numbered_alike_is_summed_up() -> None:
    assert together({"api": 1.0, "emulator-0": 2.0, "emulator-1": 3.0}, "emulator") == {"api": 1.0, "emulator": 5.0}


@pytest.mark.parametrize(
    ("pictures", "counts"),
    [
        ([], (0, 0)),
        (["task-1-of_00001_.png", "task-2-of_00001_.png"], (2, 0)),
        (["task-1-of_00001_.png", "task-1-of_00001_.png", "task-1-of_00002_.png", "task-2-of_00001_.png"], (2, 2)),
    ],
)
def test_tasks_with_pictures_and_pictures_beyond_the_first_of_each_are_counted(
    pictures: list[str], counts: tuple[int, int]
) -> None:
    assert made(pictures) == counts


def test_records_are_gathered_by_task_in_their_order() -> None:
    one, two = Key("t", "one"), Key("t", "two")
    told = [Stored(one, 1, b"a"), Stored(two, 2, b"b"), Stored(one, 3, b"c")]
    assert chains(told) == [[b"a", b"c"], [b"b"]]


def test_a_course_is_told_beside_the_log_alone() -> None:
    course = Course(rate=100.0, log_alone=400.0, records=3.0, cpu_ms={"api": 2.0}, busy=1.5)
    rows = Sustained(Load(10, 1), {"always": course}).rows()
    assert any("the mesh has 25% of it" in value for _, value in rows)


def test_a_lasting_graph_takes_its_time_in_steps() -> None:
    inputs = lasting(0.5, "name")["2"]["inputs"]
    assert inputs["steps"] * inputs["seconds_per_step"] == pytest.approx(0.5)


def test_only_the_sync_differs_between_configurations(tmp_path: Path) -> None:
    always = nats_configuration(tmp_path, Sync.ALWAYS).read_text()
    seldom = nats_configuration(tmp_path, Sync.SELDOM).read_text()
    assert "sync_interval: always" in always
    assert always.replace("sync_interval: always", "") == seldom
