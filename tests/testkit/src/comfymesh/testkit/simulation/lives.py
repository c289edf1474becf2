"""Processes within the one process: each life of one has its own tasks and ends with all of them at once.

Whatever a life starts inherits its context, by which it is known. A life that was killed can't do anything any more:
its connections answer nothing (see `Life.check`) and its tasks are cancelled until none is left.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from typing import Any

from comfymesh.agent.domain.offsets import Offset
from comfymesh.runtime.service import StoppedError

_CURRENT: ContextVar[Life] = ContextVar("life")
_ROUNDS = 2000
_ROUND_SECONDS = 0.01
_FEW = 64

Serve = Callable[[asyncio.Event], Awaitable[None]]
"""What a process does until the event is set."""


@dataclass(slots=True)
class Machine:
    """Where a process lives. Its clock is so many seconds `ahead` of the true time; `offsets` is on its disk."""

    ahead: float = 0.0
    offsets: Sequence[Offset] = ()


class Life:
    """One life of a process.

    Attributes:
        name: The process's.
        began: When it began, by the loop's clock.
        machine: Where it lives.
        alive: Whether it can still do anything.
        stop: Set when it is asked to end.
        ended: Set when nothing of it is left.
        context: What everything in it runs in.
    """

    def __init__(self, name: str, machine: Machine | None = None) -> None:
        self.name = name
        self.began = asyncio.get_running_loop().time()
        self.machine = machine or Machine()
        self.alive = True
        self.stop = asyncio.Event()
        self.ended = asyncio.Event()
        self.context: Context = copy_context()
        self.context.run(_CURRENT.set, self)
        self._tasks: list[asyncio.Task[Any]] = []
        self._many = _FEW

    def take(self, task: asyncio.Task[Any]) -> None:
        """A task of this life was started."""
        self._tasks.append(task)
        if len(self._tasks) > self._many:
            self._many = _FEW + 2 * len(self._left())

    def _left(self) -> list[asyncio.Task[Any]]:
        """What has not ended. That a task ends is not told to anybody: there are many, and few lives."""
        self._tasks = [task for task in self._tasks if not task.done()]
        return self._tasks

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something as a part of this life."""
        return asyncio.get_running_loop().create_task(coroutine, context=self.context)

    def check(self) -> None:
        """Raises CancelledError in a life that is over: to whoever acts in it, nothing happens any more."""
        if not self.alive:
            raise asyncio.CancelledError

    async def kill(self) -> None:
        """End it, as SIGKILL would: at once, and nothing that it does on its way out has an effect.

        Raises:
            AssertionError: it goes on in spite of everything.
        """
        self.alive = False
        for _ in range(_ROUNDS):
            if not (left := self._left()):
                return
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=_ROUND_SECONDS)
        raise AssertionError(f"{self.name} does not end: {self._tasks}")


def current() -> Life:
    """The life that is acting."""
    return _CURRENT.get()


def ahead() -> float:
    """How many seconds the clock of whoever is acting is ahead."""
    life = _CURRENT.get(None)
    return life.machine.ahead if life is not None else 0.0


def adopt(task: asyncio.Task[Any], context: Context | None) -> None:
    """Note a new task with the life that it belongs to, if any."""
    life = context.get(_CURRENT) if context is not None else _CURRENT.get(None)
    if life is not None:
        life.take(task)


class Process:
    """A process that is started again whenever it ends, as by a supervisor.

    Args:
        name: Its name.
        serve: What it does.
        wait: Seconds from an end to the next start.
        failed: Told of an end that nobody asked for, with its error.

    Attributes:
        machine: Where it lives.
    """

    def __init__(self, name: str, serve: Serve, wait: float, failed: Callable[[str, BaseException], None]) -> None:
        self.name = name
        self.machine = Machine()
        self._serve = serve
        self._wait = wait
        self._failed = failed
        self._away = 0
        self._back = asyncio.Event()
        self._back.set()
        self.life: Life | None = None

    async def run(self) -> None:
        """Live, again and again, for ever."""
        while True:
            await self._back.wait()
            life = self.life = Life(self.name, self.machine)
            serving = life.spawn(_run(self._serve, life.stop))
            await asyncio.wait([serving])
            if not serving.cancelled() and (error := serving.exception()) is not None and life.alive:
                self._failed(self.name, error)
            await life.kill()
            self.life = None
            life.ended.set()
            await asyncio.sleep(self._wait)

    async def kill(self, away: float) -> None:
        """End its life and keep it away for `away` seconds."""
        await self._leave(away, lambda life: life.kill())

    async def terminate(self, away: float) -> None:
        """Ask it to end, as SIGTERM would, and keep it away for `away` seconds after that."""
        await self._leave(away, self._asked)

    async def _leave(self, away: float, end: Callable[[Life], Awaitable[None]]) -> None:
        self._away += 1
        self._back.clear()
        try:
            if self.life is not None:
                await end(self.life)
            await asyncio.sleep(away)
        finally:
            self._away -= 1
            if not self._away:
                self._back.set()

    @staticmethod
    async def _asked(life: Life) -> None:
        life.stop.set()
        await life.ended.wait()


async def _run(serve: Serve, stop: asyncio.Event) -> None:
    with contextlib.suppress(StoppedError):  # as `service.run` does
        await serve(stop)
