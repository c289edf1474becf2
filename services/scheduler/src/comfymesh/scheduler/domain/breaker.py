"""Circuit breakers: an instance at which task after task fails through no fault of theirs gets no more for a while.

A breaker opens after failures of so many different tasks in a row. Those of one graph that never succeeded anywhere
count as one: a graph that brings down whatever runs it is to blame, however often it is sent. When a breaker's time
is over, one attempt at a time may try the instance; a success closes it, another such failure opens it for longer.
The agent has its own ways of healing an instance; this is for what those do not see or do not mend.

At most half of the instances of a pool that serve are kept from tasks at the same time: where most of them fail it is
not they who are to blame, and with nowhere else to go tasks had better try. Those beyond that get one attempt at a
time, for as long as there are too many of them.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping
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

LONGEST = 60.0
"""Seconds after which an instance is tried again at the latest, or `breaker_seconds`: a trial costs one attempt."""
_MOST = 10_000


@dataclass(slots=True)
class _Breaker:
    """What is known of one instance.

    Attributes:
        failed: Different tasks that failed in a row; graphs, where they may be to blame.
        opened: How often it has opened in a row.
        until: Until when it is open, seconds since the epoch; 0 before it opens first.
    """

    failed: set[Key | str] = field(default_factory=set)
    opened: int = 0
    until: float = 0.0


class Breakers:
    """A breaker for each instance at which something has failed since it last succeeded."""

    def __init__(self, seats: Seats) -> None:
        self._seats = seats
        self._settings = PolicySettings()
        self._known: dict[Place, _Breaker] = {}
        self._due: list[tuple[float, str, str]] = []
        self._barred: dict[Place, None] = {}
        self._spared: dict[Place, None] = {}
        self._looked_at = 0
        self._working: dict[str, None] = {}

    def set(self, settings: PolicySettings) -> None:
        """Other settings hold. What is open stays so, unless there are to be no breakers."""
        self._settings = settings
        if not settings.breaker_failures:
            for place in list(self._known):
                self._close(place)

    def ended(self, run: Run, now: float, *, live: bool) -> None:
        """An attempt has ended somewhere: just now, where it is told `live`, by whatever clock its node goes."""
        if run.succeeded:
            self._close(run.place)
            self._works(run.shape)
        elif run.failure in OF_THE_INSTANCE and self._settings.breaker_failures:
            self._failed(run, now if live else min(run.time, now), now)

    def _works(self, shape: str) -> None:
        if shape and shape not in self._working:
            if len(self._working) >= _MOST:
                del self._working[next(iter(self._working))]
            self._working[shape] = None

    def wake(self, now: float) -> None:
        """Let instances be tried whose time has come, and spare as many as it takes of a pool that would be closed."""
        while self._due and self._due[0][0] <= now:
            until, *names = heapq.heappop(self._due)
            place = Place(*names)
            breaker = self._known.get(place)
            if breaker is not None and breaker.until == until:
                self._stand(place, breaker, now)
        pools = self._seats.pools
        if pools.version != self._looked_at:
            for pool in list(pools.crowded):
                self._spare(pool, now)
            self._bar_again(now)
            self._looked_at = pools.version

    def seen(self, node: str, instances: Iterable[str], now: float) -> None:
        """A node reports these instances, some of which may have been away."""
        if not self._known:
            return
        for name in instances:
            place = Place(node, name)
            if (breaker := self._known.get(place)) is not None and breaker.opened:
                self._stand(place, breaker, now)

    def open(self, now: float) -> Mapping[Place, float]:
        """Instances that get nothing at `now`, and until when."""
        return {place: self._known[place].until for place in self._barred if self._known[place].until > now}

    def _failed(self, run: Run, ended: float, now: float) -> None:
        breaker = self._known.get(run.place)
        if breaker is None:
            if len(self._known) >= _MOST:
                self._close(next(iter(self._known)))
            breaker = self._known[run.place] = _Breaker()
        if ended < breaker.until and run.place not in self._spared:
            return  # It had begun before the breaker opened, and says nothing new.
        known_to_work = not run.shape or run.shape in self._working
        breaker.failed.add(run.key if known_to_work else run.shape)
        if breaker.opened or len(breaker.failed) >= self._settings.breaker_failures:
            breaker.opened += 1
            wait = self._settings.breaker_seconds * 2.0 ** min(breaker.opened - 1, 20)
            breaker.until = ended + min(wait, max(LONGEST, self._settings.breaker_seconds))
            breaker.failed.clear()
            heapq.heappush(self._due, (breaker.until, run.place.node, run.place.instance))
            self._spared.pop(run.place, None)
            self._stand(run.place, breaker, now)

    def _stand(self, place: Place, breaker: _Breaker, now: float) -> None:
        """What an instance gets: nothing, or one attempt at a time."""
        if breaker.until <= now:
            self._spared.pop(place, None)
        if breaker.until > now and place not in self._spared:
            self._barred[place] = None
            self._seats.allow(place, 0, breaker.until)
        else:
            self._barred.pop(place, None)
            self._seats.allow(place, 1)

    def _spare(self, pool: str, now: float) -> None:
        """Let those be tried whose time would come first, until no more than half of a pool is barred."""
        for place in sorted(self._of(pool, self._barred), key=lambda place: self._known[place].until):
            if pool not in self._seats.pools.crowded:
                return
            self._spared[place] = None
            self._stand(place, self._known[place], now)

    def _bar_again(self, now: float) -> None:
        """There may be others to go to by now."""
        for place in sorted(self._spared, key=lambda place: -self._known[place].until):
            seat = self._seats.known(place)
            if seat is not None and seat.counted and self._seats.pools.has_room(seat.counted[0]):
                self._spared.pop(place, None)
                self._stand(place, self._known[place], now)

    def _of(self, pool: str, places: Iterable[Place]) -> Iterator[Place]:
        for place in places:
            seat = self._seats.known(place)
            if seat is not None and seat.counted is not None and seat.counted[0] == pool:
                yield place

    def _close(self, place: Place) -> None:
        if self._known.pop(place, None) is not None:
            self._barred.pop(place, None)
            self._spared.pop(place, None)
            self._seats.allow(place, math.inf)
