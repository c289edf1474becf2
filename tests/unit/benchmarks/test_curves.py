"""The plot of what a queue costs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from benchmarks.curves import draw
from benchmarks.queueing import Queue, Size
from PIL import Image


@pytest.mark.parametrize("lengths", [(1_000,), (1_000, 10_000, 100_000, 1_000_000)])
def test_every_length_is_drawn(lengths: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "queue.png"
    draw(Queue([Size(length, 300.0, 900.0, 90.0, 590.0) for length in lengths]), "a title", path)
    with Image.open(path) as image:
        assert image.size == (1060, 300)
        colours = [colour for _, colour in image.convert("RGB").getcolors() or []]
    dark = [colour for colour in colours if isinstance(colour, tuple) and math.dist(colour, (51, 78, 104)) < 25]
    assert dark  # the line of the 99th percentile, or its points
