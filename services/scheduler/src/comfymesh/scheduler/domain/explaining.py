"""Puts into words why a task waits, and sums up what waits and runs."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from comfymesh.scheduler.domain.dispatch import Dispatcher
from comfymesh.scheduler.domain.events import TaskChanged
from comfymesh.scheduler.domain.filters import BREAKER, BUSY, STOPPED, TENANT_CAP, VRAM_IN_USE, Filters
from comfymesh.scheduler.domain.kinds import Kind
from comfymesh.scheduler.domain.lanes import Waiting
from comfymesh.scheduler.domain.offers import Offers
from comfymesh.scheduler.domain.outlook import Outlook
from comfymesh.scheduler.domain.queueing import WaitingTasks
from comfymesh.scheduler.domain.seat import Seat
from comfymesh.scheduler.domain.seats import Seats
from comfymesh.scheduler.domain.views import Estimate, Explanation, QueueOverview, Share
from comfymesh.tasks.record import Definition, Requirements

_TEMPORARY = (BUSY, STOPPED, VRAM_IN_USE)
_MOMENT = 1.0
_MOST_LOOKED_AT = 20_000


class Explainer:
    """Says why none of the instances takes a task now; each counts once, for the first unit that rules it out.

    Whoever needs the same is told the same for a moment, and no more instances are looked at within one than a
    scheduler with other things to do can afford.
    """

    def __init__(
        self,
        filters: Filters,
        seats: Seats,
        waiting: WaitingTasks,
        offers: Offers,
        dispatcher: Dispatcher,
        outlook: Outlook,
    ) -> None:
        self._filters = filters
        self._seats = seats
        self._waiting = waiting
        self._offers = offers
        self._dispatcher = dispatcher
        self._outlook = outlook
        self._known: dict[Requirements, Explanation] = {}
        self._since = 0.0
        self._looked_at = 0

    def explain(self, task: Waiting, now: float) -> Explanation:
        """Why a task waits at `now`, and where and when it is expected to run."""
        if self._waiting.is_put_off(task.key, now):
            return Explanation("it is put off for a while after its last attempt", 0)
        if self._waiting.at_cap(task):
            explanation = _at_cap(len(self._seats), self._waiting.tenant(task.key.tenant).running)
        else:
            explanation = self._of_instances(task.group.requirements, now)
        if explanation.stuck:
            return explanation
        offered, expected = self._offers.place(task.key), self._dispatcher.expected(task)
        warm = self._seats.known(expected) if expected and not offered else None
        one_would_take_it = sum(explanation.rejected.values()) < explanation.instances
        if one_would_take_it and warm is not None and not warm.has_room:
            explanation = replace(explanation, reason=_for_warm(warm))
        return replace(
            explanation,
            place=offered or expected,
            start=self._outlook.start(task, now),
            end=self._outlook.end(task, now),
        )

    def _of_instances(self, requirements: Requirements, now: float) -> Explanation:
        if not 0 <= now - self._since < _MOMENT:
            self._known.clear()
            self._since, self._looked_at = now, 0
        known = self._known.get(requirements)
        if known is not None:
            return known
        if self._looked_at > _MOST_LOOKED_AT:
            return Explanation("it waits for an instance; ask again for which", 0)
        known = self._known[requirements] = _explain(requirements, self._seats, self._filters)
        self._looked_at += known.instances
        return known


def _explain(requirements: Requirements, seats: Iterable[Seat], filters: Filters) -> Explanation:
    count, rejected, never, barred = 0, Counter[str](), dict[Kind, str](), math.inf
    fit = filters.asked(requirements)
    for seat in seats:
        if seat.kind is None:
            continue  # Its node does not report: there is nothing to say of it.
        count += 1
        if seat.kind not in never:
            never[seat.kind] = filters.why_not(fit, seat.kind)
        if name := never[seat.kind] or filters.why_not_now(fit, seat):
            rejected[name] += 1
            barred = min(barred, seat.barred_until) if name == BREAKER else barred
    stuck = rejected.total() == count and not any(rejected[name] for name in _TEMPORARY)
    return Explanation(_reason(count, rejected, barred), count, dict(rejected), stuck=stuck)


def _at_cap(count: int, running: int) -> Explanation:
    """A task waits whose tenant may have no more under way, whatever the `count` instances do."""
    reason = f"its tenant has {running} attempts under way, which is as many as it may have"
    return Explanation(reason, count, {TENANT_CAP: count})


def _reason(count: int, rejected: Counter[str], barred: float) -> str:
    if not count:
        return "no node reports"
    if rejected.total() < count:
        return "it is about to be given to an instance"
    if rejected[BUSY]:
        return f"every instance that could run it is busy ({rejected[BUSY]} of {count})"
    if rejected[STOPPED]:
        return f"every instance that could run it is stopped; their pools start one ({rejected[STOPPED]} of {count})"
    ruled_out = ", ".join(f"{number} {name}" for name, number in rejected.most_common())
    tried_again = f"; breaker open until {_clock(barred)}" if math.isfinite(barred) else ""
    return f"none of {count} instances can take it now: {ruled_out}{tried_again}"


def _for_warm(seat: Seat) -> str:
    place = f"{seat.place.node}/{seat.place.instance}"
    return f"it waits for {place}, which holds its models; instances that idle would have to load"


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S UTC")


class Summing:
    """Sums up what waits and runs, task by task."""

    def __init__(self) -> None:
        self._total = _Part()
        self._tenants: defaultdict[str, _Part] = defaultdict(_Part)
        self._priorities: defaultdict[int, _Part] = defaultdict(_Part)
        self._model_sets: defaultdict[tuple[str, ...], _Part] = defaultdict(_Part)

    def add(self, task: TaskChanged | Waiting) -> None:
        """Count a task in."""
        if isinstance(task, Waiting):
            begins = task.fifo - task.run if task.lane is not None else math.inf
            for part in self._parts(task.key.tenant, task.priority, task.needs):
                part.add(task, begins)
        else:
            definition = task.record.definition
            for part in self._parts(definition.key.tenant, definition.priority, _models(definition)):
                part.running += 1

    def _parts(self, tenant: str, priority: int, models: tuple[str, ...]) -> tuple[_Part, ...]:
        return self._total, self._tenants[tenant], self._priorities[priority], self._model_sets[models]

    def overview(self, start: Callable[[Waiting], Estimate | None]) -> QueueOverview:
        """What was counted so far; `start` answers when a task is expected to begin."""
        sets: defaultdict[tuple[str, ...], _Part] = defaultdict(_Part)
        for models, part in self._model_sets.items():
            sets[tuple(sorted(models))].merge(part)
        return QueueOverview(
            total=self._total.share(start),
            tenants={tenant: part.share(start) for tenant, part in self._tenants.items()},
            priorities={priority: part.share(start) for priority, part in self._priorities.items()},
            model_sets={models: part.share(start) for models, part in sets.items()},
        )


@dataclass(slots=True)
class _Part:
    waiting: int = 0
    running: int = 0
    oldest: float = math.inf
    first: tuple[float, Waiting | None] = (math.inf, None)

    def add(self, task: Waiting, begins: float) -> None:
        """One that waits, and when it would begin were all served as they came."""
        self.waiting += 1
        self.oldest = min(self.oldest, task.created)
        if begins < self.first[0]:
            self.first = begins, task

    def merge(self, other: _Part) -> None:
        self.waiting += other.waiting
        self.running += other.running
        self.oldest = min(self.oldest, other.oldest)
        self.first = min(self.first, other.first, key=lambda first: first[0])

    def share(self, start: Callable[[Waiting], Estimate | None]) -> Share:
        _, first = self.first
        oldest = self.oldest if self.waiting else None
        return Share(self.waiting, self.running, oldest, start(first) if first is not None else None)


def _models(definition: Definition) -> tuple[str, ...]:
    return tuple({model.name: None for model in definition.requirements.models})
