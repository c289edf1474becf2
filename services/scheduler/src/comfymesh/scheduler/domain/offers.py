"""Tasks that were offered to an instance and are not claimed yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from comfymesh.scheduler.domain.fleet import Place, Report
from comfymesh.tasks.record import Key


@dataclass(frozen=True, slots=True)
class _Offer:
    place: Place
    made: float


class Offers:
    """At most one offer a task; the oldest comes first. Each takes up a slot of its instance."""

    def __init__(self) -> None:
        self._offers: dict[Key, _Offer] = {}
        self._count: Counter[Place] = Counter()

    def __iter__(self) -> Iterator[Key]:
        return iter(self._offers)

    def count(self, place: Place) -> int:
        """How many slots of an instance are taken up by offers."""
        return self._count[place]

    def make(self, key: Key, place: Place, now: float) -> None:
        """Offer a task to an instance, and to no other any more."""
        self.withdraw(key)
        self._offers[key] = _Offer(place, now)
        self._count[place] += 1

    def withdraw(self, key: Key) -> None:
        """The task is not offered any more, if it was."""
        if (offer := self._offers.pop(key, None)) is not None:
            self._count[offer.place] -= 1

    def made_before(self, moment: float) -> list[Key]:
        """Offers that are at least as old as `moment`."""
        found = []
        for key, offer in self._offers.items():
            if offer.made > moment:
                break
            found.append(key)
        return found

    def of_node(self, node: str) -> list[Key]:
        """Offers to a node."""
        return [key for key, offer in self._offers.items() if offer.place.node == node]

    def unwelcome(self, report: Report, *, restarted: bool) -> list[Key]:
        """Offers that a node will not take up: it has lost them, takes no work, or the instance does not serve."""
        return [
            key
            for key, offer in self._offers.items()
            if offer.place.node == report.node and (restarted or not report.welcomes(offer.place.instance))
        ]
