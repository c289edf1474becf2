"""What it costs to measure, to trace: CPU of the mesh's processes per task, all ways side by side, in one run.

Each way has a mesh of its own; all of them run the same tasks at the same time, so whatever else the machine does meets
all alike. What a mesh takes without a task is measured before and taken off, so the figures are those of a mesh that is
busy, however slow this one is. One set of processes is a little slower than another for all its life, so every round
has new ones.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from benchmarks import graphs
from benchmarks.figures import Median
from benchmarks.processes import Usage, cpu_ms_each, usages
from comfymesh.client import AsyncClient
from comfymesh.stack import mesh
from comfymesh.stack.mesh import Mesh, MeshPlan
from comfymesh.stack.observability.collector import collecting

_PARTS = ("scheduler", "agent", "api")
_IN_FLIGHT = 4
_IDLE_SECONDS = 10.0
_REST_SECONDS = 6.0
"""Then all spans have been sent, which are every five."""
_READS = 20
_CHECKPOINT = "tiny-sd3-random.safetensors"
_SILENCED = Path(__file__).parent / "silenced"
_NEVER = {"OTEL_METRIC_EXPORT_INTERVAL": "86400000"}
"""What is sent once a minute has no place in the cost of a task."""

SILENCED = "none at all"
OFF = "off"
METRICS = "metrics"


@dataclass(frozen=True, slots=True)
class Way:
    """How a mesh tells what it does.

    Attributes:
        beside: The way that it is compared with.
        settings: Those of its services.
        metrics: Whether they can be read.
        collected: Whether a collector is told.
    """

    beside: str
    settings: Mapping[str, str]
    metrics: bool = False
    collected: bool = False


WAYS = {
    SILENCED: Way(OFF, {"PYTHONPATH": str(_SILENCED)}),
    OFF: Way(SILENCED, {}),
    "off, once more": Way(OFF, {}),
    METRICS: Way(OFF, {}, metrics=True),
    "metrics and all traces": Way(OFF, {"COMFYMESH_TRACE_RATIO": "1", **_NEVER}, metrics=True, collected=True),
}


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU time of api, scheduler and agent.

    Attributes:
        tasks: Tasks of a round, for each way.
        rounds: Rounds.
        cpu_ms: For a task, in milliseconds, by way: the median.
        more: What a way takes more than the one beside it in the same round, as a share.
        idle_ms: Without any task, in milliseconds a second, by way: the median.
        read_ms: For all three to show their metrics once, in milliseconds.
    """

    tasks: int
    rounds: int
    cpu_ms: Mapping[str, float]
    more: Mapping[str, Median]
    idle_ms: Mapping[str, float]
    read_ms: float

    @classmethod
    def of(cls, tasks: int, rounds: Sequence[Mapping[str, Taken]]) -> Costs:
        """Those of what each way has taken in each round."""
        each = {way: [taken[way].task_ms for taken in rounds] for way in WAYS}
        beside = {way: each[WAYS[way].beside] for way in WAYS}
        more = {way: [a / b - 1 for a, b in zip(each[way], beside[way], strict=True)] for way in WAYS}
        return cls(
            tasks,
            len(rounds),
            {way: statistics.median(ms) for way, ms in each.items()},
            {way: Median.of(shares) for way, shares in more.items()},
            {way: statistics.median(taken[way].idle_ms for taken in rounds) for way in WAYS},
            statistics.median(taken[METRICS].read_ms for taken in rounds),
        )

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        rows = []
        for way, more in self.more.items():
            idle = f"{self.idle_ms[way]:.1f} ms/s without a task"
            share = f"{more.value:+.1%} ({more.low:+.1%} to {more.high:+.1%}) beside {WAYS[way].beside}"
            rows.append((f"CPU per task, telemetry: {way}", f"{self.cpu_ms[way]:.2f} ms; {share}; {idle}"))
        return [*rows, ("CPU of showing the metrics of all three once", f"{self.read_ms:.1f} ms")]


async def measure(tasks: int, rounds: int) -> Costs:
    """Run the same tasks side by side in meshes that differ in nothing but telemetry, `tasks` in each a round."""
    names, order = list(WAYS), random.Random(0)  # noqa: S311  # so that none is always the first
    taken = []
    for number in range(rounds):
        taken.append(await _round(order.sample(names, len(names)), tasks))
        print(f"round {number + 1} of {rounds}: {taken[-1]}", file=sys.stderr, flush=True)
    return Costs.of(tasks, taken)


async def _round(names: Sequence[str], tasks: int) -> dict[str, Taken]:
    async with AsyncExitStack() as stack:
        collector = (await stack.enter_async_context(collecting())).endpoint
        sides = [await stack.enter_async_context(_side(WAYS[name], collector)) for name in names]
        await asyncio.gather(*(side.run(tasks) for side in sides))
        taken = await asyncio.gather(*(side.measure(tasks) for side in sides))
    return dict(zip(names, taken, strict=True))


@dataclass(frozen=True, slots=True)
class Taken:
    """CPU time of a mesh in one round: for a task, without one in a second, for showing metrics once; milliseconds."""

    task_ms: float
    idle_ms: float
    read_ms: float


@dataclass(frozen=True, slots=True)
class _Side:
    up: Mesh
    client: AsyncClient

    async def measure(self, tasks: int) -> Taken:
        before, began = self._usages(), time.perf_counter()
        await asyncio.sleep(_IDLE_SECONDS)
        idle = self._ms_since(before) / (time.perf_counter() - began)
        before, began = self._usages(), time.perf_counter()
        await self.run(tasks)
        spent = self._ms_since(before) - idle * (time.perf_counter() - began)
        return Taken(spent / tasks, idle, await self.read(_READS) if self.up.metrics else 0.0)

    async def run(self, tasks: int) -> None:
        """Have them done, and told of."""
        waiting = asyncio.Semaphore(_IN_FLIGHT)

        async def one() -> None:
            async with waiting:
                await self.client.run(graphs.steps(_CHECKPOINT, 2, 64))

        await asyncio.gather(*(one() for _ in range(tasks)))
        await asyncio.sleep(_REST_SECONDS)

    async def read(self, times: int) -> float:
        """CPU time of reading the metrics of every service as Prometheus does, in milliseconds each time."""
        before = self._usages()
        async with aiohttp.ClientSession() as session:
            for place in [self.up.metrics[name] for name in _PARTS] * times:
                async with session.get(f"http://{place}/metrics") as answer:
                    await answer.read()
        return self._ms_since(before) / times

    def _ms_since(self, before: Mapping[str, Usage]) -> float:
        return sum(cpu_ms_each(before, self._usages(), 1).values())

    def _usages(self) -> dict[str, Usage]:
        return usages({name: self.up.processes.pid(name) for name in _PARTS})


@asynccontextmanager
async def _side(way: Way, collector: str) -> AsyncIterator[_Side]:
    settings = {**way.settings, **({"COMFYMESH_OTLP_ENDPOINT": collector} if way.collected else {})}
    instance = mesh.emulated("--load-seconds", "0", "--step-seconds", "0")
    with TemporaryDirectory(prefix="comfymesh-benchmark-") as directory:
        plan = MeshPlan(Path(directory), [instance], "127.0.0.1:0", settings, metrics=way.metrics)
        async with mesh.running(plan) as up, AsyncClient(up.target) as client:
            yield _Side(up, client)
