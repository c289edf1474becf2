"""An event loop whose time is not ours: where nothing is ready to run, the clock jumps to the next timer.

A run depends on nothing but its seed. So tasks hash by their number and not by their address, for sets of them to have
one order, and what would go to a thread is done at once.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextvars import Context, copy_context
from typing import Any, TypeVarTuple

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

    def __eq__(self, other: object) -> bool:
        return self is other


class _Handle(asyncio.Handle):
    """Without what the base does for debugging alone: a seed makes some 7,000."""

    def __init__(
        self,
        callback: Callable[..., object],
        args: Sequence[Any],
        loop: asyncio.AbstractEventLoop,
        context: Context | None = None,
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback: Callable[..., object] | None = callback
        self._args = args
        self._cancelled = False
        self._source_traceback = self._repr = None

    def cancel(self) -> None:
        self._cancelled = True
        self._callback, self._args = None, ()


class _Timer(_Handle, asyncio.TimerHandle):
    """The same of a timer."""

    _when: float


class Pause:
    """Waits for so many virtual seconds, as `asyncio.sleep` does: its timer wakes the task, with no future between.

    Of all that a seed waits for, most is the way of a message.
    """

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_context", "_delay", "_loop", "_timer", "_wake")

    _wake: Callable[[Pause], object]
    _timer: asyncio.TimerHandle

    def __init__(self, delay: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._delay = delay
        self._cancelled = False
        self._asyncio_future_blocking = True
        """What a task asks whatever it awaits, and resets."""

    def __await__(self) -> Generator[Pause, None, None]:
        yield self

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Where it waits."""
        return self._loop

    def add_done_callback(self, wake: Callable[[Pause], object], *, context: Context) -> None:
        """The task that awaits it says how it is woken."""
        self._wake, self._context = wake, context
        self._timer = self._loop.call_later(self._delay, wake, self, context=context)

    def cancel(self, msg: object = None) -> bool:
        """The task that awaits it is cancelled."""
        del msg
        if not self._cancelled:
            self._cancelled = True
            self._timer.cancel()
            self._loop.call_soon(self._wake, self, context=self._context)
        return True

    def result(self) -> None:
        """Asked by the task when it is woken."""
        if self._cancelled:
            raise asyncio.CancelledError


class VirtualLoop(asyncio.BaseEventLoop):
    """See the module.

    Its rounds are its own: those of the base ask a selector each time and compare timers in Python, which was half of
    what a run cost.

    Args:
        on_task: Told of every task and the context that it runs in.
    """

    _ready: deque[asyncio.Handle]
    _stopping: bool

    def __init__(self, on_task: Callable[[asyncio.Task[Any], Context | None], None]) -> None:
        super().__init__()
        self._now = 0.0
        self._steps = 0
        self._on_task = on_task
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timer_numbers = itertools.count()
        _Task._numbers = itertools.count(1)
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def call_at(
        self,
        when: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call it at a time; what is due at the same time comes in the order in which it was asked for."""
        timer = _Timer(callback, args, self, context)
        timer._when = when
        heapq.heappush(self._timers, (when, next(self._timer_numbers), timer))
        return timer

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call it after a time."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_soon(
        self, callback: Callable[[*Arguments], object], *args: *Arguments, context: Context | None = None
    ) -> asyncio.Handle:
        """Call it in the next round."""
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def _run_once(self) -> None:
        """One round: what is ready runs; where nothing is, time passes until the next timer.

        Raises:
            StuckError: nothing is left that could ever happen, or far too much has; something goes round in circles.
        """
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise StuckError(f"{_MOST_STEPS} steps, and it is only {self._now:.3f} s")
        timers, ready = self._timers, self._ready
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        self._now += _ROUND_SECONDS
        if not ready and not self._stopping:
            if not timers:
                raise StuckError("nothing is left that could ever happen")
            self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                try:
                    handle._context.run(handle._callback, *handle._args)  # type: ignore[attr-defined]  # typeshed hides them
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # as Handle._run does, without a call for each
                    self.call_exception_handler({"message": f"Exception in callback {handle!r}", "exception": error})

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
