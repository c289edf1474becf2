"""A thousand watchers of tasks that progress: how late each hears, what it costs, and those who never listen.

Nobody runs the tasks: their records are written to the log and their progress is published straight to the bus, so that
the API and the watchers are all that there is to measure.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from benchmarks import bare, ground, listeners, records
from benchmarks.figures import percentile
from benchmarks.processes import usage, usages
from benchmarks.recovery import fill
from comfymesh.bus import subjects
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.client.transport import Transport
from comfymesh.stack.mesh import Mesh
from comfymesh.tasks import codec
from comfymesh.v1 import task_pb2, task_service_pb2

_NODE = "nowhere"
_FOREVER = "100000"
_FRAMES = "frames"
_DEAF = 20
_DEAF_RATE = 100.0
_SECONDS = 10.0
_KILOBYTE = 1e3


@dataclass(frozen=True, slots=True)
class Crowd:
    """Watchers, each of a task of its own.

    Attributes:
        watchers: How many.
        rate: Progress events a second of each task, as published.
        published: Events a second that were published in fact, over all tasks.
        received: Events a second that watchers received; later progress takes the place of what was not told yet.
        p50: Milliseconds from publishing to receipt that half of the received events do not exceed.
        p99: The same for 99 %.
        kilobytes: Memory of the API for each watcher, in kB.
        cores: Cores kept busy by API, NATS and the clients.
        client: What they listen with, of the kinds of `benchmarks.listener`.
        deaf: Watchers beside them that never read.
    """

    watchers: int
    rate: float
    published: float
    received: float
    p50: float
    p99: float
    kilobytes: float
    cores: dict[str, float]
    client: str
    deaf: int = 0

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        what = f"{self.watchers} watchers, {self.rate:g} events/s each, by {self.client}"
        if self.deaf:
            what += f", {self.deaf} more that never read"
        cores = ", ".join(f"{name} {cores:.2f}" for name, cores in self.cores.items())
        return [
            (f"**{what}: p50 / p99**", f"**{self.p50:.1f} / {self.p99:.1f} ms**"),
            (f"{what}: events/s published, received", f"{self.published:.0f}, {self.received:.0f}"),
            (f"{what}: memory each, cores", f"{self.kilobytes:.0f} kB; {cores}"),
            (f"{what}: CPU for an event, API; clients", f"{self._each('api'):.3f}; {self._each('client'):.3f} ms"),
        ]

    def _each(self, who: str) -> float:
        """CPU time for a received event, in milliseconds."""
        return 1000 * sum(cores for name, cores in self.cores.items() if name.startswith(who)) / self.received


@dataclass(frozen=True, slots=True)
class Watchers:
    """Crowds, the same on bare gRPC servers, and what a watcher that never reads adds to the API's memory, in kB."""

    crowds: Sequence[Crowd]
    bare: Sequence[bare.BareCrowd]
    deaf_kilobytes: float

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        rows = [row for crowd in self.crowds for row in crowd.rows()]
        rows += [row for crowd in self.bare for row in crowd.rows()]
        what = f"a watcher that never reads ({_DEAF_RATE:g} events/s for {_SECONDS:g} s): memory"
        return [*rows, (what, f"{self.deaf_kilobytes:.0f} kB")]


async def measure(watchers: int, rates: Sequence[float]) -> Watchers:
    """Measure `watchers` watchers at each rate, and a fifth of them with and without some that never read.

    All listen to frames, since what a caller spends is its own. At the highest rate gRPC's and our own client follow.
    """
    few, calm, most = watchers // 5, 10.0, max(rates)
    crowds = [await _crowd(watchers, rate) for rate in rates]
    crowds += [await _crowd(watchers, most, client) for client in ("grpc", "sdk")]
    alone = [await bare.crowd(watchers, most, _SECONDS, client) for client in (_FRAMES, "grpc")]
    crowds.append(await _crowd(few, calm))
    async with _mesh(few + _DEAF) as (mesh, bus):
        crowd, kilobytes = await _beside_deaf(mesh, bus, few, calm)
    return Watchers([*crowds, crowd], alone, kilobytes)


