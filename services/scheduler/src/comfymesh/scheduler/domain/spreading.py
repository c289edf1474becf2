"""When one more instance should load what others hold already."""

from __future__ import annotations

import math
from itertools import islice

from comfymesh.scheduler.domain.estimates import Estimates
from comfymesh.scheduler.domain.lanes import Family, Lane, Waiting
from comfymesh.scheduler.domain.popularity import Popularity
from comfymesh.scheduler.domain.residents import Holders
from comfymesh.scheduler.domain.seats import Seats
from comfymesh.tasks.policy import PolicySettings

PATIENCE = 3.0
"""While instances idle, a task may wait for a warm one for so many times as long as FIFO would have kept it, its turn
and its load included. At 1 few are late, and there are more loads."""
LASTING = 0.75
"""The part of what a family is asked for that is counted on to go on: for so much of it a copy has work for long."""
_FEWEST = 0.1
"""However much a family is asked for, what waits has to be so many times `spread_after` loads long."""
_LOOKED_AT = 64
"""Holders among which the first to be free is looked for."""


class Spreading:
    """Decides whether what waits for a family's models pays for a load."""

    def __init__(self, seats: Seats, estimates: Estimates, popularity: Popularity) -> None:
        self._seats = seats
        self._estimates = estimates
        self._popularity = popularity

    def pays(self, family: Family, lanes: list[Lane], settings: PolicySettings, now: float) -> bool:
        """Whether one more instance should hold them.

        It should where nobody holds them; where those who do will not have done what waits, and what goes on coming,
        within `spread_after` loads; and, while instances idle, where a task would have to wait for a warm one for too
        long, compared with FIFO.
        """
        holders = self._seats.holders(family)
        if not holders.all:
            return True
        begun = max(holders.until - now * (len(holders.all) - len(holders.free)), 0.0)
        backlog = family.runs + begun
        if backlog > self._spare(family, holders) * settings.spread_after * self._estimates.price(family.models):
            return True
        if not self._seats.idle:
            return False
        heads = [head for lane in lanes if (head := lane.head()) is not None]
        return self._too_long(heads, holders, backlog, self._estimates.loads(family.models), now)

    def _too_long(self, heads: list[Waiting], holders: Holders, backlog: float, load: float, now: float) -> bool:
        """Whether one of these would wait too long, for its turn or until the first holder is free.

        Few would. So holders are looked at until one is free so soon that none would: this is much of a decision
        while instances idle.
        """
        servers = len(holders.all)
        turn = backlog / servers
        endured = math.inf
        for head in heads:
            longest = max(load, PATIENCE * (head.fifo - head.created - head.run) + head.created - now)
            if turn - head.run / servers > longest:
                return True
            if longest < endured:  # noqa: PLR1730  # a call costs more
                endured = longest
        bearable = now + endured
        for seat in islice(holders.all, _LOOKED_AT):  # noqa: SIM110  # a generator costs more
            if not seat.taken or seat.until <= bearable:
                return False
        return True

    def _spare(self, family: Family, holders: Holders) -> float:
        """How many holders are left for what waits, while the others do what goes on coming."""
        return max(len(holders.all) - LASTING * self._popularity.wants(family, self._seats.busy), _FEWEST)
