"""How long an instance idles between two tasks that wait, and ComfyUI itself between two queued prompts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

import aiohttp

from benchmarks import graphs, ground
from benchmarks.direct import DirectClient
from benchmarks.figures import Quantiles, rotated
from comfymesh.client import AsyncClient

_LENGTHS = (0.2, 0.05, 0.0)
_LOOK_SECONDS = 0.2
_RECENT = 200
_WARM_UP = 5

Span = tuple[int, int, int]
"""Which of ComfyUI's prompts it was, by its count, and when it began and ended, in milliseconds of ComfyUI's clock."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """Milliseconds from the end of one execution to the beginning of the next, while others wait.

    Attributes:
        seconds: How long a prompt works; 0 for the shortest there is.
        direct: Where all prompts were queued in ComfyUI.
        mesh: Where they were tasks of the mesh.
        busy: Share of the time in which the instance executed, through the mesh by direct.
    """

    seconds: float
    direct: Quantiles
    mesh: Quantiles
    busy: float


@dataclass(frozen=True, slots=True)
class IdleGap:
    """The gaps for prompts of several lengths."""

    kind: str
    each: Sequence[Gaps]

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        return [row for gaps in self.each for row in self._rows(gaps)]

    def _rows(self, gaps: Gaps) -> list[tuple[str, str]]:
        what = f"prompts of {gaps.seconds:g} s" if gaps.seconds else "the shortest prompts"
        return [
            (f"idle gap, {what}, direct: p50 / p95", _ms(gaps.direct)),
            (f"**idle gap, {what}, mesh: p50 / p95**", f"**{_ms(gaps.mesh)}**"),
            (f"busy, {what}, mesh by direct", f"{gaps.busy:.0%}"),
        ]


async def measure(comfy: ground.ComfyUI, tasks: int, rounds: int, look_ahead: int) -> IdleGap:
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
        return IdleGap(comfy.kind, [await _of_length(comfy, ways, seconds, tasks, rounds) for seconds in _LENGTHS])


async def _of_length(
    comfy: ground.ComfyUI,
    ways: Mapping[str, Callable[[Sequence[graphs.Graph]], Awaitable[None]]],
    seconds: float,
    tasks: int,
    rounds: int,
) -> Gaps:
    found: dict[str, list[float]] = {name: [] for name in ways}
    shares: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-1, rounds):
        for name in rotated(list(ways), number):
            wanted = [_graph(comfy, seconds) for _ in range(tasks if number >= 0 else _WARM_UP)]
            async with _witness(comfy.url) as seen:
                await ways[name](wanted)
            if number >= 0:
                found[name] += gaps(seen.values())
                shares[name].append(busy(seen.values()))
    share = sum(shares["mesh"]) / sum(shares["direct"])
    return Gaps(seconds, Quantiles.of(found["direct"]), Quantiles.of(found["mesh"]), share)


def gaps(spans: Iterable[Span]) -> list[float]:
    """From each end to the beginning of the prompt after it, in milliseconds."""
    return [float(after[1] - before[2]) for before, after in _neighbours(spans)]


def busy(spans: Iterable[Span]) -> float:
    """The share of the time between ends of which both were seen in which something was executed."""
    seen = _neighbours(spans)
    return sum(end - begin for _, (_, begin, end) in seen) / max(1, sum(after[2] - before[2] for before, after in seen))


def _neighbours(spans: Iterable[Span]) -> list[tuple[Span, Span]]:
    """Each with the next. The mesh may remove one before it was seen: no gap is known beside it."""
    return [(before, after) for before, after in pairwise(sorted(spans)) if after[0] == before[0] + 1]


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
    return {job["id"]: (job["priority"], job["execution_start_time"], job["execution_end_time"]) for job in jobs}


def _graph(comfy: ground.ComfyUI, seconds: float) -> graphs.Graph:
    if not seconds:
        return graphs.picture()
    return graphs.lasting(seconds, "benchmark") if comfy.emulated else graphs.working(seconds)


def _ms(quantiles: Quantiles) -> str:
    return f"{quantiles.p50:.1f} / {quantiles.p95:.1f} ms"
