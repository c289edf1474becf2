"""Draws what became of cells: tasks that wait, run and succeed in each, over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from comfymesh.scheduler.simulate.cells_plan import Plan, Sample

_WIDTH, _HEIGHT, _LEFT, _GAP, _TOP = 1060, 150, 70, 52, 40
_INK, _PALE, _LOST = "#1f2933", "#cbd2d9", "#fbe3df"
_COLOURS = ("#d9482b", "#2f6f9f", "#5a9e6f", "#9fb3c8", "#7b8794")
_WINDOW = 15
"""Seconds over which tasks a second are averaged."""

_Series = Callable[[Sequence[Sample], int, int], float]


def _done_a_second(samples: Sequence[Sample], index: int, cell: int) -> float:
    before = max(index - _WINDOW, 0)
    return (samples[index].done[cell] - samples[before].done[cell]) / max(index - before, 1)


_PANELS: Sequence[tuple[str, _Series]] = (
    ("tasks that succeed, a second", _done_a_second),
    ("tasks that run", lambda samples, index, cell: samples[index].running[cell]),
    ("tasks that wait", lambda samples, index, cell: samples[index].waiting[cell]),
)


def draw(plan: Plan, samples: Sequence[Sample], path: Path) -> None:
    """Writes a PNG.

    Raises:
        OSError: the file can't be written.
    """
    image = Image.new("RGB", (_WIDTH, _TOP + len(_PANELS) * (_HEIGHT + _GAP)), "white")
    canvas = ImageDraw.Draw(image)
    title = f"{plan.cells} cells of {plan.nodes:,} nodes x {plan.instances}, utilisation {plan.utilisation:g}"
    canvas.text((_LEFT, 8), title, _INK, ImageFont.load_default(16))
    for row, (caption, series) in enumerate(_PANELS):
        _draw_panel(canvas, _TOP + row * (_HEIGHT + _GAP), caption, series, plan, samples)
    image.quantize(32).save(path, "PNG", optimize=True)


def _draw_panel(
    canvas: ImageDraw.ImageDraw, top: int, caption: str, series: _Series, plan: Plan, samples: Sequence[Sample]
) -> None:
    font = ImageFont.load_default(11)
    top += 18
    most = max(max(series(samples, i, c) for i in range(len(samples))) for c in range(plan.cells)) or 1.0
    if plan.lost_at is not None:
        began, ended = (_x(samples, at) for at in (plan.lost_at, plan.lost_at + plan.lost_for))
        canvas.rectangle((began, top, ended, top + _HEIGHT), _LOST)
    canvas.rectangle((_LEFT, top, _WIDTH - 20, top + _HEIGHT), outline=_PALE)
    canvas.text((_LEFT, top - 16), caption, _INK, font)
    canvas.text((8, top), f"{most:,.0f}", _INK, font)
    for cell in range(plan.cells):
        points = [
            (_x(samples, sample.time), top + _HEIGHT * (1 - series(samples, index, cell) / most))
            for index, sample in enumerate(samples)
        ]
        colour = _COLOURS[cell % len(_COLOURS)]
        canvas.line(points, colour, 2)
        canvas.text((_WIDTH - 20 - 60 * (plan.cells - cell), top - 16), f"cell {cell}", colour, font)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        moment = samples[-1].time * share
        canvas.text((_x(samples, moment) - 8, top + _HEIGHT + 3), f"{moment:.0f} s", _INK, font)


def _x(samples: Sequence[Sample], moment: float) -> float:
    return _LEFT + (_WIDTH - 20 - _LEFT) * min(moment / samples[-1].time, 1.0)
