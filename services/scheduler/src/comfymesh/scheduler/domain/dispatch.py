"""Which task goes to which instance next.

Two things make that a question: an instance gets room, or a task arrives while some have room. The first takes the
task of the greatest worth; where it would have to load for it, loading is part of the price. The second goes to an
instance that holds its models; where all of those are busy it waits for one, until what waits there pays for a load.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from comfymesh.scheduler.domain.estimates import Estimates
from comfymesh.scheduler.domain.filters import Filters
from comfymesh.scheduler.domain.fleet import Place
from comfymesh.scheduler.domain.kinds import Kind
from comfymesh.scheduler.domain.lanes import Family, Group, Lane, Waiting
from comfymesh.scheduler.domain.patience import Patient
from comfymesh.scheduler.domain.popularity import Popularity
from comfymesh.scheduler.domain.residents import Holders
from comfymesh.scheduler.domain.seat import Seat
from comfymesh.scheduler.domain.seats import Seats
from comfymesh.scheduler.domain.spreading import Spreading
from comfymesh.scheduler.domain.usefulness import LOOKED_AT, Match, Usefulness
from comfymesh.scheduler.domain.worth import best_batch, weight
from comfymesh.tasks.policy import PolicySettings
from comfymesh.tasks.record import Key

_REVIEWED = 8
"""Families whose worth is looked at again for each decision: all of them in turn, so that none costs a pause."""
_COMPARED = 4
"""Families of the greatest worth that a decision looks at exactly."""
_RANKED = 64
"""Families of the greatest worth that are kept in mind: some of them may not fit where there is room."""
_FITS_ASKED = 1_000
"""How often it is asked, to find those, whether a task fits an instance."""
_LANES_ASKED = 8
"""Lanes of a family that are asked whether they fit a kind of instances that idle."""
_PRIORITIES = 12
"""Steps of priority that make a difference, up and down."""

_AGES = 1e10
"""Seconds that no task is older than."""

_PATCH_AVERSION = 10.0
"""A second of patching is priced like so many of running: the next task with the same patches may save it."""


class Dispatcher:
    """Brings tasks that wait and instances that have room together."""

    def __init__(self, seats: Seats, estimates: Estimates, filters: Filters) -> None:
        self.settings = PolicySettings()
        self._seats = seats
        self._estimates = estimates
        self._filters = filters
        self._popularity = Popularity()
        self._usefulness = Usefulness(seats, estimates, self._popularity)
        self._spreading = Spreading(seats, estimates, self._popularity)
        self._standing: dict[Family, None] = {}
        self._fresh: dict[Family, None] = {}
        self._patient = Patient(seats, self._can_run_on)
        self._ranking: list[Family] = []
        self._without_models: dict[Family, None] = {}

    def add(self, task: Waiting) -> None:
        """A task waits. It goes elsewhere than where it was `shunned`, if it can."""
        family = task.group.family
        self._seats.meet(family)
        self._filters.fit(task.group)  # That it needs much memory should be known before it is passed over.
        task.group.add(task)
        self._popularity.saw(family, task.run)
        self._standing.setdefault(family)
        if not family.models:
            self._without_models[family] = None
        self._fresh[family] = None

    def remove(self, task: Waiting) -> None:
        """A task waits no more."""
        task.group.remove(task)

    def forget_group(self, group: Group) -> None:
        """No task of this group is known any more."""
        self._filters.forget(group)

    def forget(self, family: Family) -> None:
        """No task of this family is known any more."""
        for kept in (self._standing, self._fresh, self._without_models):
            kept.pop(family, None)
        self._patient.discard(family)
        if family in self._ranking:
            self._ranking.remove(family)
        self._popularity.forget(family)
        self._seats.forget(family)

    def look_again(self) -> None:
        """What an instance can run has changed, or the policy: look at everything again."""
        self._fresh.update(self._standing)

    def next(self, now: float, *, in_turn: bool) -> Iterator[tuple[Waiting, Seat]]:
        """Tasks and the instances that should have them, one after the other; each is out of the queue by then.

        What has changed is looked at, and with `in_turn` also some of what has not: time passes.
        """
        if self._seats.changed:
            self._review(now)
        self._fresh.update(self._seats.left)
        self._seats.left.clear()
        if in_turn and self._seats.idle:
            self._fresh.update(dict.fromkeys(self._patient.in_turn(_COMPARED)))
        elif in_turn:
            self._seats.changed.update(dict.fromkeys(_turn(self._seats.ahead, _COMPARED)))
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
            for family in self._fresh:
                self._patient.add(family)
            self._fresh.clear()
        while self._fresh:
            family = next(iter(self._fresh))
            if (match := self._for_family(family, now)) is not None:
                return self._elsewhere(match)
            del self._fresh[family]
        return None

    def expected(self, task: Waiting) -> Place | None:
        """Where a task may run that waits for its models: of those that hold them, who will be done first."""
        holders = self._seats.holders(task.group.family)
        fitting = (seat for seat in holders.all if seat.takes_work and self._fits(task.group, seat))
        soonest = min(islice(fitting, LOOKED_AT), key=lambda seat: (seat.until, seat.place.node), default=None)
        return soonest.place if soonest else None

    # An instance has room

    def _for_seat(self, seat: Seat, now: float) -> Match | None:
        """The best task for an instance that has room."""
        if not seat.has_room or (seat.taken and self._seats.idle):
            return None
        own = [family for family in self._at_home(seat) if family.count]
        matches = (self._best_held(self._lanes(family), seat, now) for family in own)
        best = max((match for match in matches if match), key=_order, default=None)
        if not self.settings.affinity:
            return best
        bar = best[0] * (1 + self.settings.stay) if best else 0.0
        foreign = (f for f in self._ranking if f.count and f.models and f not in seat.families)
        fitting = ((family, lanes) for family in foreign if (lanes := self._lanes_that_fit(family, seat)))
        for family, lanes in islice(fitting, _COMPARED):
            holders = self._seats.holders(family)
            served = holders.free or not self._spreading.pays(family, self.settings, now)
            eager = self._unserved(lanes, holders, math.inf, now) if served else lanes
            worth = self._worth_of_loading(family, eager, seat, now)
            if worth > bar and (match := self._best_held(eager, seat, now)) is not None:
                best, bar = match, worth
        return best

    def _worth_of_loading(self, family: Family, lanes: list[Lane], seat: Seat, now: float) -> float:
        """The worth of a second of this instance, should it load a family's models to serve these lanes."""
        missing = [model for model in family.models if model not in seat.resident]
        load = self.settings.load_aversion * (self._estimates.price(missing) + self._loss(seat))
        servers = len(self._seats.holders(family).all) + 1
        return best_batch(((self._factor(lane), lane) for lane in lanes), load, servers, now)

    def _loss(self, seat: Seat) -> float:
        """The price of loading again what an instance gives up, and nobody else holds."""
        lost = [family.models for family in seat.families if family.count and len(self._seats.holders(family).all) == 1]
        return max(map(self._estimates.price, lost), default=0.0)

    # A task has come

    def _for_family(self, family: Family, now: float) -> Match | None:
        """A place for the best task of a family, if it should have one now."""
        self._patient.discard(family)
        if not family.count:
            return None
        lanes = self._lanes(family)
        candidates = self._seats.holders(family).free if family.models and self.settings.affinity else self._seats.idle
        match = self._at_one_of(lanes, candidates, now)
        if match is None and family.models and self._seats.idle:
            match = self._at_idle(family, lanes, now)
        if match is None and self._seats.ahead:
            match = self._at_one_of(lanes, dict.fromkeys(self._ahead(family)), now)
        if match is None:
            self._patient.add(family)
        return match

    def _at_idle(self, family: Family, lanes: list[Lane], now: float) -> Match | None:
        """A place at an instance that idles and has to load, if one of a family's tasks should not wait for a warm one.

        It is the last in line for whom that pays first: those before it have a warm one sooner.
        """
        idle, spreading = self._seats.idle, self._spreading
        if spreading.pays(family, self.settings, now):
            return self._at_one_of(lanes, idle, now)
        last = family.newest()
        if (
            last is not None
            and spreading.saves(last, self.settings, now)
            and (match := self._for_task(last, now)) is not None
        ):
            return match
        soon = spreading.farthest(family)
        return self._at_one_of(self._unserved(lanes, self._seats.holders(family), soon, now), idle, now)

    def _ahead(self, family: Family) -> Iterator[Seat]:
        """Busy instances that could take one of its tasks for later. None is given a foreign one while others idle."""
        for seat in self._seats.ahead:
            if not self._seats.idle or not family.models or family in seat.families:
                yield seat

    def _at_one_of(self, lanes: list[Lane], seats: dict[Seat, None], now: float) -> Match | None:
        """The best task of these, at the instance where it is done first; of several such the least useful one."""
        if not lanes or not seats:
            return None
        reach = max(_FITS_ASKED // len(lanes), LOOKED_AT)
        return self._usefulness.least(self._best_at_each(lanes, _some(seats, reach), now), now)

    def _for_task(self, task: Waiting, now: float) -> Match | None:
        """A place for this very task at an instance that idles, the least useful one; not where it has failed."""
        seats = _some(self._seats.idle, _FITS_ASKED)
        fitting = (seat for seat in seats if seat.place not in task.shunned and self._fits(task.group, seat))
        return self._usefulness.least(((0.0, task, seat) for seat in fitting), now)

    def _best_at_each(self, lanes: list[Lane], seats: Iterable[Seat], now: float) -> Iterator[Match]:
        """The best task at each of these: at all that are alike it is the same, where nothing is patched in."""
        alike = not any(lane.group.extras for lane in lanes)
        best: dict[Kind | None, Match | None] = {}
        for seat in seats:
            if not alike or (seat.gpu is not None and not seat.gpu.open):
                match = self._best_held(lanes, seat, now)
            elif seat.kind in best:
                match = best[seat.kind]
            else:
                match = best[seat.kind] = self._best_held(lanes, seat, now)
            if match is not None:
                yield (match[0], match[1], seat)

    # Both

    def _lanes(self, family: Family) -> list[Lane]:
        """Lanes of a family that are looked at: without affinity all, to keep the order in which tasks came."""
        lanes = family.some_lanes() if self.settings.affinity else family.lanes
        return [lane for lane in lanes if self._filters.fit(lane.group).anywhere]

    def _lanes_that_fit(self, family: Family, seat: Seat) -> list[Lane]:
        return [lane for lane in self._lanes(family) if self._fits(lane.group, seat)]

    def _can_run_on(self, family: Family, kind: Kind) -> bool:
        """Whether one of its lanes fits there; of too many to ask one may."""
        if len(family.lanes) > _LANES_ASKED:
            return True
        return any(kind in self._filters.fit(lane.group) for lane in family.lanes)

    def _unserved(self, lanes: list[Lane], holders: Holders, seconds: float, now: float) -> list[Lane]:
        """Those of these lanes whose tasks can run at none that holds their models and is free in so many seconds."""
        groups = {lane.group: None for lane in lanes}
        served = {group: self._is_served(group, holders, seconds, now) for group in groups}
        return [lane for lane in lanes if not served[lane.group]]

    def _is_served(self, group: Group, holders: Holders, seconds: float, now: float) -> bool:
        looked_at = 0
        for seat in holders.all:
            if not seat.takes_work:
                continue
            if seat.is_free_within(seconds, now) and self._fits(group, seat):
                return True
            looked_at += 1
            if looked_at >= LOOKED_AT:
                break
        return False

    def _best_held(self, lanes: list[Lane], seat: Seat, now: float) -> Match | None:
        """The task in these lanes that is worth most, were its family's models in place."""
        best: Match | None = None
        speed = self._estimates.speed(seat.gpu_class)
        for lane in lanes:
            head = lane.head()
            if head is None or not self._fits(lane.group, seat):
                continue
            patch = self._estimates.loads(model for model in lane.group.extras if model not in seat.resident)
            worth = self._worth(lane, head, head.run * speed + _PATCH_AVERSION * patch, now)
            if best is None or worth > best[0] or (worth == best[0] and head.age < best[1].age):
                best = (worth, head, seat)
        return best

    def _fits(self, group: Group, seat: Seat) -> bool:
        return self._filters.passes(group, seat)

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
        return chain(seat.families, self._without_models)

    def _elsewhere(self, match: Match) -> Match:
        """A task that has failed there goes to another instance that has room, if there is one."""
        worth, task, seat = match
        if seat.place not in task.shunned:
            return match
        for other in islice(chain(self._seats.idle, self._seats.ahead), _FITS_ASKED):
            if other.place not in task.shunned and self._fits(task.group, other):
                return (worth, task, other)
        return match

    def _review(self, now: float) -> None:
        """Look again at what some families are worth, those next that were not looked at for longest."""
        ranking = dict.fromkeys(self._ranking)
        for family in list(islice(self._standing, _REVIEWED)):
            del self._standing[family]
            if family.count:
                self._standing[family] = ranking[family] = None
                family.worth = self._worth_anywhere(family, now)
        standing = (family for family in ranking if family.count)
        self._ranking = sorted(standing, key=lambda family: family.worth, reverse=True)[:_RANKED]

    def _worth_anywhere(self, family: Family, now: float) -> float:
        lanes = ((self._factor(lane), lane) for lane in self._lanes(family))
        load = self.settings.load_aversion * self._estimates.price(family.models)
        servers = len(self._seats.holders(family).all) + 1
        return best_batch(lanes, load, servers, now)


def _some(seats: dict[Seat, None], count: int) -> Iterable[Seat]:
    """All of these, or `count` of them in turn."""
    return seats if len(seats) <= count else _turn(seats, count)


def _turn(seats: dict[Seat, None], count: int) -> list[Seat]:
    """The first `count` of these, which are the last ones now: all have their turn, however many there are."""
    first = list(islice(seats, count))
    for seat in first:
        seats[seat] = seats.pop(seat)
    return first


def _order(match: Match) -> tuple[float, float, Key]:
    worth, task, _ = match
    return (worth, -task.created, task.key)
