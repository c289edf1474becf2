"""The command line of the simulation of cells: `python -m comfymesh.scheduler.simulate.cells_command`."""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from comfymesh.scheduler.simulate.cells import simulate
from comfymesh.scheduler.simulate.cells_plan import Outcome, Plan, Sample

_KINDS = {"arrive": "a task created", "place": "a call repeated", "end": "a task ended", "report": "a report"}


_ONE_IN = 23
"""Of so many events one is measured: to ask for the time may take longer than to handle an event."""


class Meter:
    """CPU time of this process by what it was spent on."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = defaultdict(list)
        self._kind = ""
        self._since = 0.0
        self._count = 0

    def begins(self, kind: str) -> None:
        """Something else is about to be done."""
        if self._kind:
            self.spent[self._kind].append(time.process_time() - self._since)
            self._kind = ""
        self._count += 1
        if self._count % _ONE_IN == 0:
            self._kind, self._since = kind, time.process_time()


def figures(plan: Plan, outcome: Outcome, meter: Meter) -> Iterator[tuple[str, str]]:
    """Names and figures, for people."""
    yield "instances", f"{plan.cells} x {plan.nodes:,} nodes x {plan.instances}"
    yield "tasks a second", f"{plan.rate:.1f} in all"
    yield "created, succeeded, executed twice", f"{outcome.created:,}, {outcome.succeeded:,}, {outcome.twice:,}"
    yield "calls that were refused and made again", f"{outcome.samples[-1].refused:,}"
    yield "busy at the middle", f"{_busy(plan, outcome.samples):.1%}"
    for name, waits in (("elsewhere", outcome.waits), ("in the first cell", outcome.lost_waits)):
        if waits:
            yield f"wait {name}: p50, p99, max", ", ".join(f"{_quantile(waits, q):.1f} s" for q in (0.5, 0.99, 1.0))
    for kind, name in _KINDS.items():
        if spent := meter.spent.get(kind):
            yield f"CPU of {name}: mean, p99", f"{_mean(spent):.3f} ms, {1e3 * _quantile(spent, 0.99):.3f} ms"
    yield "memory of the process, peak", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB"


def _busy(plan: Plan, samples: Sequence[Sample]) -> float:
    middle = samples[: int(plan.seconds)]
    return sum(sum(sample.running) for sample in middle) / (len(middle) * plan.cells * plan.slots)


def _mean(values: Sequence[float]) -> float:
    return 1e3 * sum(values) / len(values)


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m comfymesh.scheduler.simulate.cells_command", description=__doc__)
    for field in fields(Plan):
        kind = int if type(field.default) is int else float
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the samples.")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="Draw them (needs Pillow).")
    return parser


def main() -> None:
    """Simulates, prints figures, and writes what was asked for."""
    given = _parser().parse_args()
    plan = Plan(**{field.name: getattr(given, field.name) for field in fields(Plan)})
    meter = Meter()
    outcome = simulate(plan, meter.begins)
    for name, value in figures(plan, outcome, meter):
        print(f"{name:42} {value}")  # noqa: T201  # it is what the command is for
    if given.json:
        given.json.write_text(json.dumps({"plan": asdict(plan), "samples": [asdict(s) for s in outcome.samples]}))
    if given.plot:
        from comfymesh.scheduler.simulate import cells_plot  # noqa: PLC0415  # the one part that needs Pillow

        cells_plot.draw(plan, outcome.samples, given.plot)


if __name__ == "__main__":
    main()
