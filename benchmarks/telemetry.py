"""What it costs to measure, to trace: CPU of the mesh's processes per task, each way in turn, in one run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from benchmarks import graphs
from benchmarks.figures import Spread, rotated
from benchmarks.processes import Usage, cpu_ms_each, usages
from comfymesh.client import AsyncClient
from comfymesh.stack import mesh
from comfymesh.stack.mesh import Mesh, MeshPlan
from comfymesh.stack.observability.collector import collecting

_PARTS = ("scheduler", "agent", "api")
_IN_FLIGHT = 16
_WARM_UP = 30
_READ_SECONDS = 15.0
_CHECKPOINT = "tiny-sd3-random.safetensors"
OFF = "off"


@dataclass(frozen=True, slots=True)
class Way:
    """How a mesh tells what it does: its settings, whether metrics are read, and whether a collector is told."""

    settings: Mapping[str, str]
    metrics: bool = False
    collected: bool = False


WAYS = {
    OFF: Way({}),
    "metrics": Way({}, metrics=True),
    "metrics and 1 % of traces": Way({"COMFYMESH_TRACE_RATIO": "0.01"}, metrics=True, collected=True),
    "metrics and all traces": Way({"COMFYMESH_TRACE_RATIO": "1"}, metrics=True, collected=True),
}


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU time of api, scheduler and agent per task, in milliseconds.

    Attributes:
        tasks: Tasks of a round.
        cpu_ms: By way, over the rounds.
        more: What each way takes more than `off`, as a share, of the same round.
    """

    tasks: int
    cpu_ms: Mapping[str, Spread]
    more: Mapping[str, Spread]

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        return [
            (
                f"CPU per task, telemetry: {way}",
                f"{self.cpu_ms[way].median:.2f} ms ({more.median:+.1%}, {more.least:+.1%} to {more.most:+.1%})",
            )
            for way, more in self.more.items()
        ]


async def measure(tasks: int, rounds: int) -> Costs:
    """Run the same tasks in meshes that differ in nothing but telemetry, `tasks` in each at a time, in turn."""
    spent: dict[str, list[float]] = {way: [] for way in WAYS}
    async with AsyncExitStack() as stack:
        collector = (await stack.enter_async_context(collecting())).endpoint
        sides = {name: await stack.enter_async_context(_side(way, collector)) for name, way in WAYS.items()}
        for side in sides.values():
            await side.run(_WARM_UP)
        for number in range(rounds):
            for name in rotated(list(sides), number):
                spent[name].append(await sides[name].run(tasks))
    more = {way: [ms / off - 1 for ms, off in zip(taken, spent[OFF], strict=True)] for way, taken in spent.items()}
    return Costs(tasks, {way: Spread.of(ms) for way, ms in spent.items()}, {w: Spread.of(m) for w, m in more.items()})


@dataclass(frozen=True, slots=True)
class _Side:
    up: Mesh
    client: AsyncClient

    async def run(self, tasks: int) -> float:
        """CPU time per task, in milliseconds."""
        before = self._usages()
        waiting = asyncio.Semaphore(_IN_FLIGHT)

        async def one() -> None:
            async with waiting:
                await self.client.run(graphs.steps(_CHECKPOINT, 2, 64))

        await asyncio.gather(*(one() for _ in range(tasks)))
        return sum(cpu_ms_each(before, self._usages(), tasks).values())

    def _usages(self) -> dict[str, Usage]:
        return usages({name: self.up.processes.pid(name) for name in _PARTS})


@asynccontextmanager
async def _side(way: Way, collector: str) -> AsyncIterator[_Side]:
    settings = dict(way.settings)
    if way.collected:
        settings["COMFYMESH_OTLP_ENDPOINT"] = collector
    instance = mesh.emulated("--load-seconds", "0", "--step-seconds", "0")
    with TemporaryDirectory(prefix="comfymesh-benchmark-") as directory:
        plan = MeshPlan(Path(directory), [instance], "127.0.0.1:0", settings, metrics=way.metrics)
        async with mesh.running(plan) as up, AsyncClient(up.target) as client:
            reading = asyncio.create_task(_read(list(up.metrics.values())))
            try:
                yield _Side(up, client)
            finally:
                reading.cancel()


async def _read(places: Sequence[str]) -> None:
    """Read metrics as Prometheus would."""
    async with aiohttp.ClientSession() as session:
        while True:
            for place in places:
                async with session.get(f"http://{place}/metrics") as answer:
                    await answer.read()
            await asyncio.sleep(_READ_SECONDS)
