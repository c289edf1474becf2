"""Answers of Prometheus become lines, and lines a picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from comfymesh.stack.observability.dashboards import ALL
from comfymesh.stack.observability.model import Look, Panel, Query
from comfymesh.stack.observability.prometheus import Series
from comfymesh.stack.ops import panels, picture
from comfymesh.stack.ops.panels import Line, Section, Shown
from comfymesh.stack.ops.picture import Mark, draw, telling, together

START = 1_700_000_000.0


def series(*values: float, **labels: str) -> Series:
    return Series(labels, tuple((START + at, value) for at, value in enumerate(values)))


def line(name: str, *values: float, first: int = 0) -> Line:
    return Line(name, tuple((float(at), value) for at, value in enumerate(values, first)))


def test_series_are_called_as_the_panel_says() -> None:
    query = Query("up", "{{comfymesh_node}}/{{comfymesh_instance}}")
    (found,) = panels.lines(query, [series(1.0, comfymesh_node="a", comfymesh_instance="b")], START)
    assert found == line("a/b", 1.0)


@pytest.mark.parametrize(
    ("legend", "name"), [("", "b, a"), ("p95", "p95"), ("of {{missing}}", "of")], ids=["none", "fixed", "missing"]
)
def test_a_legend_is_filled(legend: str, name: str) -> None:
    assert panels.legend(Query("up", legend), {"__name__": "up", "one": "b", "two": "a"}) == name


def test_what_is_no_number_is_left_out_and_so_is_a_line_without_any() -> None:
    nan, infinite = float("nan"), float("inf")
    found = panels.lines(Query("x", "{{of}}"), [series(nan, 2.0, infinite, of="a"), series(nan, of="b")], START)
    assert found == [line("a", 2.0, first=1)]


def test_lines_that_are_always_0_are_left_out_where_others_are_not() -> None:
    zero, other = line("zero", 0.0, 0.0), line("other", 0.0, 1.0)
    assert telling([zero, other]) == [other]
    assert telling([zero]) == [zero]


def test_lines_on_top_of_each_other_have_the_same_moments() -> None:
    assert together([line("a", 1.0, 2.0), line("b", 5.0, first=1)]) == ([0.0, 1.0], [[1.0, 2.0], [0.0, 5.0]])


def section(*shown: Shown) -> Section:
    return Section("ComfyMesh / test", shown)


def lines_panel(unit: str = "s", *, stacked: bool = False) -> Panel:
    return Panel("a panel", unit, (Query("up"),), stacked=stacked)


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.verify()
        return image.size


def test_every_panel_of_every_dashboard_can_be_drawn(tmp_path: Path) -> None:
    given = [
        Section(board.title, tuple(Shown(panel, (line("one", 0.0, 3.0), line("", 2.0))) for panel in board.panels[:9]))
        for board in ALL
    ]
    draw("everything", given, [Mark(0.5, "something happened")], tmp_path / "all.png")
    width, height = size(tmp_path / "all.png")
    assert width == 1800
    assert height > len(ALL) * 400


def test_more_panels_make_a_higher_picture_and_those_without_data_none(tmp_path: Path) -> None:
    full, empty = Shown(lines_panel(), (line("", 1.0, 2.0),)), Shown(lines_panel(), ())
    number = Shown(Panel("a number", "short", (Query("up"),), Look.NUMBER), (line("", 1.0),))
    heights = []
    for shown in ([number], [number, full], [number, *[full] * 4, empty], [number, *[full] * 5], [empty]):
        draw("title", [section(*shown)], [], tmp_path / "some.png")
        heights.append(size(tmp_path / "some.png")[1])
    assert heights[4] < heights[0] < heights[1] == heights[2] < heights[3]


def test_what_has_no_data_is_named() -> None:
    assert picture._missing([section(Shown(lines_panel(), ()))]) == "Without data on this machine: a panel."
    assert picture._missing([]) == ""


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("s", 28.123, "28.1 s"),
        ("s", 0.0042, "4.2 ms"),
        ("s", 0.0, "0 s"),
        ("percentunit", 0.0227, "2.27 %"),
        ("bytes", 30e6, "30 MB"),
        ("short", 32.0, "32"),
    ],
)
def test_numbers_are_told_with_their_unit(unit: str, value: float, text: str) -> None:
    assert picture._formatter(unit)(value) == text


@pytest.mark.parametrize("values", [(0.0, 0.0), (1.0, 1.0), (3.0, 14.0)])
def test_what_is_counted_has_whole_numbers_at_its_axis(values: tuple[float, ...]) -> None:
    axes = Figure().add_axes((0, 0, 1, 1))
    picture._curves(axes, Shown(lines_panel("short"), (line("one", *values),)))
    bottom, top = axes.get_ylim()
    assert bottom == 0
    assert top >= max(*values, 1)
    assert all(float(at).is_integer() for at in axes.get_yticks())
