"""The command line of the simulator."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from comfymesh.scheduler.simulate import table
from comfymesh.scheduler.simulate.baselines import Fifo, LeastLoaded, Limit, Sticky
from comfymesh.scheduler.simulate.engine import Gpu, Policy, simulate
from comfymesh.scheduler.simulate.figures import Figures, figures
from comfymesh.scheduler.simulate.mesh import Mesh
from comfymesh.scheduler.simulate.trace import (
    LORA_FILE,
    LoadTimes,
    Request,
    TraceError,
    part_of,
    read_quantiles,
    read_trace,
    scale,
)
from comfymesh.tasks.policy import PolicySettings, scalars, violations

_Maker = Callable[[Sequence[Gpu], Sequence[Request], PolicySettings], Policy]
POLICIES: dict[str, _Maker] = {
    "fifo": lambda gpus, _, __: Fifo(gpus),
    "least-loaded": lambda gpus, _, __: LeastLoaded(gpus),
    "sticky": lambda gpus, _, __: Sticky(gpus),
    "limit": lambda gpus, _, __: Limit(gpus),
    "mesh": Mesh,
}
_COLUMNS = (
    ("mean_s", "mean s", "{:,.0f}"),
    ("p50_s", "p50 s", "{:,.0f}"),
    ("p95_s", "p95 s", "{:,.0f}"),
    ("p99_s", "p99 s", "{:,.0f}"),
    ("load_share", "loading", "{:.1%}"),
    ("loads_per_100", "loads/100", "{:.1f}"),
    ("longest_wait_s", "longest s", "{:,.0f}"),
    ("later_than_fifo_share", "later", "{:.1%}"),
    ("jain_slowdown", "Jain", "{:.3f}"),
    ("decision_p99_us", "decision us", "{:,.0f}"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the policies that were asked for and prints a table. Ends with 2 where an argument or file is wrong."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if options.table is not None:
            _tabulate(options)
            return
        for path in filter(None, (options.json, options.plot)):
            path.touch()  # What can't be written is told before the work, not after it.
        found = _run(options)
        sys.stdout.write(f"{_title(options)}\n{_table(found)}\n")
        if options.json:
            options.json.write_text(json.dumps({"policies": {n: asdict(f) for n, f in found.items()}}, indent=2) + "\n")
        if options.plot:
            from comfymesh.scheduler.simulate.plot import draw  # noqa: PLC0415  # Pillow is needed for this alone

            draw(found, _title(options), options.plot)
    except (TraceError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def _tabulate(options: argparse.Namespace) -> None:
    sys.stdout.write(f"{table.head()}\n")
    for name in options.table or table.WORLDS:
        world = argparse.Namespace(**{**vars(options), "policy": table.COMPARED, **table.WORLDS[name]})
        sys.stdout.write(f"{table.row(name, _run(world))}\n")
        sys.stdout.flush()  # A row takes a minute.


def _run(options: argparse.Namespace) -> dict[str, Figures]:
    slowness = options.speeds or [1.0]
    gpus = [1.0 / slowness[number % len(slowness)] for number in range(options.gpus)]
    requests = scale(
        part_of(read_trace(options.trace), options.part), sum(1 / each for each in gpus), options.utilisation
    )
    times = LoadTimes(read_quantiles(options.load_times), _lora_quantiles(options), options.seed)
    names = list(dict.fromkeys(options.policy or POLICIES))
    ends: dict[int, float] = {}
    found: dict[str, Figures] = {}
    for name in dict.fromkeys(["fifo", *names]):
        fleet = [Gpu(number, each, options.resident) for number, each in enumerate(gpus)]
        outcome = simulate(requests, POLICIES[name](fleet, requests, options.settings), times)
        ends = ends or {run.request.number: run.end for run in outcome.runs}
        found[name] = figures(outcome, ends)
    return {name: found[name] for name in names}


def _lora_quantiles(options: argparse.Namespace) -> list[float]:
    beside = options.load_times.parent / LORA_FILE
    path = options.lora_load_times or (beside if beside.exists() else None)
    if path is not None:
        return read_quantiles(path)
    sys.stderr.write(f"LoRAs load for free: there is no {beside}, and no --lora-load-times\n")
    return [0.0]


def _title(options: argparse.Namespace) -> str:
    return (
        f"{options.trace.stem}: {options.gpus} GPUs, {options.resident} resident, utilisation {options.utilisation:g}"
    )


def _table(found: dict[str, Figures]) -> str:
    rows = [["policy", *(title for _, title, _ in _COLUMNS)]]
    for name, each in found.items():
        rows.append([name, *(shape.format(getattr(each, column)) for column, _, shape in _COLUMNS)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m comfymesh.scheduler.simulate", description=__doc__)
    add = parser.add_argument
    add("--trace", type=Path, required=True, help="requests, a CSV file")
    add("--load-times", type=Path, required=True, help="quantiles of the seconds that a checkpoint takes to load, CSV")
    add("--lora-load-times", type=Path, help=f"the same of LoRAs (default: {LORA_FILE} beside --load-times, else free)")
    add("--gpus", type=_positive, default=16, help="GPUs of the fleet (default: %(default)s)")
    add("--utilisation", type=_part, default=0.6, help="part of the fleet that runs alone would use, above 0, below 1")
    add("--policy", action="extend", nargs="+", choices=list(POLICIES), help="what to run (default: all)")
    add("--resident", type=_positive, default=1, help="checkpoints that a GPU holds (default: %(default)s)")
    add("--speeds", type=_speeds, help="how fast GPUs are, in turn, such as 1,0.5 (default: all 1)")
    add("--seed", type=int, default=1, help="draws the load times (default: %(default)s)")
    add("--set", dest="settings", type=_settings, default=PolicySettings(), metavar="NAME=VALUE,...", help="settings")
    add("--part", choices=["first", "second"], help="replay one half of the trace (default: all of it)")
    add("--table", nargs="*", choices=list(table.WORLDS), metavar="ROW", help="make the published table")
    add("--json", type=Path, help="write the figures here")
    add("--plot", type=Path, help="draw them here, as PNG")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 1,000,000")
    return value


def _part(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _speeds(text: str) -> list[float]:
    values = [float(part) for part in text.split(",")]
    if not all(0.01 <= value <= 100 for value in values):
        raise argparse.ArgumentTypeError(f"{text} has a speed that is not between 0.01 and 100")
    return values


def _value(text: str) -> float | bool:
    return text == "on" if text in {"on", "off"} else float(text)


def _settings(text: str) -> PolicySettings:
    known = {declared.name for declared in scalars(PolicySettings)}
    pairs = [pair.partition("=") for pair in text.split(",")]
    unknown = [name for name, _, _ in pairs if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is none of {', '.join(sorted(known))}")
    changes: dict[str, Any] = {name: _value(value) for name, _, value in pairs}
    settings = PolicySettings(**changes)
    for name, words in violations(settings):
        raise argparse.ArgumentTypeError(f"{name} {words}")
    return settings
