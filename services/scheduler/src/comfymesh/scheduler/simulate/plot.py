"""Draws figures as small bars side by side: one panel a figure, one bar a policy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from comfymesh.scheduler.simulate.figures import Figures

_PANELS = (
    ("mean_s", "mean time to result, s", "{:,.0f}"),
    ("p99_s", "99th percentile, s", "{:,.0f}"),
    ("load_share", "busy time spent loading", "{:.1%}"),
    ("later_than_fifo_share", "ended later than under fifo", "{:.1%}"),
    ("jain_slowdown", "Jain index of tenants' slowdown", "{:.2f}"),
)
_WIDTH, _PANEL, _BAR, _MARGIN, _NAMES, _TOP = 1060, 188, 20, 16, 90, 70
_INK, _PALE, _OURS, _OTHERS = "#1f2933", "#7b8794", "#d9482b", "#9fb3c8"


def draw(found: Mapping[str, Figures], title: str, path: Path) -> None:
    """Writes a PNG.

    Raises:
        OSError: the file can't be written.
    """
    image = Image.new("RGB", (_WIDTH, _TOP + len(found) * (_BAR + 8) + _MARGIN), "white")
    canvas = ImageDraw.Draw(image)
    canvas.text((_MARGIN, 10), title, _INK, ImageFont.load_default(16))
    font = ImageFont.load_default(12)
    for row, name in enumerate(found):
        canvas.text((_MARGIN, _y(row) + 3), name, _INK, font)
    for column, (figure, caption, shape) in enumerate(_PANELS):
        left = _MARGIN + _NAMES + column * _PANEL
        canvas.text((left, 44), caption, _PALE, ImageFont.load_default(11))
        values = {name: getattr(each, figure) for name, each in found.items()}
        most = max(values.values()) or 1.0
        for row, (name, value) in enumerate(values.items()):
            length = round((_PANEL - 70) * value / most)
            colour = _OURS if name == "mesh" else _OTHERS
            canvas.rectangle((left, _y(row), left + max(length, 1), _y(row) + _BAR), colour)
            canvas.text((left + length + 5, _y(row) + 4), shape.format(value), _INK, font)
    image.quantize(32).save(path, "PNG", optimize=True)


def _y(row: int) -> int:
    return _TOP + row * (_BAR + 8)
