"""How many tasks a second the mesh gets out of a ComfyUI, and how many it can pass on at all."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks import graphs, ground
from benchmarks.direct import DirectClient
from benchmarks.figures import Spread, rotated
from benchmarks.processes import cpu_ms_each, usage, usages
from comfymesh.client import AsyncClient
from comfymesh.stack.mesh import Mesh

_PARTS = ("nats", "scheduler", "agent", "api")
_WARM_UP = 20
_MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Burst:
    """Tasks a second from the first request until the last picture is in the client's hand.

    Attributes:
        direct: All queued in ComfyUI by one client.
        mesh: All created at once in the mesh.
        share: Mesh by the direct burst of the same round.
        cpu_ms: CPU time per task of each process while the mesh's bursts ran, in milliseconds; "client" is the
            benchmark's own.
        resident_mb: Resident memory of each process of the mesh after the bursts, in MB.
    """

    tasks: int
    direct: Spread
    mesh: Spread
    share: Spread
    cpu_ms: Mapping[str, float]
    resident_mb: Mapping[str, float]

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        cpu = ", ".join(f"{name} {ms:.1f}" for name, ms in self.cpu_ms.items())
        return [
            (f"burst of {self.tasks}, direct", _rate(self.direct)),
            (f"burst of {self.tasks}, mesh", _rate(self.mesh)),
            (
                "**share of direct (range)**",
                f"**{self.share.median:.0%}** ({self.share.least:.0%} to {self.share.most:.0%})",
            ),
            ("CPU per task of a burst, ms", cpu),
            ("memory of the mesh after it", f"{sum(self.resident_mb.values()):.0f} MB"),
        ]


@dataclass(frozen=True, slots=True)
class Relayed:
    """Tasks a second that cost ComfyUI nothing, from creation to the final state.

    Attributes:
        tasks: How many.
        instances: Emulators that answered them.
        in_flight: Tasks under way at a time.
        rate: Tasks a second.
        cpu_ms: As in `Burst`.
    """

    tasks: int
    instances: int
    in_flight: int
    rate: float
    cpu_ms: Mapping[str, float]

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        cpu = ", ".join(f"{name} {ms:.1f}" for name, ms in self.cpu_ms.items())
        what = f"{self.tasks} cached tasks, {self.in_flight} at a time, {self.instances} emulators"
        return [(what, f"{self.rate:.0f} tasks/s"), ("CPU per such task, ms", cpu)]


async def burst(comfy: ground.ComfyUI, tasks: int, rounds: int) -> Burst:
    """Measure `rounds` bursts each way, by turns."""
    async with (
        ground.mesh([comfy.url]) as mesh,
        AsyncClient(mesh.target) as client,
        DirectClient(comfy.url) as direct,
    ):
        pids = {"client": os.getpid(), **_pids(mesh), **comfy.pids}
        rates: dict[str, list[float]] = {"direct": [], "mesh": []}
        spent = dict.fromkeys(pids, 0.0)
        await _through(client, _WARM_UP)
        await direct.burst([graphs.picture() for _ in range(_WARM_UP)])
        for number in range(rounds):
            for way in rotated(list(rates), number):
                before, began = usages(pids), time.perf_counter()
                if way == "mesh":
                    await _through(client, tasks)
                else:
                    await direct.burst([graphs.picture() for _ in range(tasks)])
                rates[way].append(tasks / (time.perf_counter() - began))
                if way == "mesh":
                    each = cpu_ms_each(before, usages(pids), tasks * rounds)
                    spent = {name: spent[name] + ms for name, ms in each.items()}
        resident = {name: usage(pid).resident_bytes / _MEGABYTE for name, pid in _pids(mesh).items()}
    shares = [through / alone for through, alone in zip(rates["mesh"], rates["direct"], strict=True)]
    return Burst(tasks, Spread.of(rates["direct"]), Spread.of(rates["mesh"]), Spread.of(shares), spent, resident)


async def relayed(tasks: int, instances: int, in_flight: int) -> Relayed:
    """Send `tasks` tasks through the mesh that emulators answer from their caches."""
    async with AsyncExitStack() as stack:
        emulators = [
            await stack.enter_async_context(ground.emulator(f"emulator-{number}")) for number in range(instances)
        ]
        mesh = await stack.enter_async_context(ground.mesh([emulator.url for emulator in emulators]))
        client = await stack.enter_async_context(AsyncClient(mesh.target))
        pids = {"client": os.getpid(), **_pids(mesh)}
        await asyncio.gather(*(client.run(graphs.nothing()) for _ in range(4 * instances)))
        before, began = usages(pids), time.perf_counter()
        await _keep_busy(client, tasks, in_flight)
        seconds = time.perf_counter() - began
        cpu = cpu_ms_each(before, usages(pids), tasks)
    return Relayed(tasks, instances, in_flight, tasks / seconds, cpu)


async def _through(client: AsyncClient, tasks: int) -> None:
    await asyncio.gather(*(client.run(graphs.picture()) for _ in range(tasks)))


async def _keep_busy(client: AsyncClient, tasks: int, in_flight: int) -> None:
    todo = iter(range(tasks))

    async def work() -> None:
        for _ in todo:
            await client.run(graphs.nothing())

    await asyncio.gather(*(work() for _ in range(in_flight)))


def _pids(mesh: Mesh) -> dict[str, int]:
    return {name: mesh.processes.pid(name) for name in _PARTS}


def _rate(spread: Spread) -> str:
    return f"{spread.median:.0f} tasks/s ({spread.least:.0f} to {spread.most:.0f})"
