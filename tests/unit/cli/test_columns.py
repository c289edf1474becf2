"""Tables fit as they can, and names in them stay whole."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.screen import Screen

from comfymesh.cli.columns import Column, Folded, PlainTable, fit
from comfymesh.cli.tables import node_table, task_table
from comfymesh.cli.top import Picture, render
from comfymesh.client import Availability, Instance, InstanceState, Node, NodeState, Task, TaskState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TASK = Task("tasks/t10b555e99b6454bc918016d9c2819a5c", TaskState.SUCCEEDED, node="nodes/local-0")


def printed(table: PlainTable, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(table, crop=False)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_name_of_a_task_can_be_copied_however_narrow_it_is(width: int) -> None:
    heading, row = printed(task_table([TASK], NOW), width)
    assert heading.split()[0] == "TASK"
    assert row.split()[:2] == ["t10b555e99b6454bc918016d9c2819a5c", "succeeded"]
    assert "…" not in row


def test_what_says_nothing_makes_room_first() -> None:
    instance = Instance("comfyui-0", InstanceState.READY, slots=2, comfyui_version="0.33.0", runtime="process")
    node = Node("nodes/local-0", NodeState.ACTIVE, Availability.OPEN, instances=(instance,), last_report_time=NOW)
    assert {"GPUS", "POOL"} <= set(printed(node_table([node], NOW), 200)[0].split())
    heading, row = printed(node_table([node], NOW), 80)
    assert not {"GPUS", "POOL"} & set(heading.split())
    assert row.split() == ["local-0", "active", "open", "comfyui-0", "ready", "0/2", "0.33.0", "process", "now"]
    assert len(row) <= 80


def test_a_node_that_somebody_named_none_keeps_its_name() -> None:
    table = PlainTable("NODE", "POOL", "MESSAGE")
    table.add_row("none", "-", "m" * 500)
    assert printed(table, 40)[0].split() == ["NODE", "MESSAGE"]


def test_texts_are_shortened_and_nothing_else_is() -> None:
    table = PlainTable("TASK", "MESSAGE")
    table.add_row("t" * 33, "m" * 500)
    heading, row = printed(table, 80)
    assert row.startswith("t" * 33 + "  mmm")
    assert row.endswith("…")
    assert len(row) <= 80
    assert heading.split() == ["TASK", "MESSAGE"]


_CELLS = st.sampled_from(["", "-", "none", "x", "word", "a longer text of several words"])
_HEADINGS = st.lists(st.sampled_from(["TASK", "NODE", "MESSAGE", "WHY", "GPUS"]), min_size=1, max_size=5, unique=True)


@given(_HEADINGS, st.data(), st.integers(1, 200))
def test_only_empty_columns_go_and_only_texts_lose_anything(
    headings: list[str], data: st.DataObject, room: int
) -> None:
    columns = [Column(heading, list(data.draw(st.lists(_CELLS, min_size=2, max_size=2)))) for heading in headings]
    shown = fit(columns, room)
    assert shown
    for column in columns:
        assert column.is_empty or column in [each for each, _ in shown]
    for column, width in shown:
        assert width == column.width or (
            column.heading in {"MESSAGE", "WHY", "GPUS"} and width >= min(16, column.width)
        )
    if sum(column.width + 2 for column in columns) <= room:
        assert shown == [(column, column.width) for column in columns]


@pytest.mark.parametrize("width", [20, 37, 60, 200])
def test_what_is_drawn_on_a_narrow_screen_is_folded_and_nothing_is_lost(width: int) -> None:
    instance = Instance("comfyui-0", InstanceState.READY, slots=2, comfyui_version="0.33.0", runtime="process")
    node = Node("nodes/rack-7-北", NodeState.ACTIVE, Availability.OPEN, instances=(instance,))
    picture = render(Picture(NOW, [node], trouble="The queue is for operators."), "mesh.example:7700")
    console = Console(file=io.StringIO(), width=width, height=60, highlight=False)
    console.print(Screen(Folded(picture)))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    shown = "".join("".join(lines).split())
    for word in ("mesh.example:7700", "1of1nodesactive", "0other", "rack-7-北", "comfyui-0", "0.33.0", "operators."):
        assert word in shown
    assert max(map(cell_len, lines)) <= width
