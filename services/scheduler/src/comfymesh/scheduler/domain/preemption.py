"""A task of high priority that waits too long takes the place of one of lower priority.

Work that an instance was given to look ahead, and has not begun, is handed back first: that costs nobody anything. What
runs is interrupted only where an operator has allowed it, the attempt that began last first. A task gives way, and has
others give way to it, only so often; what becomes of an attempt that gave way counts against nobody.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from comfymesh.scheduler.domain.events import TaskChanged
from comfymesh.scheduler.domain.filters import Filters
from comfymesh.scheduler.domain.fleet import Place
from comfymesh.scheduler.domain.lanes import Waiting
from comfymesh.scheduler.domain.seat import Seat
from comfymesh.scheduler.domain.seats import Seats
from comfymesh.tasks.policy import PolicySettings
from comfymesh.tasks.record import Key, State, TaskRecord

T = TypeVar("T")

ORDINARY = 0
"""Only tasks above this priority, which is the default, have others give way."""
MOST_TIMES = 3
"""So often a task gives way, and so often others give way to it."""
_AT_ONCE = 4
_LOOKED_AT = 64
_ATTEMPTS_LOOKED_AT = 512
_TOLD_FOR = 10.0
"""Seconds for which a node is told again, should it not have heard."""


@dataclass(frozen=True, slots=True)
class Yielding:
    """An attempt that is to give way, and the task that gets its place."""

    attempt: TaskRecord
    task: Waiting
    seat: Seat


@dataclass(frozen=True, slots=True)
class _Told:
    attempt: int
    until: float


class Preemption:
    """Knows which tasks of high priority wait, and which attempts of lower priority are under way."""

    def __init__(self, seats: Seats, filters: Filters) -> None:
        self._seats = seats
        self._filters = filters
        self._settings = PolicySettings()
        self._waiting: defaultdict[int, dict[Key, Waiting]] = defaultdict(dict)
        self._held: defaultdict[int, dict[Key, TaskChanged]] = defaultdict(dict)
        self._told: dict[Key, _Told] = {}
        self._times: Counter[Key] = Counter()

    def set(self, settings: PolicySettings) -> None:
        """Other settings hold."""
        self._settings = settings

    def waits(self, task: Waiting) -> None:
        """A task waits."""
        if task.priority > ORDINARY:
            self._waiting[task.priority][task.key] = task

    def held(self, change: TaskChanged) -> None:
        """A node has an attempt of a task."""
        record = change.record
        self._held[record.definition.priority][record.key] = change

    def waits_no_more(self, task: Waiting) -> None:
        """It does not any more."""
        _discard(self._waiting, task.priority, task.key)

    def left(self, change: TaskChanged) -> None:
        """The attempt is as it was no more."""
        _discard(self._held, change.record.definition.priority, change.record.key)

    def ended(self, key: Key) -> None:
        """The task has ended."""
        self._times.pop(key, None)
        self._told.pop(key, None)

    def review(self, now: float, may_begin: Callable[[Waiting], bool]) -> Iterator[Yielding]:
        """Who has waited too long at `now`, and who gives way. The order to do so is repeated by `told`.

        Whether a task `may_begin` is asked before each is given a place, since what was given before may forbid it.
        """
        if not self._settings.preempt_after:
            return
        late = (task for task in self._late(now) if may_begin(task))
        for task in islice(late, _AT_ONCE):
            if (found := self._victim(task)) is not None:
                victim, seat = found
                self._told[victim.key] = _Told(victim.attempt, now + _TOLD_FOR)
                self._times.update((victim.key, task.key))
                yield Yielding(victim, task, seat)

    def told(self, now: float) -> Iterator[TaskRecord]:
        """Attempts that were to give way and are still there: their nodes may not have heard."""
        for key, told in list(self._told.items()):
            change = next((held[key] for held in self._held.values() if key in held), None)
            if change is None or change.record.attempt != told.attempt or now >= told.until:
                del self._told[key]
            else:
                yield change.record

    @property
    def interrupts(self) -> bool:
        """Whether attempts that run may have to give way."""
        return self._settings.preempt_running

    def _late(self, now: float) -> Iterator[Waiting]:
        """Tasks that have waited too long, those of the highest priority first. All have their turn."""
        for priority in sorted(self._waiting, reverse=True):
            tasks = self._waiting[priority]
            for key in list(islice(tasks, _LOOKED_AT)):
                task = tasks[key] = tasks.pop(key)
                late = now - task.created >= self._settings.preempt_after
                if late and task.stands and self._times[key] < MOST_TIMES:
                    yield task

    def _victim(self, task: Waiting) -> tuple[TaskRecord, Seat] | None:
        """The attempt that gives way: of the lowest priority, and of those one that has not begun."""
        running: tuple[TaskRecord, Seat] | None = None
        for record, seat in self._candidates(task):
            if record.state is State.ASSIGNED and seat.taken > 1:
                return record, seat
            may_stop = self.interrupts and record.state is State.RUNNING
            if may_stop and (running is None or _loses_less(record, running[0])):
                running = record, seat
        return running

    def _candidates(self, task: Waiting) -> Iterator[tuple[TaskRecord, Seat]]:
        """Attempts that may give way to a task, those of the lowest priority first.

        Only so many are looked at, since a fleet may have thousands, and as many of each priority; all have their turn.
        """
        lower = sorted(held for held in self._held if held < task.priority)
        for priority in lower:
            attempts = self._held[priority]
            for key in list(islice(attempts, max(_ATTEMPTS_LOOKED_AT // len(lower), 1))):
                change = attempts[key] = attempts.pop(key)
                record = change.record
                seat = self._seats.known(Place(record.node, record.instance))
                if seat is not None and self._may_yield(record.key) and self._suits(seat, task):
                    yield record, seat

    def _may_yield(self, key: Key) -> bool:
        return key not in self._told and self._times[key] < MOST_TIMES

    def _suits(self, seat: Seat, task: Waiting) -> bool:
        return seat.takes_work and seat.place not in task.shunned and self._filters.passes(task.group, seat)


def _loses_less(one: TaskRecord, other: TaskRecord) -> bool:
    """Whether less is lost with `one`: lower priority, or begun later."""
    return _loss(one) < _loss(other)


def _loss(record: TaskRecord) -> tuple[int, float]:
    return (record.definition.priority, -(record.start_time or 0.0))


def _discard(kept: dict[int, dict[Key, T]], priority: int, key: Key) -> None:
    tasks = kept.get(priority)
    if tasks is not None:
        tasks.pop(key, None)
        if not tasks:
            del kept[priority]
