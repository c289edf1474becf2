"""Circuit breakers: an instance at which task after task fails through no fault of theirs gets no more for a while.

A breaker opens after failures of so many different tasks in a row. When its time is over, one attempt at a time may try
the instance; a success closes the breaker, another such failure opens it for twice as long. The agent has its own ways
of healing an instance; this is for what those do not see or do not mend.

At most half of the instances are kept from tasks at the same time: where most of them fail it is not they who are to
blame, and with nowhere else to go tasks had better try. Those beyond that get one attempt at a time.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from comfymesh.scheduler.domain.events import Run
from comfymesh.scheduler.domain.fleet import Place
from comfymesh.scheduler.domain.seats import Seats
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.policy import PolicySettings
from comfymesh.tasks.record import Key

OF_THE_INSTANCE = frozenset(
    {
        FailureClass.DEVICE_FAULT,
        FailureClass.INSTANCE_LOST,
        FailureClass.NODE_LOST,
        FailureClass.STALLED,
        FailureClass.OUTPUT_LOST,
        FailureClass.INTERNAL,
    }
)
"""Failures that say something of the instance, or of its node, rather than of the graph."""

LONGEST = 600.0
"""Seconds after which an instance is tried again at the latest."""
_MOST = 10_000


@dataclass(slots=True)
class _Breaker:
    """What is known of one instance.

    Attributes:
        failed: Different tasks that failed in a row.
        opened: How often it has opened in a row.
        until: Until when it is open, seconds since the epoch; 0 before it opens first.
    """

    failed: set[Key] = field(default_factory=set)
    opened: int = 0
    until: float = 0.0


class Breakers:
    """A breaker for each instance at which something has failed since it last succeeded."""

    def __init__(self, seats: Seats) -> None:
        self._seats = seats
        self._settings = PolicySettings()
        self._known: dict[Place, _Breaker] = {}
        self._due: list[tuple[float, str, str]] = []
        self._barred: set[Place] = set()

    def set(self, settings: PolicySettings) -> None:
        """Other settings hold. What is open stays so, unless there are to be no breakers."""
        self._settings = settings
        if not settings.breaker_failures:
            for place in list(self._known):
                self._close(place)

    def ended(self, run: Run, now: float) -> None:
        """An attempt has ended somewhere."""
        if run.succeeded:
            self._close(run.place)
        elif run.failure in OF_THE_INSTANCE and self._settings.breaker_failures:
            self._failed(run, now)

    def wake(self, now: float) -> None:
        """Let instances be tried whose time has come."""
        while self._due and (self._due[0][0] <= now or 2 * len(self._barred) > len(self._seats)):
            until, *names = heapq.heappop(self._due)
            place = Place(*names)
            breaker = self._known.get(place)
            if breaker is not None and breaker.until == until:
                breaker.until = min(until, now)
                self._try(place)

    def seen(self, node: str, instances: Iterable[str], now: float) -> None:
        """A node reports these instances, some of which may have been away."""
        if not self._known:
            return
        for name in instances:
            place = Place(node, name)
            if (breaker := self._known.get(place)) is not None and breaker.opened:
                self._bar(place, breaker, now)

    def open(self, now: float) -> Mapping[Place, float]:
        """Instances that get nothing at `now`, and until when."""
        return {place: breaker.until for place, breaker in self._known.items() if breaker.until > now}

    def _failed(self, run: Run, now: float) -> None:
        breaker = self._known.get(run.place)
        if breaker is None:
            if len(self._known) >= _MOST:
                self._close(next(iter(self._known)))
            breaker = self._known[run.place] = _Breaker()
        if run.time < breaker.until:
            return  # It had begun before the breaker opened, and says nothing new.
        breaker.failed.add(run.key)
        if breaker.opened or len(breaker.failed) >= self._settings.breaker_failures:
            breaker.opened += 1
            wait = self._settings.breaker_seconds * 2.0 ** min(breaker.opened - 1, 20)
            breaker.until = run.time + min(wait, max(LONGEST, self._settings.breaker_seconds))
            breaker.failed.clear()
            self._bar(run.place, breaker, now)

    def _bar(self, place: Place, breaker: _Breaker, now: float) -> None:
        if breaker.until > now:
            heapq.heappush(self._due, (breaker.until, place.node, place.instance))
            self._barred.add(place)
            self._seats.allow(place, 0, breaker.until)
        else:
            self._try(place)

    def _try(self, place: Place) -> None:
        self._barred.discard(place)
        self._seats.allow(place, 1)

    def _close(self, place: Place) -> None:
        if self._known.pop(place, None) is not None:
            self._barred.discard(place)
            self._seats.allow(place, math.inf)
