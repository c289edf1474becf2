"""Which values of an open attribute are told apart: those that are seen most. Pure, and bounded whatever is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from heapq import nlargest

from comfymesh.telemetry.instrument import OTHER

_FOLLOWED = 4
"""So many times as many values as are told apart are followed, so that one can become a leader."""
_LOOK_AGAIN = 4096
"""Sightings after which leaders are chosen anew, and what was seen before counts half."""
_LONGEST = 128


class Leaders:
    """Chooses leaders among values as they are seen, by the space-saving algorithm of Metwally, Agrawal and El Abbadi.

    Whoever is a leader stays one until leaders are chosen anew, so a counter of the rest never goes back.

    Args:
        most: How many there are.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: dict[str, int] = {}
        self._leaders: set[str] = set()
        self._sightings = 0

    def __contains__(self, label: str) -> bool:
        return label == OTHER or label in self._leaders

    def label(self, value: str) -> str:
        """See a value; answers its beginning where it is a leader, `other` where it is not."""
        value = value[:_LONGEST]
        self._sightings += 1
        if self._sightings >= _LOOK_AGAIN:
            self._choose()
        count = self._seen.get(value)
        if count is None:
            count = self._make_room()
        self._seen[value] = count + 1
        if value in self._leaders:
            return value
        if len(self._leaders) < self._most:
            self._leaders.add(value)
            return value
        return OTHER

    def _make_room(self) -> int:
        """Forget the value that was seen least, if there are too many; answers what a new one inherits of it."""
        if len(self._seen) < self._most * _FOLLOWED:
            return 0
        least = min(self._seen, key=self._seen.__getitem__)
        return self._seen.pop(least)

    def _choose(self) -> None:
        self._sightings = 0
        self._leaders = set(nlargest(self._most, self._seen, key=self._seen.__getitem__))
        self._seen = {value: (count + 1) // 2 for value, count in self._seen.items()}


def largest(levels: Mapping[str, float], most: int, rest: Callable[[Iterable[float]], float]) -> dict[str, float]:
    """The largest levels by name, and what `rest` makes of all others, as `other`."""
    if len(levels) <= most:
        return {name[:_LONGEST]: level for name, level in levels.items()}
    chosen = nlargest(most, levels, key=lambda name: (levels[name], name))
    others = levels.keys() - set(chosen)
    return {**{name[:_LONGEST]: levels[name] for name in chosen}, OTHER: rest(levels[name] for name in others)}
