"""How long an instance idles between two tasks that wait, and ComfyUI itself between two queued prompts.

With each gap goes what could be its reason: whether the next prompt had come by then, and who had the cores.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import aiohttp

from benchmarks import graphs, ground
from benchmarks.direct import DirectClient
from benchmarks.figures import Quantiles, rotated
from benchmarks.processes import Runs, machine_busy, runs
from comfymesh.client import AsyncClient

_LOOK_SECONDS = 0.2
_RECENT = 200
_WARM_UP = {True: 60, False: 5}
"""By whether prompts are short. Of these the mesh holds more in line, once it knows that they are."""
_SHORT_SECONDS = 0.1
_PARTS = ("nats", "scheduler", "agent", "api")

_Way = Callable[[Sequence[graphs.Graph]], Awaitable[None]]


class Span(NamedTuple):
    """One prompt, in milliseconds of ComfyUI's clock.

    Attributes:
        number: Which it was, by ComfyUI's count.
        begin: When its execution began.
        end: When that ended.
        came: When it was submitted.
    """

    number: int
    begin: int
    end: int
    came: int


@dataclass(frozen=True, slots=True)
class Course:
    """How prompts of one length went one way.

    Attributes:
        gaps: Milliseconds from the end of one execution to the beginning of the next, while others wait.
        busy: Share of the time in which the instance executed.
        dry: Share of the prompts that came only after the one before them had ended: the line had run dry.
        ahead: How many prompts waited in ComfyUI when one began, on average.
        cpu_ms: CPU time of each process for a prompt, in milliseconds; "client" is the benchmark's own.
        waited_ms: For how long its threads were ready to run and no core was free, for a prompt, in milliseconds.
        cores: Cores that these processes kept busy.
        machine: Cores that were busy, with whatever else runs on the machine.
    """

    gaps: Quantiles
    busy: float
    dry: float
    ahead: float
    cpu_ms: Mapping[str, float]
    waited_ms: Mapping[str, float]
    cores: float
    machine: float


@dataclass(frozen=True, slots=True)
class Gaps:
    """Prompts of one length, both ways.

    Attributes:
        seconds: How long a prompt works; 0 for the shortest there is.
        direct: Where all prompts were queued in ComfyUI.
        mesh: Where they were tasks of the mesh.
    """

    seconds: float
    direct: Course
    mesh: Course


@dataclass(frozen=True, slots=True)
class IdleGap:
    """The gaps for prompts of several lengths."""

    kind: str
    each: Sequence[Gaps]

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        return [row for gaps in self.each for row in _rows(gaps)]


def _rows(gaps: Gaps) -> list[tuple[str, str]]:
    what = f"prompts of {gaps.seconds:g} s" if gaps.seconds else "the shortest prompts"
    ways = {"direct": gaps.direct, "mesh": gaps.mesh}
    rows = [
        (
            f"idle gap, {what}, {way}: p50 / p95; the line had run dry; waited in it",
            f"{_ms(course.gaps)}; {course.dry:.0%}; {course.ahead:.1f}",
        )
        for way, course in ways.items()
    ]
    rows.append((f"**busy, {what}, mesh by direct**", f"**{gaps.mesh.busy / gaps.direct.busy:.0%}**"))
    for way, course in ways.items():
        cpu = ", ".join(f"{name} {ms:.1f} (+{course.waited_ms[name]:.1f})" for name, ms in course.cpu_ms.items())
        rows.append((f"CPU for a prompt (+ waited for a core), {what}, {way}, ms", cpu))
        cores = f"{course.cores:.2f}; {course.machine:.2f}"
        rows.append((f"cores busy with that; of the whole machine, {what}, {way}", cores))
    return rows


@dataclass(slots=True)
class _Tally:
    """Adds up several courses of one kind."""

    spans: list[list[Span]] = field(default_factory=list)
    prompts: int = 0
    seconds: float = 0.0
    machine: float = 0.0
    spent: dict[str, Runs] = field(default_factory=dict)

    def course(self) -> Course:
        return Course(
            Quantiles.of([gap for spans in self.spans for gap in gaps(spans)]),
            sum(busy(spans) for spans in self.spans) / len(self.spans),
            sum(dry(spans) for spans in self.spans) / len(self.spans),
            sum(ahead(spans) for spans in self.spans) / len(self.spans),
            {name: spent.ran * 1000 / self.prompts for name, spent in self.spent.items()},
            {name: spent.waited * 1000 / self.prompts for name, spent in self.spent.items()},
            sum(spent.ran for spent in self.spent.values()) / self.seconds,
            self.machine / self.seconds,
        )

    def add(self, spent: Mapping[str, Runs]) -> None:
        for name, more in spent.items():
            had = self.spent.get(name, Runs(0.0, 0.0))
            self.spent[name] = Runs(had.ran + more.ran, had.waited + more.waited)


async def measure(comfy: ground.ComfyUI, tasks: int, rounds: int, look_ahead: int, lengths: Sequence[float]) -> IdleGap:
    """Measure `rounds` times `tasks` prompts of each length each way, by turns; all of them wait at once."""
    async with (
        ground.mesh([comfy.url], environment={"COMFYMESH_AGENT_LOOK_AHEAD": str(look_ahead)}) as mesh,
        AsyncClient(mesh.target) as client,
        DirectClient(comfy.url) as direct,
    ):

        async def through(wanted: Sequence[graphs.Graph]) -> None:
            await asyncio.gather(*(client.run(graph) for graph in wanted))

        async def straight(wanted: Sequence[graphs.Graph]) -> None:
            await direct.burst(wanted)

        ways = {"direct": straight, "mesh": through}
        pids = {"client": os.getpid(), **{name: mesh.processes.pid(name) for name in _PARTS}, **comfy.pids}
        each = [await _of_length(comfy, ways, pids, seconds, tasks, rounds) for seconds in lengths]
    return IdleGap(comfy.kind, each)


async def _of_length(
    comfy: ground.ComfyUI,
    ways: Mapping[str, _Way],
    pids: Mapping[str, int],
    seconds: float,
    tasks: int,
    rounds: int,
) -> Gaps:
    tallies = {name: _Tally() for name in ways}
    for number in range(-1, rounds):
        for name in rotated(list(ways), number):
            count = tasks if number >= 0 else _WARM_UP[seconds < _SHORT_SECONDS]
            wanted = [_graph(comfy, seconds) for _ in range(count)]
            await _run(comfy, ways[name], wanted, pids, tallies[name] if number >= 0 else _Tally())
    return Gaps(seconds, tallies["direct"].course(), tallies["mesh"].course())


async def _run(
    comfy: ground.ComfyUI, way: _Way, wanted: Sequence[graphs.Graph], pids: Mapping[str, int], tally: _Tally
) -> None:
    async with _witness(comfy.url) as seen:
        before, machine, began = {name: runs(pid) for name, pid in pids.items()}, machine_busy(), time.perf_counter()
        await way(wanted)
        tally.seconds += time.perf_counter() - began
        tally.machine += machine_busy() - machine
        tally.add({name: runs(pid) - before[name] for name, pid in pids.items()})
    tally.prompts += len(wanted)
    tally.spans.append(list(seen.values()))


def gaps(spans: Iterable[Span]) -> list[float]:
    """From each end to the beginning of the prompt after it, in milliseconds."""
    return [float(after.begin - before.end) for before, after in _neighbours(spans)]


def busy(spans: Iterable[Span]) -> float:
    """The share of the time between ends of which both were seen in which something was executed."""
    seen = _neighbours(spans)
    executed = sum(after.end - after.begin for _, after in seen)
    return executed / max(1, sum(after.end - before.end for before, after in seen))


def dry(spans: Iterable[Span]) -> float:
    """The share of the prompts that came after the one before them had ended."""
    seen = _neighbours(spans)
    return sum(after.came > before.end for before, after in seen) / max(1, len(seen))


def ahead(spans: Iterable[Span]) -> float:
    """How many prompts waited when one began, on average."""
    seen = list(spans)
    return sum(other.came <= span.begin < other.begin for span in seen for other in seen) / max(1, len(seen))


def _neighbours(spans: Iterable[Span]) -> list[tuple[Span, Span]]:
    """Each with the next. The mesh may remove one before it was seen: no gap is known beside it."""
    return [(before, after) for before, after in pairwise(sorted(spans)) if after.number == before.number + 1]


@asynccontextmanager
async def _witness(url: str) -> AsyncIterator[dict[str, Span]]:
    """When each prompt begins and ends that comes meanwhile, as ComfyUI has it.

    It is asked again and again: the mesh removes what has ended after a second.
    """
    seen: dict[str, Span] = {}
    async with aiohttp.ClientSession(url) as http:
        before = (await _ended(http)).keys()

        async def look() -> None:
            seen.update({prompt: span for prompt, span in (await _ended(http)).items() if prompt not in before})

        async def go_on() -> None:
            while True:
                await asyncio.sleep(_LOOK_SECONDS)
                await look()

        looking = asyncio.create_task(go_on())
        try:
            yield seen
            await look()
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)


async def _ended(http: aiohttp.ClientSession) -> dict[str, Span]:
    async with http.get("/api/jobs", params={"status": "completed", "limit": str(_RECENT)}) as answer:
        jobs = (await answer.json())["jobs"]
    return {
        job["id"]: Span(job["priority"], job["execution_start_time"], job["execution_end_time"], job["create_time"])
        for job in jobs
    }


def _graph(comfy: ground.ComfyUI, seconds: float) -> graphs.Graph:
    if not seconds:
        return graphs.picture()
    return graphs.lasting(seconds, "benchmark") if comfy.emulated else graphs.working(seconds)


def _ms(quantiles: Quantiles) -> str:
    return f"{quantiles.p50:.1f} / {quantiles.p95:.1f} ms"
