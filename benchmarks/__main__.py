"""Runs the suites, prints one table, writes the figures as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

import click

from benchmarks import (
    affinity,
    bare,
    calls,
    curves,
    faults,
    ground,
    idlegap,
    machine,
    overhead,
    progress,
    queueing,
    recovery,
    sustained,
    takeover,
    telemetry,
    throughput,
    watchers,
)
from benchmarks.figures import LEAST_VALUES

SUITES = ("overhead", "bare", "burst", "relayed", "progress", "calls")
ON_REQUEST = ("telemetry", "sustained", "watchers", "recovery", "takeover", "faults", "affinity", "queue", "idle-gap")
"""Suites that take minutes each; all but the last run on emulators only."""
LENGTHS = (0.2, 0.05, 0.02, 0.01, 0.005, 0.0)
"""Seconds that a prompt of the suite idle-gap works; 0 for the shortest there is."""


class Result(Protocol):
    """What a suite has found; a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        ...


_SUITE = f"Only this one; may be repeated. Only on request: {', '.join(ON_REQUEST)}."

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--suite", "suites", type=click.Choice(SUITES + ON_REQUEST), multiple=True, help=_SUITE)
@click.option("--rounds", default=150, show_default=True, help="Single tasks each way.")
@click.option("--burst", "tasks", default=300, show_default=True, help="Tasks of a burst.")
@click.option("--bursts", default=3, show_default=True, help="Bursts each way.")
@click.option("--call-rounds", default=5, show_default=True, help="Rounds of the suite calls.")
@click.option("--waiting", default=40, show_default=True, help="Tasks that wait at once for the suite idle-gap.")
@click.option("--look-ahead", default=1, show_default=True, help="Attempts that wait at the instance meanwhile.")
@click.option("--course", default=40, show_default=True, help="Tasks of a round of the suite telemetry, each way.")
@click.option(
    "--turns", type=click.IntRange(min=LEAST_VALUES), default=10, show_default=True, help="Rounds of it, at least six."
)
@click.option("--length", "lengths", default=LENGTHS, multiple=True, help="Seconds of a prompt there; may be repeated.")
@click.option("--cached", default=1000, show_default=True, help="Cached tasks.")
@click.option("--tasks", "sustained", default=3000, show_default=True, help="Tasks of a sustained course.")
@click.option("--instances", default=8, show_default=True, help="Emulators of a sustained course.")
@click.option("--watchers", default=1000, show_default=True, help="Watchers at once.")
@click.option("--rate", "rates", default=(2.5, 5.0, 10.0), multiple=True, help="Events/s of each; may be repeated.")
@click.option("--live", default=100_000, show_default=True, help="Tasks that wait in the log of a recovery.")
@click.option("--ended", default=1_000_000, show_default=True, help="Tasks that have ended in it.")
@click.option("--trials", default=3, show_default=True, help="How often each part is killed for a take-over.")
@click.option("--longest-queue", default=1_000_000, show_default=True, help="Tasks that wait for the suite queue.")
@click.option("--decisions", default=2000, show_default=True, help="Decisions that are measured there.")
@click.option("--size", default=512, show_default=True, help="Pixels of the pictures whose progress is watched.")
@click.option("--step-seconds", default="0.1", show_default=True, help="Time of a step of the emulator.")
@click.option("--trace", type=_FILE, help="Requests of a production trace, for affinity.")
@click.option("--load-times", type=_FILE, help="Quantiles of the time to load a model, for affinity.")
@click.option("--lora-load-times", type=_FILE, help="The same for LoRAs.")
@click.option("--first-request", default=0, show_default=True, help="Where the slice of the trace begins.")
@click.option("--requests", default=240, show_default=True, help="Requests of the slice.")
@click.option("--gpus", default=4, show_default=True, help="Emulators that it is replayed against.")
@click.option("--speed", default=20.0, show_default=True, help="How many times faster it is replayed.")
@click.option("--utilisation", default=0.6, show_default=True, help="Share of their time that executions take.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw the suite queue here, as PNG.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path(__file__).parent / "results" / "latest.json",
    help="Where the figures go.  [default: benchmarks/results/latest.json]",
)
def main(out: Path, **options: Any) -> None:  # noqa: ANN401  # what click read
    """Measure a mesh of real processes in front of an emulator, or of the ComfyUI that COMFYUI_URL names."""
    # However it is ended, the processes that it started end with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    facts = machine.facts()
    kind, results = asyncio.run(_measure(options))
    facts = {"comfyui": kind, **facts}
    click.echo(table(facts, results))
    document = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": facts,
        "results": {name: asdict(result) for name, result in results.items()},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    # Of files that were measured with, only the name means something elsewhere.
    out.write_text(json.dumps(document, indent=2, default=lambda path: path.name) + "\n")
    click.echo(f"\nWritten to {out}.")


