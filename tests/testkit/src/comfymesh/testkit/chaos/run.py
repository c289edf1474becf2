"""One run of chaos: load, mischief, peace, and the history of it all."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from comfymesh.runtime.faultpoints import FaultPoint
from comfymesh.tasks.record import FINAL
from comfymesh.testkit import graphs
from comfymesh.testkit.chaos import logreader
from comfymesh.testkit.chaos.grpcapi import GrpcApi
from comfymesh.testkit.chaos.mesh import ChaosMesh, chaos_mesh
from comfymesh.testkit.chaos.mischief import Doer, plan
from comfymesh.testkit.history import Begun, Defect, Ended, Event, Fault, Logged, Made, Recorder
from comfymesh.testkit.load import Clients, read_all
from comfymesh.testkit.plans import work
from comfymesh.v1 import task_pb2

_TASKS_PER_SECOND = 2.0
_MEAN_PAUSE = 1.0
_SETTLE_SECONDS = 300.0
_WAVE_SECONDS = 2.0
_LONGEST_WAY = 150.0
_DEFECT = "Traceback (most recent call last)"
_TRACE_LINES = 12


@dataclass(frozen=True, slots=True)
class Chaos:
    """What came of a run: its history, and how many pictures ComfyUI made for it."""

    history: list[Event]
    pictures: int


async def wreak(seed: int, seconds: float, directory: Path, points: Sequence[FaultPoint] = ()) -> Chaos:
    """Run a mesh under load for so many seconds of mischief, then in peace until all is done.

    Before the mischief, processes die at each of the `points` under a load of its own.
    """
    rng = random.Random(seed)
    async with chaos_mesh(directory) as mesh:
        recorder = Recorder(time.monotonic)
        recorder.note(Begun(recorder.now, f"chaos for {seconds:g} s", seed))
        began = time.time()
        async with GrpcApi(mesh.targets, random.Random(rng.random())) as api:
            clients = Clients(api, recorder, random.Random(rng.random()), cache(maker(rng.random())))
            doer = Doer(mesh, lambda what, target: recorder.note(Fault(recorder.now, what, target)))
            waves = await _through(doer, points, clients, random.Random(rng.random()))
            wanted = work(random.Random(rng.random()), round(seconds * _TASKS_PER_SECOND), seconds)
            working = asyncio.gather(clients.run(wanted), *waves)
            await doer.run(plan(random.Random(rng.random()), seconds, _MEAN_PAUSE))
            doer.disarm()
            recorder.note(Fault(recorder.now, "everything is mended"))
            await asyncio.wait([working], timeout=_SETTLE_SECONDS)
            settled = working.done() and await _quiet(mesh, began)
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            for event in await logreader.history(mesh.nats_url, began):
                recorder.note(event)
                if isinstance(event, Made):
                    await read_all(api, recorder, event.task, event.artifact)
        pictures = len(mesh.outputs())
    for defect in _defects(directory, recorder.now):
        recorder.note(defect)
    recorder.note(Ended(recorder.now, settled))
    return Chaos(recorder.events, pictures)


async def _through(
    doer: Doer, points: Sequence[FaultPoint], clients: Clients, rng: random.Random
) -> list[asyncio.Task[None]]:
    """Let processes die at each point; answers the load under which they did, which is not done yet."""
    going = asyncio.create_task(doer.through(points))
    waves = list[asyncio.Task[None]]()
    while not going.done():
        wanted = work(rng, round(_WAVE_SECONDS * _TASKS_PER_SECOND), _WAVE_SECONDS, f"w{len(waves)}-")
        waves.append(asyncio.create_task(clients.run(wanted)))
        await asyncio.wait([going], timeout=_WAVE_SECONDS)
        if len(waves) * _WAVE_SECONDS > _LONGEST_WAY:
            going.cancel()
    await asyncio.gather(going, return_exceptions=True)
    return waves


async def _quiet(mesh: ChaosMesh, began: float) -> bool:
    """Wait until every task has ended; answers whether they all have."""
    until = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < until:
        last = {
            record.task: record.state
            for record in await logreader.history(mesh.nats_url, began)
            if isinstance(record, Logged)
        }
        if all(state in FINAL for state in last.values()):
            return True
        await asyncio.sleep(1)
    return False


def _defects(directory: Path, now: float) -> Iterator[Defect]:
    for path in sorted((directory / "logs").glob("*.log")):
        if path.stem.startswith(("api", "agent", "scheduler")):
            yield from defects(path.stem, path.read_text(errors="replace"), now)


def defects(process: str, log: str, now: float) -> list[Defect]:
    """What one of our processes logged that nobody expected: each kind of error once."""
    found = dict[str, Defect]()
    for line in log.splitlines():
        if _DEFECT in line:
            what = _read_line(line)
            found.setdefault(what.rpartition("\n")[2], Defect(now, process, what))
    return list(found.values())


def _read_line(line: str) -> str:
    """The message and the traceback in a line of a process's log, the middle of long ones left out."""
    try:
        fields = json.loads(line)
    except ValueError:
        return line
    trace = str(fields.get("exception", "")).splitlines()
    return "\n".join([str(fields.get("message", "")), *trace[-_TRACE_LINES:]])


def maker(seed: float) -> Callable[[str], task_pb2.Task]:
    """What makes the tasks of a run, by their contents."""

    def make(content: str) -> task_pb2.Task:
        """The task of a content; made once, since graphs are unlike any before them."""
        rng = random.Random(f"{seed}/{content}")
        match rng.choices(("picture", "steps", "raise", "kill"), (10, 10, 2, 0.1))[0]:
            case "picture":
                graph = graphs.picture()
            case "steps":
                graph = graphs.steps(rng.randint(2, 40), 0.05)
            case "raise":
                graph = graphs.raising("runtime")
            case _:
                graph = graphs.raising("os_exit")
        task = task_pb2.Task(graph_json=graphs.text(graph), max_retries=rng.choice((0, 2)))
        if rng.random() < 0.2:
            task.start_timeout.FromMilliseconds(rng.choice((20, 300, 3000)))
        return task

    return make
