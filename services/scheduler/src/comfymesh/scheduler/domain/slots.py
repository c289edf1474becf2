"""Which task takes up a slot of which instance, whether it is offered or held."""

from __future__ import annotations

from comfymesh.scheduler.domain.fleet import Place
from comfymesh.scheduler.domain.lanes import Waiting
from comfymesh.scheduler.domain.memory import Memory
from comfymesh.scheduler.domain.queueing import WaitingTasks
from comfymesh.scheduler.domain.seat import Seat
from comfymesh.scheduler.domain.seats import Seats
from comfymesh.tasks.record import Key, Requirements


class Slots:
    """What is taken: seats, their tenants' share and their GPUs' memory are told."""

    def __init__(self, seats: Seats, waiting: WaitingTasks, memory: Memory) -> None:
        self._seats = seats
        self._waiting = waiting
        self._memory = memory
        self._taken: dict[Key, tuple[Seat, float]] = {}

    def occupy(self, key: Key, requirements: Requirements, task: Waiting | None, place: Place, now: float) -> None:
        """A task takes up a slot, unless it does already: its models will be there, and it takes its time."""
        if key in self._taken:
            return
        seat = self._seats[place]
        seconds = self._waiting.seconds_at(task, seat) if task else 0.0
        self._taken[key] = (seat, seconds)
        self._memory.occupy(key, requirements, seat)
        self._waiting.begins(key)
        self._seats.take(seat, seconds, now)
        if task is not None:
            self._seats.load(seat, task.needs)

    def vacate(self, key: Key, stays: Place | None = None) -> None:
        """The slot that a task has taken up is free again, but where it `stays`."""
        if (taken := self._taken.get(key)) is not None and taken[0].place != stays:
            del self._taken[key]
            self._waiting.ends(key)
            self._memory.vacate(key)
            self._seats.free(*taken)
