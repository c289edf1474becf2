"""How long it takes until others do the work of a scheduler, or of an agent, that was killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path

from benchmarks import graphs, ground
from comfymesh import names
from comfymesh.bus import subjects
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.streams import LEASES, REPORT_TTL
from comfymesh.client import AsyncClient, InstanceState, Task, TaskChanged, TaskState
from comfymesh.stack.mesh import Mesh

_LEASE = subjects.lease("scheduler")
_VICTIM = "a-victim"
"""Comes before `local-0`, so that tasks go there first."""
_VICTIM_NAME = names.node(_VICTIM)
_HELD = frozenset({TaskState.ASSIGNED, TaskState.RUNNING})
_RUNNING = frozenset({TaskState.RUNNING})
_LASTS = 60.0
_SETTLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Takeover:
    """Seconds from a SIGKILL until others do the work, by trial.

    Attributes:
        scheduler: From the end of the leading scheduler until the standby offers a task that waits.
        agent: From the end of an agent until the last of its tasks has been taken by another node.
        agent_runs: The same until the first of them runs there.
        report_ttl: After how many seconds without a report a node is lost.
    """

    scheduler: Sequence[float]
    agent: Sequence[float]
    agent_runs: Sequence[float]
    report_ttl: float

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        agent = f"agent killed, until its tasks are elsewhere (report TTL {self.report_ttl:g} s)"
        return [
            ("**scheduler killed, until the standby offers a task**", f"**{_each(self.scheduler)} s**"),
            (f"**{agent}**", f"**{_each(self.agent)} s**"),
            ("agent killed, until the first of them runs there", f"{_each(self.agent_runs)} s"),
        ]


async def measure(trials: int) -> Takeover:
    """Kill each `trials` times."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="comfymesh-benchmark-")))
        comfy = await stack.enter_async_context(ground.emulator("emulator"))
        mesh = await stack.enter_async_context(ground.mesh([comfy.url]))
        bus = await stack.enter_async_context(await JetStreamBus.open(mesh.nats_url, "benchmark"))
        client = await stack.enter_async_context(AsyncClient(mesh.target))
        schedulers = [await _without_scheduler(mesh, bus, client, directory) for _ in range(trials)]
        agents = [await _without_agent(mesh, client, directory) for _ in range(trials)]
    taken, runs = zip(*agents, strict=True)
    return Takeover(schedulers, taken, runs, REPORT_TTL.total_seconds())


async def _without_scheduler(mesh: Mesh, bus: JetStreamBus, client: AsyncClient, directory: Path) -> float:
    """The mesh's own scheduler becomes the standby of one that nobody starts again; that one is killed."""
    offered = asyncio.Event()
    async with ground.mortal(ground.service("scheduler", mesh.nats_url), directory) as leader:
        await asyncio.sleep(_SETTLE_SECONDS)
        before = await _holder(bus)
        os.kill(mesh.processes.pid("scheduler"), signal.SIGTERM)
        await ground.until(lambda: _led_by_another(bus, before))
        # Until the standby is back. A part of it is drawn, so that the lease is met at any age.
        await asyncio.sleep(_SETTLE_SECONDS + random.random())  # noqa: S311  # no secret
        leader.kill()
        killed = time.perf_counter()
        subscription = await bus.subscribe("work.*", lambda _: offered.set())
        task = await client.create(graphs.picture())
        await offered.wait()
        seconds = time.perf_counter() - killed
    await subscription.close()
    await client.result(task)
    return seconds


async def _led_by_another(bus: JetStreamBus, than: bytes) -> bool:
    return await _holder(bus) not in {than, b""}


async def _holder(bus: JetStreamBus) -> bytes:
    last = await bus.last(LEASES, _LEASE)
    return last.data if last else b""


async def _without_agent(mesh: Mesh, client: AsyncClient, directory: Path) -> tuple[float, float]:
    """An agent is killed that has a task that runs and one that waits at its ComfyUI; nobody starts it again."""
    async with (
        ground.emulator("emulator-of-victim") as comfy,
        ground.mortal(ground.agent(mesh.nats_url, _VICTIM, comfy.url, directory), directory) as victim,
    ):
        await ground.until(lambda: _serves(client))
        tasks = [await _assigned(client) for _ in range(3)]
        doomed = [task for task in tasks if task.node == _VICTIM_NAME]
        for task in tasks:
            if task not in doomed:
                await client.cancel(task)
        victim.kill()
        killed = time.perf_counter()
        running = [asyncio.create_task(_elsewhere(client, task, _RUNNING)) for task in doomed]
        await asyncio.gather(*(_elsewhere(client, task, _HELD) for task in doomed))
        taken = time.perf_counter() - killed
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        runs = time.perf_counter() - killed
        for watching in running:
            watching.cancel()
        for task in doomed:
            await client.cancel(task)
    return taken, runs


async def _serves(client: AsyncClient) -> bool:
    nodes = await client.nodes()
    return any(
        instance.state is InstanceState.READY
        for node in nodes
        if node.name == _VICTIM_NAME
        for instance in node.instances
    )


async def _assigned(client: AsyncClient) -> Task:
    """A new task that a node has taken. Nodes take turns, the victim first."""
    task = await client.create(graphs.lasting(_LASTS, "victim"))
    return await _until(client, task, lambda task: task.state in _HELD)


async def _elsewhere(client: AsyncClient, task: Task, states: frozenset[TaskState]) -> Task:
    return await _until(client, task, lambda task: task.state in states and task.node != _VICTIM_NAME)


async def _until(client: AsyncClient, task: Task, holds: Callable[[Task], bool]) -> Task:
    async with aclosing(client.watch(task)) as events:
        async for event in events:
            if isinstance(event, TaskChanged) and holds(event.task):
                return event.task
    raise RuntimeError(f"{task.name} has ended")


def _each(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
