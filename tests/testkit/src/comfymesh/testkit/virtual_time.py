"""An event loop whose time passes only while everything waits, and then at once: an hour costs nothing.

What depends on time is decided by the order of moments alone, never by how busy the machine is. Nothing runs beside the
loop: what is meant for a thread is done in place. Where nothing can ever go on, or goes on for hours without an end,
the test ends with an error.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_BEGINNING = 1000.0
_LONGEST = 7200.0


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The loop."""

    def __init__(self) -> None:
        self._now = _BEGINNING
        super().__init__(_Jumping(self._pass))

    def time(self) -> float:
        """See asyncio.AbstractEventLoop.time."""
        return self._now

    def run_in_executor(
        self,
        executor: Executor | None,  # noqa: ARG002  # the loop's contract
        func: Callable[[*Ts], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        """See asyncio.AbstractEventLoop.run_in_executor. There are no threads here."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # whatever it is, it is the caller's
            future.set_exception(error)
        return future

    def _pass(self, seconds: float) -> None:
        self._now += seconds
        if self._now > _BEGINNING + _LONGEST:
            raise RuntimeError(f"{_LONGEST:g} seconds have passed: what the test waits for does not come")


class _Jumping(selectors.DefaultSelector):
    """Does not wait: it has the time pass instead."""

    def __init__(self, let_pass: Callable[[float], None]) -> None:
        super().__init__()
        self._let_pass = let_pass

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See selectors.BaseSelector.select."""
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("everything waits, and nothing is left that could end it")
        self._let_pass(timeout)
        return []
