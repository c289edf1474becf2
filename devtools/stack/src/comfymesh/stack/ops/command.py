"""The demonstration for operators: a mesh under load and faults, and what Prometheus, notifier and traces tell of it.

Run as `python -m comfymesh.stack.ops.command`, or `make demo-ops`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

from comfymesh.stack.demo import print_logs
from comfymesh.stack.observability import dashboards, prometheus
from comfymesh.stack.observability.collector import collecting
from comfymesh.stack.ops import alerts, panels, picture, scenario
from comfymesh.stack.ops.looking import until
from comfymesh.stack.ops.stage import Stage, staged
from comfymesh.stack.ops.waterfall import waterfall
from comfymesh.stack.ownership import MeshNotReadyError

SHOWN = (dashboards.FLEET, dashboards.QUEUE, dashboards.TENANTS)
_INTERVAL = "6s"
_STEP = 1.0
_TELLING_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of the mesh while it ran."""

    sections: tuple[panels.Section, ...]
    marks: tuple[picture.Mark, ...]
    alerts: str
    trace: bytes


@click.command()
@click.option(
    "--seconds", type=click.FloatRange(15, 600), default=30, show_default=True, help="How long the load lasts."
)
@click.option(
    "--rules",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=Path("examples/alerts.yaml"),
    show_default=True,
    help="Alert rules; their channel is OPS_CHANNEL.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("out/ops"), show_default=True)
def demo(seconds: float, rules: Path, out: Path) -> None:
    """Run a mesh under load and faults; leave dashboard.png, alerts.txt and trace.txt."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    if not prometheus.installed():
        raise click.ClickException("there is no Prometheus on this machine; on Debian: apt-get install prometheus")
    _clear(out)
    with tempfile.TemporaryDirectory(prefix="comfymesh-ops-") as directory:
        try:
            asyncio.run(_demo(Path(directory), rules.absolute(), seconds, out))
        except (MeshNotReadyError, prometheus.PrometheusError) as error:
            print_logs(Path(directory) / "logs")
            print_logs(Path(directory) / "prometheus")
            raise click.ClickException(str(error)) from error
        except asyncio.CancelledError:
            sys.exit(128 + signal.SIGTERM)


def _clear(out: Path) -> None:
    """What an earlier run has left is not taken for this one's."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("dashboard.png", "alerts.txt", "trace.txt"):
        (out / name).unlink(missing_ok=True)


async def _demo(directory: Path, rules: Path, seconds: float, out: Path) -> None:
    if task := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    click.echo("Starting NATS, scheduler, agent with two emulators of ComfyUI, two APIs, notifier and Prometheus ...")
    async with collecting() as collector, staged(directory, rules, collector.endpoint, scenario.NAMES) as stage:
        click.echo(f"All is up. {len(stage.clients)} tenants send work for {seconds:g} s, an instance is killed ...")
        seen = await _seen(stage, seconds)
        click.echo("Stopping everything ...")
    # Services send the rest of their spans when they end.
    trace = waterfall(collector.trace(seen.trace))
    (out / "alerts.txt").write_text(seen.alerts)
    (out / "trace.txt").write_text(trace)
    title = f"ComfyMesh under load and faults for {seconds:g} s"
    await asyncio.to_thread(picture.draw, title, seen.sections, seen.marks, out / "dashboard.png")
    click.echo(f"\n{seen.alerts}\nThe task whose instance was killed under it\n\n{trace}")
    click.echo(
        f"The dashboards are in {out / 'dashboard.png'}, the rest in {out / 'alerts.txt'} and {out / 'trace.txt'}."
    )


async def _seen(stage: Stage, seconds: float) -> Seen:
    """Let it happen, and look at it.

    Raises:
        MeshNotReadyError: the mesh was too slow for anything to happen.
    """
    start = time.time()
    happened = await scenario.play(stage.clients, stage.directory, seconds)
    if not happened.kills:
        waited = seconds + scenario.PATIENCE_SECONDS
        raise MeshNotReadyError(f"no task began to run within {waited:g} s; see the logs")
    await _until_told(stage.inbox)
    span = panels.Span(start, time.time(), _STEP, _INTERVAL)
    sections = [await panels.read(stage.prometheus, dashboard, span) for dashboard in SHOWN]
    marks = [picture.Mark(at - start, f"{happened.instance} is killed") for at in happened.kills]
    told = alerts.page(stage.inbox.messages, await stage.prometheus.rules(), start)
    return Seen(tuple(sections), tuple(marks), told, happened.struck)


async def _until_told(inbox: alerts.Inbox) -> None:
    """Wait for what the notifier has to tell of it, if it has."""

    async def told() -> bool:
        return bool(inbox.messages)

    with suppress(TimeoutError):
        async with asyncio.timeout(_TELLING_SECONDS):
            await until(told)


if __name__ == "__main__":
    sys.exit(demo())
