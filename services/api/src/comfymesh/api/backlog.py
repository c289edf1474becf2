"""What one watcher of many tasks is still to be told. Pure but for the wake-up.

Every change is told once and in order, and yet a watcher who does not read costs no more than a bounded number of
records: what is too much is not kept, since the log has it. The watcher is served from there until he has caught up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from comfymesh.api.query import Query
from comfymesh.api.waking import Wake
from comfymesh.bus.tasklog import Stored

MOST_KEPT = 512
"""Records kept for one watcher. They have about 1 KiB each, and those who watch the same share them."""


class Backlog:
    """Collects changes of the tasks that a query means, while it is joined to those who hand them out.

    Attributes:
        position: Everything up to this sequence was told, or does not concern the watcher.
        joined: Whether changes are collected. If not, what lies behind `position` has to be read from the log.
        closed: Whether the server is stopping.
    """

    def __init__(self, query: Query, position: int, most_kept: int = MOST_KEPT) -> None:
        self.query = query
        self.position = position
        self.joined = False
        self.closed = False
        self._most_kept = most_kept
        self._kept: deque[Stored] = deque()
        self._wake = Wake()

    @property
    def pending(self) -> int:
        """How many changes are collected and still to be told."""
        return len(self._kept)

    def join(self) -> None:
        """Collect every change that is offered from now on. Those between `position` and now are read from the log."""
        self.joined = True

    def news(self, stored: Iterable[Stored]) -> list[Stored]:
        """Of the next records, collected or read from the log, those that the watcher is to be told of."""
        return [each for each in stored if self._passes(each)]

    def _passes(self, stored: Stored) -> bool:
        news = stored.sequence > self.position
        self.position = max(self.position, stored.sequence)
        return news and self.query.matches(stored)

    def offer(self, stored: Stored) -> None:
        """A change, in the order of the log."""
        if not self.joined or not self.query.matches(stored):
            return
        if len(self._kept) >= self._most_kept:
            self._kept.clear()
            self.joined = False
        else:
            self._kept.append(stored)
        self._wake.set()

    def take(self) -> list[Stored]:
        """Everything that was collected; some of it may have been read from the log meanwhile."""
        self._wake.clear()
        found = list(self._kept)
        self._kept.clear()
        return found

    def close(self) -> None:
        """Nothing more will come: the server is stopping."""
        self.closed = True
        self._wake.set()

    async def wait(self, timeout: float) -> None:
        """Wait until there is something to do, at most `timeout` seconds."""
        await self._wake.wait(timeout)

    def leave(self) -> None:
        """The watcher has gone."""
        self._wake.rest()
