"""Waits for news, or for the time to look at the clock."""

from __future__ import annotations

import asyncio


class Wake:
    """Wakes the one who waits.

    Every watcher passes here for everything that it is told, so there is one timer, which is moved only where it would
    ring too late: one that rings too early costs less than two for each message.
    """

    __slots__ = ("_due", "_news", "_rings", "_timer", "_waiter")

    def __init__(self) -> None:
        self._news = False
        self._due = 0.0
        # When the timer rings. It can't be asked: uvloop gives no timer, but a plain handle, where that is now.
        self._rings = 0.0
        self._timer: asyncio.Handle | None = None
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """There is news."""
        self._news = True
        self._rouse()

    def clear(self) -> None:
        """The news has been taken."""
        self._news = False

    def rest(self) -> None:
        """Nobody will wait any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def wait(self, timeout: float) -> None:
        """Wait until there is news, at most `timeout` seconds."""
        if self._news:
            return
        loop = asyncio.get_running_loop()
        self._due = loop.time() + timeout
        if self._timer is None or self._rings > self._due:
            self.rest()
            self._set_timer(loop)
        self._waiter = loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _ring(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        if self._waiter is not None and loop.time() < self._due:
            self._set_timer(loop)
        else:
            self._rouse()

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self._rings = self._due
        self._timer = loop.call_at(self._due, self._ring)

    def _rouse(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
