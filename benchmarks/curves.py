"""Draws what a queue costs by its length: one panel a figure, lengths in powers of ten."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from benchmarks.queueing import Queue, Size

_WIDTH, _HEIGHT, _PANEL, _MARGIN, _LEFT, _TOP, _BOTTOM = 1060, 300, 340, 16, 52, 76, 44
_INK, _PALE, _GRID, _AIM = "#1f2933", "#7b8794", "#e4e7eb", "#d9482b"
_COLOURS = ("#9fb3c8", "#334e68")


@dataclass(frozen=True, slots=True)
class _Panel:
    """A figure: its caption, its lines by name, the most that is aimed at, and how a number of it is written."""

    caption: str
    lines: dict[str, Callable[[Size], float]]
    aim: float | None
    shape: str


_PANELS = (
    _Panel(
        "CPU ms to decide; aim: p99 below 1",
        {"p50": lambda size: size.p50_us / 1000, "p99": lambda size: size.p99_us / 1000},
        1.0,
        "{:.2f}",
    ),
    _Panel("CPU ms to take in a task", {"mean": lambda size: size.arrival_us / 1000}, None, "{:.2f}"),
    _Panel("bytes a waiting task takes; aim: 600", {"": lambda size: size.bytes_each}, 600.0, "{:.0f}"),
)


def draw(queue: Queue, title: str, path: Path) -> None:
    """Writes a PNG.

    Raises:
        OSError: the file can't be written.
    """
    image = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    canvas = ImageDraw.Draw(image)
    canvas.text((_MARGIN, 10), title, _INK, ImageFont.load_default(16))
    for column, panel in enumerate(_PANELS):
        _draw_panel(canvas, _MARGIN + column * (_PANEL + 4), panel, queue.sizes)
    image.quantize(32).save(path, "PNG", optimize=True)


def _draw_panel(canvas: ImageDraw.ImageDraw, left: int, panel: _Panel, sizes: Sequence[Size]) -> None:
    font = ImageFont.load_default(11)
    most = 1.15 * max([panel.aim or 0.0, *(value(size) for value in panel.lines.values() for size in sizes)])
    x = [_x(left, size.waiting, sizes) for size in sizes]
    canvas.text((left, 44), panel.caption, _PALE, ImageFont.load_default(12))
    canvas.line((left + _LEFT, _y(0, most), left + _PANEL - _MARGIN, _y(0, most)), _PALE)
    for place, size in zip(x, sizes, strict=True):
        canvas.line((place, _TOP, place, _y(0, most)), _GRID)
        canvas.text((place - 18, _y(0, most) + 8), f"{size.waiting:,}", _INK, font)
    if panel.aim is not None:
        canvas.line((left + _LEFT, _y(panel.aim, most), left + _PANEL - _MARGIN, _y(panel.aim, most)), _AIM)
    for colour, (name, value) in zip(_COLOURS, panel.lines.items(), strict=False):
        points = [(place, _y(value(size), most)) for place, size in zip(x, sizes, strict=True)]
        canvas.line(points, colour, 2)
        for (across, down), size in zip(points, sizes, strict=True):
            canvas.ellipse((across - 3, down - 3, across + 3, down + 3), colour)
            canvas.text((across + 5, down - 15), panel.shape.format(value(size)), _INK, font)
        canvas.text((left, points[0][1] - 6), name, _INK, font)


def _x(left: int, waiting: int, sizes: Sequence[Size]) -> int:
    first, last = (math.log10(size.waiting) for size in (sizes[0], sizes[-1]))
    along = (math.log10(waiting) - first) / (last - first) if last > first else 0.5
    return left + _LEFT + 14 + round(along * (_PANEL - _LEFT - 90))


def _y(value: float, most: float) -> int:
    return round(_HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * value / most)
