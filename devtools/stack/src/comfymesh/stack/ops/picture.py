"""Draws dashboards into one PNG. The only file that knows matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, Formatter, FuncFormatter, MaxNLocator

from comfymesh.stack.observability.model import Look
from comfymesh.stack.ops.panels import Line, Section, Shown

_COLUMNS, _WIDTH, _DPI = 4, 18.0, 100
_MARGIN, _GAP = 0.6, 0.65
"""Around everything, and between two panels: there are the numbers of an axis. Inches, as all sizes here."""
_TITLE, _HEADING, _NUMBER, _LINES, _ROW_GAP = 1.0, 0.75, 0.7, 1.75, 0.7
_LONGEST_NAME, _MOST_NAMES = 26, 8
_INK, _PALE, _MARK = "#1f2933", "#7b8794", "#c0392b"
_COLOURS = (
    "#2f6db5",
    "#e0862a",
    "#3c9d5d",
    "#b3446c",
    "#7a5fc0",
    "#1aa0a8",
    "#a8793a",
    "#c94f4f",
    "#6b7f2a",
    "#4a5a6a",
)
_COUNTED = "short"
_UNITS = {
    "s": "seconds",
    "percentunit": "share",
    "bytes": "bytes",
    "ops": "per second",
    "Bps": "bytes per second",
    "celsius": "°C",
    _COUNTED: "count",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened, so many seconds after the beginning."""

    at: float
    text: str


def draw(title: str, sections: Sequence[Section], marks: Sequence[Mark], path: Path) -> None:
    """Write a PNG of everything that the sections show; panels without data are named at the bottom.

    Raises:
        OSError: the file can't be written.
    """
    rows = [(section.title, list(_rows(section))) for section in sections]
    course = _Course(_end(sections), marks)
    height = _MARGIN + _TITLE + sum(_HEADING + sum(map(_height, found)) for _, found in rows)
    page = _Page(height)
    page.write(0.0, 0.25, title, 17)
    page.write(0.0, 0.65, _key(marks), 10, _MARK)
    top = _TITLE
    for heading, found in rows:
        page.write(top, 0.1, heading, 13)
        top += _HEADING
        for row in found:
            for column, shown in enumerate(row):
                _fill(page.panel(column, top, _inner(row)), shown, course)
            top += _height(row)
    page.write(top, 0.1, _missing(sections), 9, _PALE)
    page.figure.savefig(path, dpi=_DPI)


@dataclass(frozen=True, slots=True)
class _Course:
    """What all panels have in common: how long it took, in seconds, and what happened meanwhile."""

    end: float
    marks: Sequence[Mark]


def _end(sections: Sequence[Section]) -> float:
    lines = (line for section in sections for shown in section.panels for line in shown.lines)
    return max((line.points[-1][0] for line in lines), default=0.0) or 1.0


def _key(marks: Sequence[Mark]) -> str:
    return f"dashed: {', '.join(dict.fromkeys(mark.text for mark in marks))}" if marks else ""


class _Page:
    """A page on which things are placed by inches from the left and the top."""

    def __init__(self, height: float) -> None:
        self.figure = Figure(figsize=(_WIDTH, height), facecolor="white")
        self._height = height

    def write(self, top: float, down: float, text: str, size: float, colour: str = _INK) -> None:
        weight = "bold" if size > 10 else "normal"
        x, y = _MARGIN / _WIDTH, 1 - (top + down) / self._height
        self.figure.text(x, y, text, fontsize=size, fontweight=weight, color=colour, va="top")

    def panel(self, column: int, top: float, height: float) -> Axes:
        width = (_WIDTH - 2 * _MARGIN - (_COLUMNS - 1) * _GAP) / _COLUMNS
        left = _MARGIN + column * (width + _GAP)
        bottom = self._height - top - height
        return self.figure.add_axes((left / _WIDTH, bottom / self._height, width / _WIDTH, height / self._height))


def _rows(section: Section) -> Iterator[list[Shown]]:
    """Panels side by side: those of one kind, as many as there is room for."""
    row: list[Shown] = []
    for shown in section.panels:
        if not shown.lines:
            continue
        if row and (len(row) == _COLUMNS or _is_number(row[0]) != _is_number(shown)):
            yield row
            row = []
        row.append(shown)
    if row:
        yield row


