"""A cell at full load, and the loss of one of three: the plots of docs/scaling.md, small."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from PIL import Image

from comfymesh.scheduler.simulate import cells_plot
from comfymesh.scheduler.simulate.cells import simulate
from comfymesh.scheduler.simulate.cells_command import Meter, figures
from comfymesh.scheduler.simulate.cells_plan import Plan
from comfymesh.testkit import pages

SMALL = Plan(nodes=12, models=8, seconds=240.0, report_every=10.0, lost_at=60.0, lost_for=90.0, notice=30.0)


def test_the_command_of_the_page_keeps_a_cell_of_2000_nodes_busy() -> None:
    (command,) = pages.commands("scaling.md", "A cell of 2,000 nodes at full load")
    words = [sys.executable, *shlex.split(command)[1:]]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    figures = dict(re.split(" {2,}", line, maxsplit=1) for line in said.splitlines() if "  " in line)
    created, succeeded, twice = figures["created, succeeded, executed twice"].split(", ")
    assert created == succeeded != "0"
    assert twice == "0"
    assert float(figures["busy at the middle"].rstrip("%")) > 85


def test_what_the_loss_of_a_cell_comes_to() -> None:
    outcome = simulate(SMALL)
    assert outcome.succeeded == outcome.created > 0
    # Each is executed once, but for those that the lost cell was executing.
    running = outcome.samples[58].running[0]
    assert 0 < outcome.twice <= running + 1
    lost = [sample for sample in outcome.samples if 60.0 < sample.time < 150.0]
    assert {sample.running[0] for sample in lost} == {0}
    assert len({sample.done[0] for sample in lost}) == 1
    # The others go on, and take what is created meanwhile.
    assert lost[-1].done[1] > lost[0].done[1]
    assert outcome.samples[-1].done[0] > lost[-1].done[0]
    # Until the router knows, calls are refused and made again.
    assert outcome.samples[-1].refused > 0
    settled = [sample.refused for sample in lost if sample.time > 60.0 + SMALL.notice + 1.0]
    assert len(set(settled)) == 1


def test_nothing_is_lost_or_doubled_where_no_cell_is() -> None:
    outcome = simulate(replace(SMALL, lost_at=None))
    assert (outcome.succeeded, outcome.twice) == (outcome.created, 0)
    assert outcome.samples[-1].refused == 0


def test_a_cell_at_full_load_keeps_its_instances_busy() -> None:
    plan = replace(SMALL, cells=1, utilisation=1.0, lost_at=None)
    outcome = simulate(plan)
    loaded = outcome.samples[60:200]
    assert sum(sample.running[0] for sample in loaded) > 0.85 * plan.slots * len(loaded)


def test_the_same_seed_is_the_same_story() -> None:
    assert simulate(SMALL) == simulate(SMALL)


def test_figures_and_a_picture_are_made(tmp_path: Path) -> None:
    meter = Meter()
    outcome = simulate(SMALL, meter.begins)
    told = dict(figures(SMALL, outcome, meter))
    assert told["instances"] == "3 x 12 nodes x 1"
    assert "CPU of a report: mean, p99" in told
    cells_plot.draw(SMALL, outcome.samples, tmp_path / "cells.png")
    with Image.open(tmp_path / "cells.png") as picture:
        assert picture.size[0] == 1060
