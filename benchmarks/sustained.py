"""How many tasks a second go through the mesh for as long as one likes, beside what the log alone sustains."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from uuid import uuid4

from benchmarks import graphs, ground, logalone
from benchmarks.processes import cpu_ms_each, usages
from comfymesh.client import AsyncClient, NewTask, Task, TaskChanged, TaskState

_WARM_UP = 400
PARTS = ("nats", "scheduler", "agent", "api")
_FINAL = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED, TaskState.EXPIRED})


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent.

    Attributes:
        tasks: How many tasks.
        instances: Emulators that answer them.
        look_ahead: Attempts that wait at each of them, as in COMFYMESH_AGENT_LOOK_AHEAD.
        in_flight: Tasks that have been created and have not ended, at most.
        batch: Tasks of one BatchCreateTasks.
    """

    tasks: int
    instances: int
    look_ahead: int = 4
    in_flight: int = 400
    batch: int = 100


@dataclass(frozen=True, slots=True)
class Course:
    """One setting of the sync.

    Attributes:
        rate: Tasks a second from the first create until the last end is told.
        log_alone: Tasks a second when the same records are appended to a log of its own, by one writer.
        records: Records a task.
        cpu_ms: CPU time per task of each process, in milliseconds; "client" is the benchmark's own.
        busy: Cores that all processes kept busy together.
    """

    rate: float
    log_alone: float
    records: float
    cpu_ms: Mapping[str, float]
    busy: float


@dataclass(frozen=True, slots=True)
class Sustained:
    """Courses by the setting of NATS. The emulators answer from their caches."""

    load: Load
    courses: Mapping[str, Course]

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        found = []
        for sync, course in self.courses.items():
            what = f"sustained, sync {sync}"
            cpu = ", ".join(f"{name} {ms:.1f}" for name, ms in course.cpu_ms.items())
            share = course.rate / course.log_alone
            found += [
                (
                    f"**{what}** ({self.load.tasks} tasks, {self.load.instances} emulators)",
                    f"**{course.rate:.0f} tasks/s**",
                ),
                (
                    f"{what}: log alone, {course.records:.1f} records a task",
                    f"{course.log_alone:.0f} tasks/s; the mesh has {share:.0%} of it",
                ),
                (f"{what}: CPU per task, ms", f"{cpu}; {course.busy:.1f} cores busy"),
            ]
        return found


async def measure(load: Load) -> Sustained:
    """Measure both settings, one after the other."""
    return Sustained(load, {sync.value: await _course(sync, load) for sync in ground.Sync})


async def _course(sync: ground.Sync, load: Load) -> Course:
    async with AsyncExitStack() as stack:
        emulators = [await stack.enter_async_context(ground.emulator(f"emulator-{i}")) for i in range(load.instances)]
        environment = {"COMFYMESH_AGENT_LOOK_AHEAD": str(load.look_ahead)}
        mesh = await stack.enter_async_context(
            ground.mesh([emulator.url for emulator in emulators], sync=sync, environment=environment)
        )
        client = await stack.enter_async_context(AsyncClient(mesh.target))
        await submit(client, _WARM_UP, load.in_flight, load.batch)
        pids = {"client": os.getpid(), **{name: mesh.processes.pid(name) for name in PARTS}}
        pids |= {name: pid for emulator in emulators for name, pid in emulator.pids.items()}
        before, began = usages(pids), time.perf_counter()
        await submit(client, load.tasks, load.in_flight, load.batch)
        seconds = time.perf_counter() - began
        cpu = cpu_ms_each(before, usages(pids), load.tasks)
        chains = (await logalone.read(mesh.nats_url))[-load.tasks :]
    alone = await logalone.rate(chains, sync)
    records = sum(map(len, chains)) / len(chains)
    busy = sum(cpu.values()) / 1000 * load.tasks / seconds
    return Course(load.tasks / seconds, alone, records, together(cpu, "emulator"), busy)


async def submit(client: AsyncClient, tasks: int, in_flight: int, batch: int) -> None:
    """Create tasks in batches, at most `in_flight` ahead of their ends, which one stream tells; until all have ended.

    Raises:
        RuntimeError: a task was refused or did not succeed.
    """
    group = f"benchmark-{uuid4().hex[:12]}"
    room = asyncio.Semaphore(in_flight)
    ended = asyncio.create_task(_await_ends(client, group, tasks, room))
    for first in range(0, tasks, batch):
        wanted = [NewTask(graphs.nothing()) for _ in range(min(batch, tasks - first))]
        for _ in wanted:
            await room.acquire()
        answers = await client.create_many(wanted, group=group)
        if refused := [answer for answer in answers if not isinstance(answer, Task)]:
            ended.cancel()
            raise RuntimeError(f"a task was refused: {refused[0]}")
    await ended


def together(values: Mapping[str, float], prefix: str) -> dict[str, float]:
    """Sums up those whose names are `prefix` and a number, under the name of `prefix`. Pure."""
    found: dict[str, float] = {}
    for name, value in values.items():
        whose = prefix if name.startswith(f"{prefix}-") else name
        found[whose] = found.get(whose, 0.0) + value
    return found


async def _await_ends(client: AsyncClient, group: str, tasks: int, room: asyncio.Semaphore) -> None:
    async with aclosing(client.group(group).watch(task_count=tasks)) as events:
        async for event in events:
            if isinstance(event, TaskChanged) and event.task.state in _FINAL:
                if event.task.state is not TaskState.SUCCEEDED:
                    raise RuntimeError(f"{event.task.name} is {event.task.state}: {event.task.state_reason}")
                room.release()
