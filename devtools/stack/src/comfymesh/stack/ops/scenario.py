"""What happens to the mesh: three tenants that want different things, and an instance that is killed."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider

from comfymesh.client import AsyncClient, ComfyMeshError, TaskFailed, TaskState
from comfymesh.stack.graphs import Graph
from comfymesh.stack.mesh import comfyui
from comfymesh.stack.observability.load import lasting, picture, raising
from comfymesh.stack.ops.looking import until

_SETTLE_SECONDS = 5.0
"""Before the first fault: there is something to be seen of a mesh that is well."""
_BETWEEN_KILLS_SECONDS = 1.0
_KILLS = 3
_STRUCK_STEPS = 30
PATIENCE_SECONDS = 120.0
"""How much longer it may last, on a machine with much else to do, until there is something to be seen of each kind."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Somebody who has work.

    Attributes:
        name: Who.
        priority: Of the work.
        pause: Seconds between two helpings.
        graphs: The helpings, without end.
    """

    name: str
    priority: int
    pause: float
    graphs: Callable[[], Iterator[list[Graph]]]


def _pictures() -> Iterator[list[Graph]]:
    while True:
        yield [picture(steps=6) for _ in range(4)]


def _long() -> Iterator[list[Graph]]:
    while True:
        yield [lasting(0.6)]


def _faulty() -> Iterator[list[Graph]]:
    kinds = itertools.cycle(["runtime", "oom_torch", "runtime"])
    while True:
        yield [raising(next(kinds)), picture(steps=2)]


TENANTS = (
    Tenant("studio", 10, 3.0, _pictures),
    Tenant("beginner", 0, 1.5, _faulty),
    Tenant("research", -10, 1.2, _long),
)
NAMES = tuple(tenant.name for tenant in TENANTS)


@dataclass(slots=True)
class Happened:
    """What has happened so far.

    Attributes:
        struck: The trace of the task that was under way on the instance that was killed; empty before that.
        instance: That instance.
        kills: When it was killed, in seconds since the epoch.
    """

    struck: bytes = b""
    instance: str = ""
    kills: list[float] = field(default_factory=list)


async def play(clients: Mapping[str, AsyncClient], directory: Path, seconds: float) -> Happened:
    """Put load and faults on a mesh for so long, and until a task has ended elsewhere than where it was struck.

    Args:
        clients: One for each tenant.
        directory: That of the mesh.
        seconds: For how long.
    """
    happened, loop = Happened(), asyncio.get_running_loop()
    doing = [_work(clients[tenant.name], tenant) for tenant in TENANTS]
    end = loop.time() + seconds
    with suppress(TimeoutError):
        async with asyncio.timeout_at(end + PATIENCE_SECONDS) as limit, asyncio.TaskGroup() as group:

            def struck() -> None:
                limit.reschedule(max(end, loop.time()))

            for each in (*doing, _trouble(clients[TENANTS[0].name], directory, happened, struck)):
                group.create_task(each)
    return happened


async def _work(client: AsyncClient, tenant: Tenant) -> None:
    async with asyncio.TaskGroup() as group:
        for helping in tenant.graphs():
            for graph in helping:
                group.create_task(_run(client, graph, tenant.priority))
            await asyncio.sleep(tenant.pause)


async def _run(client: AsyncClient, graph: Graph, priority: int) -> None:
    with suppress(ComfyMeshError):
        await client.run(graph, priority=priority)


async def _trouble(client: AsyncClient, directory: Path, happened: Happened, struck: Callable[[], None]) -> None:
    """Kill an instance under a task, tell so, and kill it again whenever it is back."""
    await asyncio.sleep(_SETTLE_SECONDS)
    with suppress(ComfyMeshError):
        while not await _strike(client, directory, happened):
            pass
    struck()
    with suppress(ComfyMeshError):
        for _ in range(_KILLS - 1):
            await asyncio.sleep(_BETWEEN_KILLS_SECONDS)
            await until(lambda: _killed_again(client, directory, happened))


async def _strike(client: AsyncClient, directory: Path, happened: Happened) -> bool:
    """Kill the instance that has a task of ours, and stay with the task until it has ended.

    Answers whether that was elsewhere: it may have ended before it was struck.
    """
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("comfymesh.stack.ops")
    with tracer.start_as_current_span("demonstration") as span:
        task = await client.create(picture(steps=_STRUCK_STEPS), priority=100)
        happened.struck = span.get_span_context().trace_id.to_bytes(16)

    async def has_begun() -> bool:
        found = await client.get(task)
        happened.instance = found.instance
        return found.state is TaskState.RUNNING or found.state.final

    await until(has_begun)
    _kill(directory, happened)
    with suppress(TaskFailed):
        await client.result(task)
    return (await client.get(task)).attempt > 1


async def _killed_again(client: AsyncClient, directory: Path, happened: Happened) -> bool:
    return await _serves(client, happened.instance) and _kill(directory, happened)


async def _serves(client: AsyncClient, name: str) -> bool:
    nodes = await client.nodes()
    return any(each.name == name and each.state in {"READY", "BUSY"} for node in nodes for each in node.instances)


def _kill(directory: Path, happened: Happened) -> bool:
    """Kill the instance; answers whether there was a process of it."""
    pid, _ = comfyui(directory, happened.instance)
    if not pid:
        return False
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    happened.kills.append(time.time())
    return True
