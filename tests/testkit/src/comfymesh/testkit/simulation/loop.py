"""An event loop whose time is not ours: where nothing is ready to run, the clock jumps to the next timer.

A run depends on nothing but its seed. So tasks hash by their number and not by their address, for sets of them to have
one order, and what would go to a thread is done at once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from functools import partial
from heapq import heappop, heappush
from typing import Any, TypeVarTuple
from unittest.mock import patch

Arguments = TypeVarTuple("Arguments")

_MOST_STEPS = 2_000_000
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


class _Handle(list[Any]):
    """What is called: callback, arguments, context. A list, since a seed makes 3,700 and C makes lists."""

    __slots__ = ()

    def cancel(self) -> None:
        """Let nothing be called."""
        self[0], self[1] = _nothing, ()

    def cancelled(self) -> bool:
        """Whether nothing is called."""
        return self[0] is _nothing


def _nothing() -> None:
    """What a cancelled handle does."""


class Pause:
    """Waits for so many virtual seconds, as `asyncio.sleep` does: its timer wakes the task, with no future between.

    Of all that a seed waits for, most is the way of a message. What a task asks of a future is answered without a call
    of Python where that can be.
    """

    __slots__ = ("_asyncio_future_blocking", "_context", "_delay", "_loop", "_timer", "_wake")

    _wake: Callable[[Pause], object]
    _timer: asyncio.TimerHandle
    result = bool
    """Asked by the task when it is woken: nothing."""

    def __init__(self, delay: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._delay = delay
        self._asyncio_future_blocking = True
        """What a task asks whatever it awaits, and resets."""

    def __await__(self) -> Generator[Pause, None, None]:
        return iter((self,))  # type: ignore[return-value]  # as good as a generator that yields once

    def add_done_callback(self, wake: Callable[[Pause], object], *, context: Context) -> None:
        """The task that awaits it says how it is woken."""
        self._wake, self._context = wake, context
        self._timer = self._loop.call_later(self._delay, wake, self, context=context)

    def cancel(self, msg: object = None) -> bool:
        """The task that awaits it is cancelled: woken at once, it sees that it must."""
        del msg
        if not self._timer.cancelled():
            self._timer.cancel()
            self._loop.call_soon(self._wake, self, context=self._context)
        return False


@contextmanager
def only(loop: VirtualLoop) -> Iterator[None]:
    """Within it, in that loop, there is no other. The library asks the system for the process each time it is asked."""
    running = itertools.repeat(loop).__next__
    with (
        patch.object(asyncio, "get_running_loop", running),
        patch.object(asyncio.events, "get_running_loop", running),
        patch.object(asyncio.events, "_get_running_loop", running),
    ):
        yield


class VirtualLoop(asyncio.BaseEventLoop):
    """See the module.

    Its rounds are its own: those of the base ask a selector each time and compare timers in Python, which was half of
    what a run cost.

    Args:
        on_task: Told of every task and the context that it runs in.

    Attributes:
        tasks: Every task that was ever started; asyncio's own set of weak references is dear (see `chance.virtual`).
    """

    _ready: deque[_Handle]
    _stopping: bool

    def __init__(self, on_task: Callable[[asyncio.Task[Any], Context | None], None]) -> None:
        super().__init__()
        self._now = 0.0
        self._on_task = on_task
        self.tasks: list[asyncio.Task[Any]] = []
        self._timers: list[tuple[float, int, _Handle]] = []
        self._number_of = itertools.count().__next__
        _Task._numbers = itertools.count(1)
        self.set_task_factory(self._make_task)
        # Asked a thousand times by the library's C, of the base by a call of Python.
        self.get_debug = bool  # type: ignore[method-assign]
        self.create_future = partial(asyncio.Future, loop=self)  # type: ignore[method-assign]

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def call_at(  # type: ignore[override]  # a handle is a handle
        self,
        when: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> _Handle:
        """Call it at a time; what is due at the same time comes in the order in which it was asked for."""
        timer = _Handle((callback, args, copy_context() if context is None else context))
        heappush(self._timers, (when, self._number_of(), timer))
        return timer

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> _Handle:
        """Call it after a time."""
        timer = _Handle((callback, args, copy_context() if context is None else context))
        heappush(self._timers, (self._now + delay, self._number_of(), timer))
        return timer

    def call_soon(  # type: ignore[override]
        self, callback: Callable[[*Arguments], object], *args: *Arguments, context: Context | None = None
    ) -> _Handle:
        """Call it in the next round."""
        handle = _Handle((callback, args, copy_context() if context is None else context))
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # There is one thread.

    def _run_once(self) -> None:
        """Rounds until it is told to stop: what is ready runs; where nothing is, time passes until the next timer.

        Raises:
            StuckError: nothing is left that could ever happen, or far too much has; something goes round in circles.
        """
        timers, ready = self._timers, self._ready
        for _ in range(_MOST_STEPS):
            self._now += _ROUND_SECONDS
            if not ready and not self._stopping:
                self._pass()
            while timers and timers[0][0] <= self._now:
                ready.append(heappop(timers)[2])
            for _ in range(len(ready)):
                callback, args, context = ready.popleft()
                try:
                    context.run(callback, *args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # as Handle._run does, without a call for each
                    self.call_exception_handler({"message": f"Exception in callback {callback!r}", "exception": error})
            if self._stopping:
                return
        raise StuckError(f"{_MOST_STEPS} rounds, and it is only {self._now:.3f} s")

    def _pass(self) -> None:
        """Let time pass until the next timer that calls anything."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heappop(timers)
        if not timers:
            raise StuckError("nothing is left that could ever happen")
        self._now = max(self._now, timers[0][0])

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
