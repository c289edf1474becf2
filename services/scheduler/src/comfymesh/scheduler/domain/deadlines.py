"""Until when tasks that wait must have begun."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator

from comfymesh.tasks import machine
from comfymesh.tasks.record import Key, TaskRecord

_SLACK = 1024
"""Entries that may be out of date, beside as many as there are tasks."""


def start_by(record: TaskRecord) -> float:
    """When a task that waits must have begun, seconds since the epoch; infinite where it may wait for ever."""
    moment = record.definition.start_by
    return math.inf if moment is None or not machine.can_expire(record) else moment


class StartDeadlines:
    """When waiting tasks must have begun. Looking for those that are late costs no more than there are of them."""

    def __init__(self) -> None:
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []

    def __len__(self) -> int:
        return len(self._due)

    def add(self, record: TaskRecord) -> None:
        """Mind a task that waits, if there is a time by which it must have begun."""
        if (moment := start_by(record)) < math.inf:
            self.set(record.key, moment)

    def set(self, key: Key, moment: float) -> None:
        """The task is due at `moment`, seconds since the epoch."""
        self._due[key] = moment
        heapq.heappush(self._heap, (moment, key))
        if len(self._heap) > 2 * len(self._due) + _SLACK:
            self._heap = [(due, key) for key, due in self._due.items()]
            heapq.heapify(self._heap)

    def discard(self, key: Key) -> None:
        """The task does not wait any more."""
        self._due.pop(key, None)  # Its entry is dropped when it comes up, or when such entries are the most.

    def pop(self, now: float) -> Iterator[Key]:
        """Tasks that are due. They are minded no more."""
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                yield key