def table(facts: dict[str, str], results: dict[str, Result]) -> str:
    """Everything in one Markdown table."""
    lines = [", ".join(f"{name} {value}" for name, value in facts.items()), "", "| figure | value |", "| --- | --- |"]
    for result in results.values():
        lines += [f"| {name} | {value} |" for name, value in result.rows()]
    return "\n".join(lines)


async def _measure(options: dict[str, Any]) -> tuple[str, dict[str, Result]]:
    suites = options["suites"] or SUITES
    results: dict[str, Result] = {}
    async with ground.comfyui("emulator", "--load-seconds", "0", "--step-seconds", options["step_seconds"]) as comfy:
        for suite in suites:
            click.echo(f"measuring: {suite} ...", err=True)
            results[suite] = await _run(suite, comfy, options)
        return comfy.kind, results


async def _run(suite: str, comfy: ground.ComfyUI, options: dict[str, Any]) -> Result:
    match suite:
        case "overhead":
            return await overhead.measure(comfy, options["rounds"])
        case "bare":
            return await bare.measure(options["rounds"])
        case "burst":
            return await throughput.burst(comfy, options["tasks"], options["bursts"])
        case "relayed":
            return await throughput.relayed(options["cached"], instances=4, in_flight=64)
        case "progress":
            return await progress.measure(comfy, tasks=5, size=options["size"])
        case "calls":
            return await calls.measure(options["call_rounds"])
        case "idle-gap":
            own = [options[name] for name in ("waiting", "bursts", "look_ahead", "lengths")]
            return await idlegap.measure(comfy, *own)
        case _:
            return await _run_on_request(suite, options)


async def _run_on_request(suite: str, options: dict[str, Any]) -> Result:
    match suite:
        case "telemetry":
            return await telemetry.measure(options["course"], options["turns"])
        case "sustained":
            return await sustained.measure(sustained.Load(options["sustained"], options["instances"]))
        case "watchers":
            return await watchers.measure(options["watchers"], options["rates"])
        case "recovery":
            return await recovery.measure(options["live"], options["ended"], starts=2)
        case "takeover":
            return await takeover.measure(options["trials"])
        case "queue":
            queue = await asyncio.to_thread(queueing.measure, options["longest_queue"], options["decisions"])
            if options["plot"] is not None:
                curves.draw(queue, f"Scheduler's core: {queueing.FLEET}", options["plot"])
            return queue
        case "affinity":
            return await affinity.measure(_slice(options))
        case _:
            return await faults.measure()


def _slice(options: dict[str, Any]) -> affinity.Slice:
    paths = [options[name] for name in ("trace", "load_times", "lora_load_times")]
    if None in paths:
        raise click.UsageError("--suite affinity needs --trace, --load-times and --lora-load-times")
    own = {name: options[name] for name in ("gpus", "utilisation", "speed")}
    return affinity.Slice(*paths, first=options["first_request"], count=options["requests"], **own)


if __name__ == "__main__":
    main()
