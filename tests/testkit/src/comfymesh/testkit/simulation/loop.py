"""An event loop whose time is not ours: where nothing is ready to run, the clock jumps to the next timer.

A run depends on nothing but its seed. So tasks hash by their number and not by their address, for sets of them to have
one order, and what would go to a thread is done at once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any

_MOST_STEPS = 2_000_000
_RESOLUTION = 1e-9
_ROUND_SECONDS = 1e-6
"""Even a round of the loop that waits for nothing takes time, as on every machine."""


class StuckError(Exception):
    """Nothing is ready and nothing is timed, or time does not pass any more."""


class _Task(asyncio.Task[Any]):
    _numbers = itertools.count(1)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._number = next(self._numbers)
        super().__init__(*arguments, **options)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class _Idle:
    """Stands in for a selector: there is no IO, so waiting means that time passes."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise StuckError("nothing is left that could ever happen")
        self._loop.pass_time(timeout)
        return []

    def close(self) -> None:
        """Nothing is held."""


class VirtualLoop(asyncio.BaseEventLoop):
    """See the module.

    Args:
        on_task: Told of every task and the context that it runs in.
    """

    def __init__(self, on_task: Callable[[asyncio.Task[Any], Context | None], None]) -> None:
        super().__init__()
        self._now = 0.0
        self._steps = 0
        self._on_task = on_task
        self._selector = _Idle(self)
        self._clock_resolution = _RESOLUTION
        _Task._numbers = itertools.count(1)
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def pass_time(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            StuckError: far too much has happened; something goes round in circles.
        """
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise StuckError(f"{_MOST_STEPS} steps, and it is only {self._now:.3f} s")
        self._now += max(_ROUND_SECONDS, seconds)

    def run_in_executor(self, executor: Any, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:  # type: ignore[override]  # wider than the base's
        """Do at once what is meant for a thread: threads have an order of their own."""
        del executor
        future = self.create_future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # the future carries whatever it is, as an executor's would
            future.set_exception(error)
        return future

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        task = _Task(coroutine, loop=loop, context=context)
        self._on_task(task, context)
        return task

    def _process_events(self, events: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """There is only one thread, and it is awake."""
