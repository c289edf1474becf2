"""Tasks that wait for a slot, in order, grouped by what they need of an instance.

Whether an instance can run a task depends on its requirements alone, and fleets see few different ones. So finding the
next task for a slot looks at one task a group, however many wait.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

from comfymesh.tasks import machine
from comfymesh.tasks.record import Key, Requirements, TaskRecord

Rank = tuple[int, int]
"""Order in the queue, lowest first: higher priority, then earlier creation."""

_SLACK = 1024


@dataclass(slots=True)
class _Group:
    ranked: list[tuple[Rank, Key]] = field(default_factory=list)


class WaitingTasks:
    """A queue of tasks by priority and age, with tasks put off until a given time."""

    def __init__(self) -> None:
        self._groups: dict[Requirements, _Group] = {}
        self._waiting: dict[Key, Rank] = {}
        self._put_off: list[tuple[float, Key, Rank, Requirements]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: Key) -> bool:
        return key in self._waiting

    def add(self, record: TaskRecord, order: int, now: float) -> None:
        """Let a task wait; `order` says how old it is (lower is older)."""
        rank = (-record.definition.priority, order)
        self._waiting[record.key] = rank
        if record.not_before > now:
            entry = (record.not_before, record.key, rank, record.definition.requirements)
            heapq.heappush(self._put_off, entry)
        else:
            self._enqueue(record.key, rank, record.definition.requirements)

    def discard(self, key: Key) -> None:
        """The task does not wait any more."""
        self._waiting.pop(key, None)  # Its entry is dropped when it comes up.

    def wake(self, now: float) -> None:
        """Let tasks whose time has come take their place."""
        while self._put_off and self._put_off[0][0] <= now:
            _, key, rank, requirements = heapq.heappop(self._put_off)
            if self._waiting.get(key) == rank:
                self._enqueue(key, rank, requirements)

    def heads(self) -> Iterator[tuple[Rank, Key, Requirements]]:
        """The first task of each group that has one."""
        for requirements, group in list(self._groups.items()):
            while group.ranked and self._waiting.get(group.ranked[0][1]) != group.ranked[0][0]:
                heapq.heappop(group.ranked)
            if group.ranked:
                yield (*group.ranked[0], requirements)
            else:
                del self._groups[requirements]

    def _enqueue(self, key: Key, rank: Rank, requirements: Requirements) -> None:
        heapq.heappush(self._groups.setdefault(requirements, _Group()).ranked, (rank, key))


class StartDeadlines:
    """When waiting tasks must have begun. Looking for those that are late costs no more than there are of them."""

    def __init__(self) -> None:
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []

    def __len__(self) -> int:
        return len(self._due)

    def add(self, record: TaskRecord) -> None:
        """Mind a task that waits, if there is a time by which it must have begun."""
        if machine.can_expire(record) and record.definition.start_by is not None:
            self.set(record.key, record.definition.start_by)

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
