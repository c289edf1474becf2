"""First come, first served: what the queue does where an operator has switched affinity off."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from comfymesh.scheduler.domain.lanes import Group, Waiting
from comfymesh.scheduler.domain.seats import Seat, Seats
from comfymesh.tasks.record import Key

_Turn = tuple[int, float, Key]
Fits = Callable[[Group, Seat], bool]


class FirstCome:
    """Tasks by priority and creation, by group: whether an instance can run one depends on its group alone.

    Args:
        seats: The instances.
        fits: Whether an instance can run the tasks of a group.
    """

    def __init__(self, seats: Seats, fits: Fits) -> None:
        self._seats = seats
        self._fits = fits
        self._groups: dict[Group, list[tuple[_Turn, Waiting]]] = {}

    def begin(self, tasks: Iterable[Waiting]) -> None:
        """From now on this order holds, for all that waits."""
        self._groups.clear()
        for task in tasks:
            self.add(task)

    def add(self, task: Waiting) -> None:
        """A task waits. That it waits no more shows in its having no lane."""
        turn = (-task.priority, task.created, task.key)
        heapq.heappush(self._groups.setdefault(task.group, []), (turn, task))

    def next(self) -> Iterator[tuple[Waiting, Seat]]:
        """The first task that some instance with room can run, and the one that had room for longest; again and again.

        Whoever takes a pair takes the task out of the queue and the instance's slot before the next.
        """
        hopeless: set[Group] = set()
        while self._seats.idle or self._seats.ahead:
            heads = [head for group in list(self._groups) if group not in hopeless and (head := self._head(group))]
            if not heads:
                return
            _, task = min(heads)
            seat = next(
                (seat for seat in chain(self._seats.idle, self._seats.ahead) if self._fits(task.group, seat)), None
            )
            if seat is None:
                hopeless.add(task.group)
            else:
                yield task, seat

    def _head(self, group: Group) -> tuple[_Turn, Waiting] | None:
        waiting = self._groups[group]
        while waiting and waiting[0][1].lane is None:
            heapq.heappop(waiting)
        if not waiting:
            del self._groups[group]
            return None
        return waiting[0]
