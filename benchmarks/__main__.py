"""Runs the suites, prints one table, writes the figures as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from benchmarks import ground, machine, overhead, progress, throughput

SUITES = ("overhead", "burst", "relayed", "progress")

Result = overhead.Overhead | throughput.Burst | throughput.Relayed | progress.ProgressLatency


@click.command()
@click.option("--suite", "suites", type=click.Choice(SUITES), multiple=True, help="Only this one; may be repeated.")
@click.option("--rounds", default=150, show_default=True, help="Single tasks each way.")
@click.option("--burst", "tasks", default=300, show_default=True, help="Tasks of a burst.")
@click.option("--bursts", default=3, show_default=True, help="Bursts each way.")
@click.option("--cached", default=1000, show_default=True, help="Cached tasks.")
@click.option("--size", default=512, show_default=True, help="Pixels of the pictures whose progress is watched.")
@click.option("--step-seconds", default="0.1", show_default=True, help="Time of a step of the emulator.")
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
    out.write_text(json.dumps(document, indent=2) + "\n")
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
        case "burst":
            return await throughput.burst(comfy, options["tasks"], options["bursts"])
        case "relayed":
            return await throughput.relayed(options["cached"], instances=4, in_flight=64)
        case _:
            return await progress.measure(comfy, tasks=5, size=options["size"])


if __name__ == "__main__":
    main()