def _is_number(shown: Shown) -> bool:
    return shown.panel.look is Look.NUMBER


def _inner(row: Sequence[Shown]) -> float:
    return _NUMBER if _is_number(row[0]) else _LINES


def _height(row: Sequence[Shown]) -> float:
    return _inner(row) + _ROW_GAP


def _missing(sections: Sequence[Section]) -> str:
    empty = [shown.panel.title for section in sections for shown in section.panels if not shown.lines]
    return f"Without data on this machine: {', '.join(empty)}." if empty else ""


def _fill(axes: Axes, shown: Shown, course: _Course) -> None:
    unit = _UNITS.get(shown.panel.unit, "")
    axes.set_title(shown.panel.title, fontsize=10, loc="left", color=_INK)
    axes.set_title(unit, fontsize=8, loc="right", color=_PALE)
    axes.tick_params(labelsize=8, colors=_PALE, length=2)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_xlim(0, course.end)
    if _is_number(shown):
        _number(axes, shown)
    else:
        _curves(axes, shown)
        for mark in course.marks:
            axes.axvline(mark.at, color=_MARK, linewidth=0.8, linestyle=(0, (3, 3)))


def _number(axes: Axes, shown: Shown) -> None:
    """The last value in large, on what led to it."""
    points = shown.lines[0].points
    axes.fill_between(*_columns(points), step="post", color=_COLOURS[0], alpha=0.15, linewidth=0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_ylim(bottom=0)
    text = _formatter(shown.panel.unit)(points[-1][1])
    axes.text(0.03, 0.45, text, transform=axes.transAxes, fontsize=22, color=_INK, va="center")


def _curves(axes: Axes, shown: Shown) -> None:
    chosen = telling(shown.lines)
    if shown.panel.stacked:
        times, values = together(chosen)
        names = [_short(line.name) for line in chosen]
        axes.stackplot(times, values, labels=names, colors=_COLOURS, alpha=0.75, step="post", linewidth=0)
    else:
        for number, line in enumerate(chosen):
            axes.plot(
                *_columns(line.points), label=_short(line.name), color=_COLOURS[number % len(_COLOURS)], linewidth=1.5
            )
    _scale(axes, shown.panel.unit)
    if any(line.name for line in chosen):
        _name(axes)


def _scale(axes: Axes, unit: str) -> None:
    """Axes from 0 on, with room above the curves for their names."""
    top = axes.dataLim.ymax
    axes.set_ylim(0, 1.4 * top if top > 1e-9 else 1)
    axes.grid(visible=True, color="#e4e7eb", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], integer=unit == _COUNTED))
    axes.yaxis.set_major_formatter(_formatter(unit))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:g} s"))


def _name(axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    axes.legend(
        *(handles[:_MOST_NAMES], names[:_MOST_NAMES]),
        loc="upper left",
        fontsize=7,
        ncols=3 if len(names) <= 3 else 2,
        framealpha=0.7,
        edgecolor="none",
        borderpad=0.2,
        handlelength=1.2,
        columnspacing=1.0,
    )


def _formatter(unit: str) -> Formatter:
    if unit == "percentunit":
        return FuncFormatter(lambda value, _: f"{100 * value:.3g} %")
    if unit in {"bytes", "Bps"}:
        sized = EngFormatter("B", places=1)
        return FuncFormatter(lambda value, _: sized(value).replace(".0 ", " "))
    if unit == "s":
        return FuncFormatter(lambda value, _: f"{1000 * value:.3g} ms" if 0 < value < 0.1 else f"{value:.3g} s")
    return FuncFormatter(lambda value, _: f"{value:.3g}")


def telling(lines: Sequence[Line]) -> list[Line]:
    """The lines without those that are always 0, where others are not."""
    return [line for line in lines if any(value for _, value in line.points)] or list(lines)


def together(lines: Sequence[Line]) -> tuple[list[float], list[list[float]]]:
    """All moments of all lines, and what each had then: 0 where it was not there."""
    times = sorted({at for line in lines for at, _ in line.points})
    had = [dict(line.points) for line in lines]
    return times, [[each.get(at, 0.0) for at in times] for each in had]


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [at for at, _ in points], [value for _, value in points]


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
