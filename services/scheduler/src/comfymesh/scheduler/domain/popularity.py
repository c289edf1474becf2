"""How much each model set is asked for, and what one more instance that holds it is good for.

Learned from what arrives, counted in arrivals and not in seconds: how busy the fleet is, is known anyway.
"""

from __future__ import annotations

from comfymesh.scheduler.domain.lanes import Family

MEMORY = 1_000.0
"""Arrivals after which what is remembered counts e times less."""
_LARGEST = 1e12
"""Newer arrivals weigh more instead of older ones less; beyond this all are scaled down again."""
_MOST_COPIES = 32
"""Of more instances that hold the same, one more or less makes no difference."""


class Popularity:
    """What was asked for lately."""

    def __init__(self) -> None:
        self._arrivals: dict[Family, float] = {}
        self._seconds: dict[Family, float] = {}
        self._weight = 1.0
        self._all_seconds = 0.0

    def saw(self, family: Family, run: float) -> None:
        """A task of this family has arrived that takes `run` seconds."""
        self._weight *= 1 + 1 / MEMORY
        self._arrivals[family] = self._arrivals.get(family, 0.0) + self._weight
        self._seconds[family] = self._seconds.get(family, 0.0) + self._weight * run
        self._all_seconds += self._weight * run
        if self._weight > _LARGEST:
            self._scale_down()

    def forget(self, family: Family) -> None:
        """No task of this family is known any more."""
        self._arrivals.pop(family, None)
        self._all_seconds -= self._seconds.pop(family, 0.0)

    def wants(self, family: Family, busy: int) -> float:
        """How many instances a family keeps busy on average, of so many that are: its part of the seconds asked for."""
        if self._all_seconds <= 0:
            return 0.0
        return busy * self._seconds.get(family, 0.0) / self._all_seconds

    def saves(self, family: Family, copies: int, busy: int) -> float:
        """How many loads for each arrival, of whatever family, the last of so many instances that hold a family saves.

        Args:
            family: Whose models they hold.
            copies: How many instances hold them.
            busy: How many instances of the fleet are busy; the family keeps its part of those.
        """
        asked = self.wants(family, busy)
        part = self._arrivals.get(family, 0.0) / (self._weight * MEMORY)
        copies = min(copies, _MOST_COPIES)
        return part * (_all_busy(copies - 1, asked) - _all_busy(copies, asked))

    def _scale_down(self) -> None:
        for kept in (self._arrivals, self._seconds):
            for family in kept:
                kept[family] /= self._weight
        self._all_seconds /= self._weight
        self._weight = 1.0


def _all_busy(servers: int, asked: float) -> float:
    """The chance that an arrival finds all of its servers busy, if `asked` of them are wanted on average (Erlang B)."""
    chance = 1.0
    for number in range(1, servers + 1):
        chance = asked * chance / (number + asked * chance)
    return chance
