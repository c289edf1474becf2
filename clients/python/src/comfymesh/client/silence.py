"""Notices that a stream has fallen silent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Silence:
    """Ends a stream once its reader has waited too long.

    One timer a stream, which looks when the last message came: a time-out of its own for each message was a fifth of
    what the message cost.

    Args:
        limit: How long, in seconds.
        end_stream: Ends it.

    Attributes:
        was_too_long: Whether that has happened.
    """

    def __init__(self, limit: float, end_stream: Callable[[], object]) -> None:
        self.was_too_long = False
        self._limit = limit
        self._end_stream = end_stream
        self._loop = asyncio.get_running_loop()
        self._since: float | None = self._loop.time()
        self._timer = self._loop.call_later(limit, self._look)

    def begin(self) -> None:
        """The reader waits for the next message."""
        self._since = self._loop.time()

    def end(self) -> None:
        """A message has come."""
        self._since = None

    def close(self) -> None:
        """The stream is over."""
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        due = (now if self._since is None else self._since) + self._limit
        if due > now:
            self._timer = self._loop.call_at(due, self._look)
        else:
            self.was_too_long = True
            self._end_stream()
