"""Which of the instances where a task could run should have it: the one that is least useful to others."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from comfymesh.scheduler.domain.estimates import Estimates
from comfymesh.scheduler.domain.lanes import Family, Waiting
from comfymesh.scheduler.domain.popularity import Popularity
from comfymesh.scheduler.domain.seat import Seat
from comfymesh.scheduler.domain.seats import Seats

LOOKED_AT = 16
"""Instances with room among which one is chosen. Those that have had it for longest come first."""

Match = tuple[float, Waiting, Seat]


class Usefulness:
    """What instances hold, and how much that saves the fleet."""

    def __init__(self, seats: Seats, estimates: Estimates, popularity: Popularity) -> None:
        self._seats = seats
        self._estimates = estimates
        self._popularity = popularity

    def least(self, matches: Iterator[Match], now: float) -> Match | None:
        """Of the first of these the one at the least useful instance; of several such, where the task is done first."""
        uses: dict[Family, float] = {}
        found = islice(matches, LOOKED_AT)
        return min(found, default=None, key=lambda match: self._cost(match[1], match[2], uses, now))

    def _cost(
        self, task: Waiting, seat: Seat, uses: dict[Family, float], now: float
    ) -> tuple[bool, float, float, str, str]:
        family = task.group.family
        shunned = seat.place in task.shunned
        lacking = [model for model in task.needs if model not in seat.resident]
        finish = max(seat.until - now, 0.0) * (seat.taken > 0) + self._estimates.loads(lacking)
        finish += task.run * self._estimates.speed(seat.gpu_class)
        use = 0.0 if family in seat.families else sum(self._use(held, uses) for held in seat.families)
        return (shunned, round(use, 6) + seat.taken, round(finish, 3), seat.place.node, seat.place.instance)

    def _use(self, family: Family, known: dict[Family, float]) -> float:
        """Seconds of loading for each arrival that one of those that hold a family saves the fleet."""
        use = known.get(family)
        if use is None:
            copies = len(self._seats.holders(family).all)
            loads = self._popularity.saves(family, copies, self._seats.busy)
            use = known[family] = self._estimates.loads(family.models) * loads
        return use
