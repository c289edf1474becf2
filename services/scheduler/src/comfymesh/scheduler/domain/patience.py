"""Families that wait though instances idle: none of those suits them, or a warm one is worth waiting for.

They are looked at again in turn, but only those that an idle instance could run. The others are set aside until
instances of another kind idle: a crowd that waits for a pool that is busy costs nothing, and holds nobody up.
"""

from __future__ import annotations

from collections.abc import Callable

from comfymesh.scheduler.domain.kinds import Kind
from comfymesh.scheduler.domain.lanes import Family
from comfymesh.scheduler.domain.seats import Seats

_ASKED = 400
"""How often a decision asks whether a family could run on a kind of instances."""


class Patient:
    """Such families.

    Args:
        seats: The instances.
        fits: Whether tasks of a family can run on a kind of instances.
    """

    def __init__(self, seats: Seats, fits: Callable[[Family, Kind], bool]) -> None:
        self._seats = seats
        self._fits = fits
        self._in_line: dict[Family, None] = {}
        self._aside: dict[Family, None] = {}
        self._version = (0, 0)

    def __len__(self) -> int:
        return len(self._in_line) + len(self._aside)

    def add(self, family: Family) -> None:
        """It waits, and has been looked at."""
        if family not in self._aside:
            self._in_line[family] = None

    def discard(self, family: Family) -> None:
        """It does not wait, or is looked at."""
        self._in_line.pop(family, None)
        self._aside.pop(family, None)

    def in_turn(self, count: int) -> list[Family]:
        """So many of them at most that could run on instances that idle, those first that have waited for longest."""
        self._recall()
        kinds = list(self._seats.idle_kinds)
        found: list[Family] = []
        unfit: list[Family] = []
        asked = 0
        for family in self._in_line:
            if len(found) >= count or asked >= _ASKED:
                break
            fitting = next((number for number, kind in enumerate(kinds, 1) if self._fits(family, kind)), 0)
            asked += max((fitting or len(kinds)) * len(family.lanes), 1)
            (found if fitting else unfit).append(family)
        for family in unfit:
            del self._in_line[family]
            self._aside[family] = None
        return found

    def _recall(self) -> None:
        """Other kinds of instances idle, or can run other things than before: those set aside may have a chance."""
        version = (self._seats.kinds.version, self._seats.idle_kinds_version)
        if version != self._version:
            self._version = version
            self._in_line.update(self._aside)
            self._aside.clear()
