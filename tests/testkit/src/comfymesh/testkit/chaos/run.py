"""One run of chaos: load, mischief, peace, and the history of it all."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from comfymesh.runtime.faultpoints import FaultPoint
from comfymesh.tasks.record import FINAL
from comfymesh.testkit import graphs
from comfymesh.testkit.chaos import logreader
from comfymesh.testkit.chaos.grpcapi import GrpcApi
from comfymesh.testkit.chaos.mesh import chaos_mesh
from comfymesh.testkit.chaos.mischief import Doer, plan
from comfymesh.testkit.history import Begun, Defect, Ended, Event, Fault, Logged, Made
from comfymesh.testkit.load import Clients, read_all
from comfymesh.testkit.plans import work
from comfymesh.testkit.recording import Recorder
from comfymesh.v1 import task_pb2

_TASKS_PER_SECOND = 2.0
_MEAN_PAUSE = 1.0
# Without a change in the log: a backlog may take a slow machine longer than that to work off.
_SILENT_SECONDS = 300.0
_LOOK_SECONDS = 10.0
_WAVE_SECONDS = 2.0
_LONGEST_WAY = 150.0
_DEFECT = "Traceback (most recent call last)"
_TRACE_LINES = 12


@dataclass(frozen=True, slots=True)
class Chaos:
    """What came of a run: its history, and how many pictures ComfyUI made for it."""

    history: list[Event]
    pictures: int


class Broken(Protocol):
    """A mesh that can be put on trial.

    Attributes:
        nats_url: Where NATS is, without anything that breaks between.
        targets: Its APIs.
    """

    @property
    def nats_url(self) -> str: ...
    @property
    def targets(self) -> Sequence[str]: ...
    def outputs(self) -> list[Path]:
        """Every picture that any ComfyUI has made."""
        ...


@dataclass(frozen=True, slots=True)
class Trial:
    """What goes on while a mesh is on trial.

    Attributes:
        clients: Who puts it under load.
        recorder: Takes down what is seen.
        rng: Decides what is left to chance.
    """

    clients: Clients
    recorder: Recorder
    rng: random.Random

    def chance(self) -> random.Random:
        """Chance of its own for a part of the trial."""
        return random.Random(self.rng.random())

    def fault(self, what: str, target: str = "") -> None:
        """Take down what is done to the mesh."""
        self.recorder.note(Fault(self.recorder.now, what, target))


Course = Callable[[Trial], Awaitable["asyncio.Future[Any]"]]
"""Puts the mesh under load and breaks it; answers the load, which need not be done when all is mended."""


async def wreak(
    seed: int,
    seconds: float,
    directory: Path,
    points: Sequence[FaultPoint] = (),
    pythons: Mapping[str, str] = MappingProxyType({}),
) -> Chaos:
    """Run a mesh under load for so many seconds of mischief, then in peace until all is done.

    Before the mischief, processes die at each of the `points` under a load of its own. `pythons` are the interpreters
    of services of another version.
    """
    async with chaos_mesh(directory, pythons) as mesh:

        async def course(trial: Trial) -> asyncio.Future[Any]:
            doer = Doer(mesh, trial.fault)
            waves = await _through(doer, points, trial.clients, trial.chance())
            wanted = work(trial.chance(), round(seconds * _TASKS_PER_SECOND), seconds)
            working = asyncio.gather(trial.clients.run(wanted), *waves)
            await doer.run(plan(trial.chance(), seconds, _MEAN_PAUSE))
            doer.disarm()
            return working

        return await try_out(mesh, directory, f"chaos for {seconds:g} s", seed, course)


async def try_out(mesh: Broken, directory: Path, what: str, seed: int, course: Course) -> Chaos:
    """Put a mesh on trial; when all is mended, wait until all is done, and take down what came of it."""
    rng, recorder, began = random.Random(seed), Recorder(time.monotonic), time.time()
    recorder.note(Begun(recorder.now, what, seed))
    async with GrpcApi(mesh.targets, random.Random(rng.random())) as api:
        clients = Clients(api, recorder, random.Random(rng.random()), cache(maker(rng.random())))
        working = await course(Trial(clients, recorder, rng))
        recorder.note(Fault(recorder.now, "everything is mended"))
        settled = await _settled(mesh, began, working)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        for event in await logreader.history(mesh.nats_url, began):
            recorder.note(event)
            if isinstance(event, Made):
                await read_all(api, recorder, event.task, event.artifact)
    for defect in _defects(directory, recorder.now):
        recorder.note(defect)
    recorder.note(Ended(recorder.now, settled))
    return Chaos(recorder.events, len(mesh.outputs()))


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


async def _settled(mesh: Broken, began: float, working: asyncio.Future[Any]) -> bool:
    """Wait until every task has ended and its callers have heard, while the log goes on; answers whether they have."""
    seen, since = 0, time.monotonic()
    while time.monotonic() - since < _SILENT_SECONDS:
        records = [event for event in await logreader.history(mesh.nats_url, began) if isinstance(event, Logged)]
        if len(records) > seen:
            seen, since = len(records), time.monotonic()
        last = {record.task: record.state for record in records}
        if working.done() and all(state in FINAL for state in last.values()):
            return True
        await (asyncio.sleep(1) if working.done() else asyncio.wait([working], timeout=_LOOK_SECONDS))
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
