"""What is done to a mesh, as a plan made from a seed, and how it is done."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from comfymesh.runtime.faultpoints import FaultPoint, arm
from comfymesh.testkit.chaos.mesh import ChaosMesh
from comfymesh.testkit.chaos.proxy import Line

_SERVICES = ("scheduler-0", "scheduler-1", "agent-0", "agent-1", "api-0", "api-1")
_COMFYUIS = ("comfyui-0", "comfyui-1")
_KINDS: dict[str, Sequence[str]] = {
    "kill": (*_SERVICES, *_COMFYUIS, "nats"),
    "pause": (*_SERVICES, *_COMFYUIS, "nats"),
    "cut": _SERVICES,
    "deaden": _SERVICES,
    "delay": _SERVICES,
    "trap": [point.name for point in FaultPoint],
}
_WEIGHTS = (6, 3, 2, 2, 1, 4)
_LOOK_SECONDS = 0.05
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Mischief:
    """Something that is done `at` seconds after the beginning, and lasts (0 for what can't be taken back).

    A `trap` is laid at a fault point: whoever comes there next is killed.
    """

    at: float
    what: str
    target: str
    lasts: float


def plan(rng: random.Random, seconds: float, mean_pause: float) -> list[Mischief]:
    """Mischief for so many seconds; all of it is over by then."""
    made, now = list[Mischief](), rng.expovariate(1 / mean_pause)
    while now < seconds:
        (what,) = rng.choices([*_KINDS], _WEIGHTS)
        # Long enough to be taken for dead, now and then; else no more than a hiccup.
        lasts = (
            0.0 if what in {"kill", "trap"} else min(rng.choice((0.3, 1.5, 5.0)) * rng.uniform(0.5, 1.5), seconds - now)
        )
        made.append(Mischief(now, what, rng.choice(_KINDS[what]), lasts))
        now += rng.expovariate(1 / mean_pause)
    return made


class Doer:
    """Does mischief to a mesh.

    Args:
        mesh: The mesh.
        note: Told of everything that is done.
    """

    def __init__(self, mesh: ChaosMesh, note: Callable[[str, str], None]) -> None:
        self._mesh = mesh
        self._note = note

    async def run(self, mischiefs: Sequence[Mischief]) -> None:
        """Do all of it; answers when the last is over."""
        async with asyncio.TaskGroup() as group:
            for mischief in mischiefs:
                group.create_task(self._do(mischief))

    async def through(self, points: Sequence[FaultPoint]) -> None:
        """Let a process die at each of the points, a few at a time; answers when all have been gone through."""
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(point: FaultPoint) -> None:
            async with turns:
                trap = arm(self._mesh.points, point)
                while trap.exists():  # noqa: ASYNC110  # what is waited for is another process
                    await asyncio.sleep(_LOOK_SECONDS)
                self._note("killed at a fault point", f"{point.value} {point.name}")

        await asyncio.gather(*map(one, points))

    def disarm(self) -> None:
        """Nobody is killed any more."""
        for trap in self._mesh.points.iterdir():
            trap.unlink(missing_ok=True)

    async def _do(self, mischief: Mischief) -> None:
        await asyncio.sleep(mischief.at)
        self._note(
            mischief.what, f"{mischief.target} for {mischief.lasts:.1f} s" if mischief.lasts else mischief.target
        )
        match mischief.what:
            case "kill":
                self._signal(mischief.target, signal.SIGKILL)
            case "trap":
                arm(self._mesh.points, FaultPoint[mischief.target])
            case "pause":
                await self._pause(mischief)
            case "delay":
                await self._delay(mischief)
            case _:
                await self._line(mischief, Line.CUT if mischief.what == "cut" else Line.DEAD)
        if mischief.lasts:
            self._note(f"{mischief.what} is over", mischief.target)

    async def _pause(self, mischief: Mischief) -> None:
        process = self._signal(mischief.target, signal.SIGSTOP)
        try:
            await asyncio.sleep(mischief.lasts)
        finally:
            with contextlib.suppress(ProcessLookupError):
                if process:
                    os.kill(process, signal.SIGCONT)

    async def _delay(self, mischief: Mischief) -> None:
        line = self._mesh.lines[mischief.target]
        line.delay = 0.15
        try:
            await asyncio.sleep(mischief.lasts)
        finally:
            line.delay = 0.0

    async def _line(self, mischief: Mischief, line: Line) -> None:
        proxy = self._mesh.lines[mischief.target]
        await proxy.become(line)
        try:
            await asyncio.sleep(mischief.lasts)
        finally:
            await proxy.become(Line.WELL)

    def _signal(self, target: str, number: signal.Signals) -> int:
        """Send a signal; answers the process that it went to, 0 where there is none now."""
        process = self._mesh.pid(target)
        try:
            if process:
                os.kill(process, number)
        except ProcessLookupError:
            return 0
        return process
