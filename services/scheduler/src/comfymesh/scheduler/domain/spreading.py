"""When one more instance should load what others hold already."""

from __future__ import annotations

import math
from itertools import islice

from comfymesh.scheduler.domain.estimates import Estimates
from comfymesh.scheduler.domain.lanes import Family, Waiting
from comfymesh.scheduler.domain.popularity import Popularity
from comfymesh.scheduler.domain.residents import Holders
from comfymesh.scheduler.domain.seats import Seats
from comfymesh.tasks.policy import PolicySettings

FARTHEST = 10.0
"""While instances idle, nobody waits for a warm one that is busy for so many times the price of a load."""
LASTING = 0.75
"""The part of what a family is asked for that is counted on to go on: for so much of it a copy has work for long."""
_FEWEST = 0.1
"""However much a family is asked for, what waits has to be so many times `spread_after` loads long."""
_LOOKED_AT = 64
"""Holders among which the first to be free is looked for."""
_AT_ONCE = 1.0
"""Seconds that may pass until a task that has just come is looked at."""


class Spreading:
    """Decides whether what waits for a family's models pays for a load."""

    def __init__(self, seats: Seats, estimates: Estimates, popularity: Popularity) -> None:
        self._seats = seats
        self._estimates = estimates
        self._popularity = popularity

    def pays(self, family: Family, settings: PolicySettings, now: float) -> bool:
        """Whether one more instance should hold a family's models, whoever is served by it.

        It should where nobody holds them, and where those who do will not have done what waits, and what goes on
        coming, within `spread_after` loads.
        """
        holders = self._seats.holders(family)
        if not holders.all:
            return True
        enough = self._spare(family, holders) * settings.spread_after * self._estimates.price(family.models)
        return self._backlog(family, holders, now) > enough

    def saves(self, task: Waiting, settings: PolicySettings, now: float) -> bool:
        """Whether a load keeps the last task in line, whose models somebody holds, from being late compared with FIFO.

        It would be late if it waited for a warm instance until all that came before have had their turn, and is in time
        if one that idles loads for it now. A task that is late either way has nothing of a load that comes now, but
        where it could not begin before the time by which it must.
        """
        family = task.group.family
        load = self._estimates.loads(family.models)
        longest = task.start_by - now
        if now + load + task.run <= task.fifo + _AT_ONCE:
            patience = settings.patience * (task.fifo - task.created - task.run) + task.created - now
            longest = min(longest, max(load, patience))
        if longest == math.inf:
            return False
        holders = self._seats.holders(family)
        turn = (self._backlog(family, holders, now) - task.run) / len(holders.all)
        return turn > longest or self._busy_for(holders, longest, now)

    def farthest(self, family: Family) -> float:
        """For how many seconds a family's tasks wait for one that holds its models, while others idle."""
        return FARTHEST * self._estimates.price(family.models)

    def _backlog(self, family: Family, holders: Holders, now: float) -> float:
        """Seconds of work that wait for those that hold a family's models, or that they have begun."""
        begun = holders.until - now * (len(holders.all) - len(holders.free))
        return family.runs + max(begun, 0.0)

    def _busy_for(self, holders: Holders, seconds: float, now: float) -> bool:
        """Whether none of these is free within so many seconds.

        One is, mostly. They are looked at until it is found: this is much of a decision while instances idle.
        """
        for seat in islice(holders.all, _LOOKED_AT):
            if seat.takes_work and seat.is_free_within(seconds, now):
                return False
        return True

    def _spare(self, family: Family, holders: Holders) -> float:
        """How many holders are left for what waits, while the others do what goes on coming."""
        return max(len(holders.all) - LASTING * self._popularity.wants(family, self._seats.busy), _FEWEST)
