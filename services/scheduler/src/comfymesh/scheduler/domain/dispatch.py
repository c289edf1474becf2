"""Which task goes to which instance next.

Two things make that a question: an instance gets room, or a task arrives while some have room. The first takes the
task of the greatest worth; where it would have to load for it, loading is part of the price. The second goes to an
instance that holds its models; where all of those are busy it waits for one, until what waits there pays for a load.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import chain, islice

from comfymesh.scheduler.domain.estimates import Estimates
from comfymesh.scheduler.domain.lanes import Family, Group, Lane, Waiting
from comfymesh.scheduler.domain.placement import Feasibility
from comfymesh.scheduler.domain.seats import Seat, Seats
from comfymesh.scheduler.domain.worth import best_batch, weight
from comfymesh.tasks.placing import unmet
from comfymesh.tasks.policy import PolicySettings
from comfymesh.tasks.record import Key, Placement

_REVIEWED = 8
"""Families whose worth is looked at again for each decision: all of them in turn, so that none costs a pause."""
_COMPARED = 4
"""Families of the greatest worth that a decision looks at exactly."""
_LOOKED_AT = 16
"""Instances with room among which one is chosen. Those that have had it for longest come first."""
_ANYWHERE = Placement()
_PRIORITIES = 12
"""Steps of priority that make a difference, up and down."""

_AGES = 1e10
"""Seconds that no task is older than."""

Match = tuple[float, Waiting, Seat]


class Dispatcher:
    """Brings tasks that wait and instances that have room together."""

    def __init__(self, seats: Seats, estimates: Estimates, feasibility: Feasibility) -> None:
        self.settings = PolicySettings()
        self._seats = seats
        self._estimates = estimates
        self._feasibility = feasibility
        self._standing: dict[Family, None] = {}
        self._fresh: dict[Family, None] = {}
        self._patient: dict[Family, None] = {}
        self._ranking: list[Family] = []

    def add(self, task: Waiting) -> None:
        """A task waits. It goes elsewhere than where it was `shunned`, if it can."""
        task.group.add(task)
        self._standing.setdefault(task.group.family)
        self._fresh[task.group.family] = None

    def remove(self, task: Waiting) -> None:
        """A task waits no more."""
        task.group.remove(task)

    def look_again(self) -> None:
        """What an instance can run has changed: look at everything again."""
        self._fresh.update(self._standing)

    def next(self, now: float) -> Iterator[tuple[Waiting, Seat]]:
        """Tasks and the instances that should have them, one after the other; each is out of the queue by then."""
        if self._seats.changed:
            self._review(now)
        self._fresh.update(islice(self._patient.items(), _COMPARED))
        if not self._seats.idle:
            self._seats.changed.update(islice(self._seats.ahead.items(), _COMPARED))
        while (match := self._next(now)) is not None:
            _, task, seat = match
            self.remove(task)
            yield task, seat

    def _next(self, now: float) -> Match | None:
        changed = self._seats.changed
        while changed:
            seat = next(iter(changed))
            if (match := self._for_seat(seat, now)) is not None:
                return self._elsewhere(match)
            del changed[seat]
        if not self._seats.idle and not self._seats.ahead:
            self._fresh.clear()
        while self._fresh:
            family = next(iter(self._fresh))
            if (match := self._for_family(family, now)) is not None:
                return self._elsewhere(match)
            del self._fresh[family]
        return None

    # An instance has room

    def _for_seat(self, seat: Seat, now: float) -> Match | None:
        """The best task for an instance that has room."""
        if not seat.has_room or (seat.taken and self._seats.idle):
            return None
        own = [family for family in self._at_home(seat) if family.count]
        matches = (self._best_held(family, seat, now) for family in own)
        best = max((match for match in matches if match), key=_order, default=None)
        if not self.settings.affinity:
            return best
        bar = best[0] * (1 + self.settings.stay) if best else 0.0
        for family in self._ranking[:_COMPARED]:
            if family.count and family not in seat.families and family.models:
                worth = self._worth_of_loading(family, seat, now)
                if worth > bar and (match := self._best_held(family, seat, now)) is not None:
                    best, bar = match, worth
        return best

    def _worth_of_loading(self, family: Family, seat: Seat, now: float) -> float:
        """The worth of a second of this instance, should it load a family's models; 0 where it should not."""
        holders = self._seats.holders(family)
        if holders.free or (holders.all and not self._pays(family, now)):
            return 0.0
        lanes = ((self._factor(lane), lane) for lane in family.lanes() if self._fits(lane.group, seat))
        missing = [model for model in family.models if model not in seat.resident]
        load = self._estimates.loads(missing) + self._loss(seat)
        return best_batch(lanes, self.settings.load_aversion * load, len(holders.all) + 1, now)

    def _loss(self, seat: Seat) -> float:
        """Seconds that will have to be spent to load again what an instance gives up, and nobody else holds."""
        lost = [family.models for family in seat.families if family.count and len(self._seats.holders(family).all) == 1]
        return max(map(self._estimates.loads, lost), default=0.0)

    # A task has come

    def _for_family(self, family: Family, now: float) -> Match | None:
        """A place for the best task of a family, if it should have one now."""
        self._patient.pop(family, None)
        if not family.count:
            return None
        holders = self._seats.holders(family)
        candidates = holders.free if family.models and self.settings.affinity else self._seats.idle
        match = self._at_one_of(family, candidates, now)
        if match is None and family.models and (not holders.all or self._pays(family, now)):
            match = self._at_one_of(family, self._seats.idle, now)
        if match is None and self._seats.ahead:
            match = self._at_one_of(family, dict.fromkeys(self._ahead(family)), now)
        if match is None and self._seats.idle:
            self._patient[family] = None
        return match

    def _ahead(self, family: Family) -> Iterator[Seat]:
        """Busy instances that could take one of its tasks for later. None is given a foreign one while others idle."""
        for seat in islice(self._seats.ahead, _LOOKED_AT):
            if not self._seats.idle or not family.models or family in seat.families:
                yield seat

    def _at_one_of(self, family: Family, seats: dict[Seat, None], now: float) -> Match | None:
        """The best task of a family, at the instance where it is done first; of several such the least useful one."""
        matches = (self._best_held(family, seat, now) for seat in islice(seats, _LOOKED_AT))
        found = (match for match in matches if match is not None)
        return min(found, default=None, key=lambda match: self._cost(match[1], match[2], now))

    def _cost(self, task: Waiting, seat: Seat, now: float) -> tuple[bool, float, float, str, str]:
        family = task.group.family
        shunned = seat.place in task.shunned
        lacking = [model for model in task.needs if model not in seat.resident]
        finish = max(seat.until - now, 0.0) * (seat.taken > 0) + self._estimates.loads(lacking)
        finish += task.run * self._estimates.speed(seat.gpu_class)
        use = 0.0
        if family not in seat.families:
            use = sum(1 / len(self._seats.holders(other).all) for other in seat.families)
        return (shunned, round(use, 3) + seat.taken, round(finish, 3), seat.place.node, seat.place.instance)

    # Both

    def _best_held(self, family: Family, seat: Seat, now: float) -> Match | None:
        """The task of a family that is worth most, were the family's models in place."""
        best: Match | None = None
        speed = self._estimates.speed(seat.gpu_class)
        for group in family.standing():
            if not self._fits(group, seat):
                continue
            patch = self._estimates.loads(model for model in group.extras if model not in seat.resident)
            for lane in group.standing():
                head = lane.head()
                if head is not None:
                    worth = self._worth(lane, head, head.run * speed + patch, now)
                    if best is None or worth > best[0] or (worth == best[0] and head < best[1]):
                        best = (worth, head, seat)
        return best

    def _pays(self, family: Family, now: float) -> bool:
        """Whether what waits for a family's models pays for one more instance that loads them."""
        holders = self._seats.holders(family)
        load = self._estimates.loads(family.models)
        busy = max(holders.until - now * (len(holders.all) - len(holders.free)), 0.0)
        backlog = sum(lane.runs for lane in family.lanes())
        wait = (backlog + busy) / len(holders.all)
        # While more than half of the fleet has nothing to do, its time is cheap.
        scarce = min(1.0, 2 - 2 * len(self._seats.idle) / len(self._seats))
        return wait > self.settings.spread_after * scarce**4 * load

    def _fits(self, group: Group, seat: Seat) -> bool:
        if seat.instance is None or not self._feasibility.can_run(seat.instance.catalog, group.requirements):
            return False
        placement = group.requirements.placement
        return placement == _ANYWHERE or not any(unmet(placement, seat.site))

    def _worth(self, lane: Lane, head: Waiting, seconds: float, now: float) -> float:
        if self.settings.affinity:
            return self._factor(lane) * weight(head, now) / seconds
        return lane.priority * _AGES - head.created

    def _factor(self, lane: Lane) -> float:
        steps = max(-_PRIORITIES, min(lane.priority, _PRIORITIES))
        return float(self.settings.priority_factor**steps)

    def _at_home(self, seat: Seat) -> Iterator[Family]:
        """Families whose tasks need nothing that an instance does not hold; without affinity that does not matter."""
        if not self.settings.affinity:
            return iter(self._standing)
        return chain(seat.families, (family for family in self._standing if not family.models))

    def _elsewhere(self, match: Match) -> Match:
        """A task that has failed there goes to another instance that has room, if there is one."""
        worth, task, seat = match
        if seat.place not in task.shunned:
            return match
        for other in islice((*self._seats.idle, *self._seats.ahead), _LOOKED_AT):
            if other.place not in task.shunned and self._fits(task.group, other):
                return (worth, task, other)
        return match

    def _review(self, now: float) -> None:
        """Look again at what some families are worth, those next that were not looked at for longest."""
        for family in list(islice(self._standing, _REVIEWED)):
            del self._standing[family]
            if not family.count:
                family.worth = 0.0
                continue
            self._standing[family] = None
            family.worth = self._worth_anywhere(family, now)
        self._ranking = heapq.nlargest(_COMPARED, self._standing, key=lambda family: family.worth)

    def _worth_anywhere(self, family: Family, now: float) -> float:
        lanes = ((self._factor(lane), lane) for lane in family.lanes())
        load = self.settings.load_aversion * self._estimates.loads(family.models)
        servers = len(self._seats.holders(family).all) + 1
        return best_batch(lanes, load, servers, now)


def _order(match: Match) -> tuple[float, float, Key]:
    worth, task, _ = match
    return (worth, -task.created, task.key)
