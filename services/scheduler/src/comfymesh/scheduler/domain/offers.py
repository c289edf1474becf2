"""Tasks that were offered to an instance and are not claimed yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from comfymesh.scheduler.domain.fleet import Place, Report
from comfymesh.tasks.record import Key


@dataclass(frozen=True, slots=True)
class _Offer:
    place: Place
    made: float


class Offers:
    """At most one offer a task; the oldest comes first. A report looks at those to its node alone."""

    def __init__(self) -> None:
        self._offers: dict[Key, _Offer] = {}
        self._to_node: dict[str, dict[Key, None]] = {}

    def __iter__(self) -> Iterator[Key]:
        return iter(self._offers)

    def place(self, key: Key) -> Place | None:
        """Where a task is offered."""
        offer = self._offers.get(key)
        return offer.place if offer else None

    def make(self, key: Key, place: Place, now: float) -> None:
        """Offer a task to an instance, and to no other any more."""
        self.withdraw(key)
        self._offers[key] = _Offer(place, now)
        self._to_node.setdefault(place.node, {})[key] = None

    def withdraw(self, key: Key) -> None:
        """The task is not offered any more, if it was."""
        if (offer := self._offers.pop(key, None)) is None:
            return
        keys = self._to_node[offer.place.node]
        del keys[key]
        if not keys:
            del self._to_node[offer.place.node]

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
        return list(self._to_node.get(node, ()))

    def unwelcome(self, report: Report, *, restarted: bool) -> list[Key]:
        """Offers that a node will not take up: it has lost them, takes no work, or the instance does not serve."""
        keys = self.of_node(report.node)
        return [key for key in keys if restarted or not report.welcomes(self._offers[key].place.instance)]