async def _crowd(watchers: int, rate: float, client: str = _FRAMES) -> Crowd:
    async with _mesh(watchers) as (mesh, bus):
        return await _watched(mesh, bus, watchers, rate, client)


async def _beside_deaf(mesh: Mesh, bus: JetStreamBus, watchers: int, rate: float) -> tuple[Crowd, float]:
    api = mesh.processes.pid("api")
    before = usage(api).resident_bytes
    async with _deaf(mesh.target, range(watchers, watchers + _DEAF)):
        await _publish(bus, range(watchers, watchers + _DEAF), _DEAF_RATE, _SECONDS)
        kilobytes = (usage(api).resident_bytes - before) / _DEAF / _KILOBYTE
        talking = asyncio.create_task(_publish(bus, range(watchers, watchers + _DEAF), rate, 3 * _SECONDS))
        crowd = await _watched(mesh, bus, watchers, rate, deaf=_DEAF)
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
    return crowd, kilobytes


@asynccontextmanager
async def _mesh(tasks: int) -> AsyncIterator[tuple[Mesh, JetStreamBus]]:
    """A mesh with tasks that run on a node which never reports and is never missed."""
    async with AsyncExitStack() as stack:
        comfy = await stack.enter_async_context(ground.emulator("emulator"))
        environment = {"COMFYMESH_SCHEDULER_REPORT_TTL": _FOREVER}
        mesh = await stack.enter_async_context(ground.mesh([comfy.url], environment=environment))
        bus = await stack.enter_async_context(await JetStreamBus.open(mesh.nats_url, "benchmark"))
        now = time.time()
        running = (records.running(number, now, _NODE) for number in range(tasks))
        await fill(bus, ((record.key, codec.encode(record)) for record in running))
        yield mesh, bus


async def _watched(
    mesh: Mesh, bus: JetStreamBus, watchers: int, rate: float, client: str = _FRAMES, deaf: int = 0
) -> Crowd:
    pids = {"api": mesh.processes.pid("api"), "nats": mesh.processes.pid("nats"), "publisher": os.getpid()}
    idle = usage(pids["api"]).resident_bytes
    clients = await listeners.start(client, "mesh", mesh.target, watchers)
    pids |= listeners.pids(clients)
    before, began = usages(pids), time.perf_counter()
    published = await _publish(bus, range(watchers), rate, _SECONDS)
    after, seconds = usages(pids), time.perf_counter() - began
    latencies = await listeners.latencies(clients)
    return Crowd(
        watchers,
        rate,
        published / seconds,
        len(latencies) / seconds,
        percentile(latencies, 50),
        percentile(latencies, 99),
        (after["api"].resident_bytes - idle) / watchers / _KILOBYTE,
        {name: (after[name].cpu_seconds - before[name].cpu_seconds) / seconds for name in pids},
        client,
        deaf,
    )


async def _publish(bus: JetStreamBus, numbers: Sequence[int], rate: float, seconds: float) -> int:
    """Publish progress of each task `rate` times a second, evenly spread over time; answers how often in all."""
    told = [subjects.progress(records.key(number)) for number in numbers]
    began, count = time.perf_counter(), 0
    wanted = round(len(numbers) * rate * seconds)
    while count < wanted:
        due = min(wanted, int((time.perf_counter() - began) * len(numbers) * rate))
        for place in range(count, due):
            await bus.publish(told[place % len(told)], _progress(place / wanted).SerializeToString())
        count = max(count, due)
        await asyncio.sleep(0.001)
    return count


def _progress(fraction: float) -> task_pb2.TaskProgress:
    message = task_pb2.TaskProgress(attempt=1, phase=task_pb2.TaskProgress.PHASE_EXECUTING, fraction=fraction)
    message.update_time.FromNanoseconds(time.time_ns())
    return message


@asynccontextmanager
async def _deaf(target: str, numbers: Sequence[int]) -> AsyncIterator[None]:
    """Watchers that read the first message and no other."""
    transport = Transport(target)
    names = (f"tasks/{records.key(number).task_id}" for number in numbers)
    streams = [transport.watch_task(task_service_pb2.WatchTaskRequest(name=name)) for name in names]
    for stream in streams:
        await anext(stream)
    try:
        yield
    finally:
        for stream in streams:
            await stream.aclose()
        await transport.close()
