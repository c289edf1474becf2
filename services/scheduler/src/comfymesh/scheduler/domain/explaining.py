"""Puts into words why a task waits, and sums up what waits and runs."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from comfymesh.scheduler.domain.events import TaskChanged
from comfymesh.scheduler.domain.lanes import Waiting
from comfymesh.scheduler.domain.placement import FILTERS, Candidate, Feasibility, has_free_slot, is_running
from comfymesh.scheduler.domain.views import Explanation, QueueOverview, Share
from comfymesh.tasks.record import Definition, Requirements

_WORDS = {
    "is_open": "cordoned",
    "is_serving": "not_serving",
    "is_wanted": "placement",
    "has_free_slot": "busy",
    "is_running": "stopped",
}
_TEMPORARY = tuple(_WORDS[passes.__name__] for passes in (has_free_slot, is_running))
_LACKING = "requirements"
_MOMENT = 1.0
_MOST_LOOKED_AT = 20_000


class Explainer:
    """Says why none of the instances takes a task now; each counts once, for the first filter that rules it out.

    Whoever needs the same is told the same for a moment, and no more instances are looked at within one than a
    scheduler with other things to do can afford.
    """

    def __init__(self, feasibility: Feasibility) -> None:
        self._feasibility = feasibility
        self._known: dict[Requirements, Explanation] = {}
        self._since = 0.0
        self._looked_at = 0

    def explain(self, requirements: Requirements, candidates: Iterable[Candidate], now: float) -> Explanation:
        """Why a task with these requirements waits at `now`."""
        if not 0 <= now - self._since < _MOMENT:
            self._known.clear()
            self._since, self._looked_at = now, 0
        known = self._known.get(requirements)
        if known is not None:
            return known
        if self._looked_at > _MOST_LOOKED_AT:
            return Explanation("it waits for an instance; ask again for which", 0)
        known = self._known[requirements] = _explain(requirements, candidates, self._feasibility)
        self._looked_at += known.instances
        return known


def _explain(requirements: Requirements, candidates: Iterable[Candidate], feasibility: Feasibility) -> Explanation:
    count, rejected = 0, Counter[str]()
    for candidate in candidates:
        count += 1
        if not feasibility.can_run(candidate.instance.catalog, requirements):
            rejected[_LACKING] += 1
            continue
        for passes in FILTERS:
            if not passes(candidate, requirements):
                rejected[_WORDS[passes.__name__]] += 1
                break
    stuck = rejected.total() == count and not any(rejected[word] for word in _TEMPORARY)
    return Explanation(_reason(count, rejected), count, dict(rejected), stuck=stuck)


def _reason(count: int, rejected: Counter[str]) -> str:
    if not count:
        return "no node reports"
    if rejected.total() < count:
        return "it is about to be given to an instance"
    if rejected[_WORDS[has_free_slot.__name__]]:
        return f"every instance that could run it is busy ({rejected['busy']} of {count})"
    if stopped := rejected["stopped"]:
        return f"every instance that could run it is stopped; their pools start one ({stopped} of {count})"
    ruled_out = ", ".join(f"{number} {name}" for name, number in rejected.most_common())
    return f"none of {count} instances can take it now: {ruled_out}"


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
            tenant, priority, models, created = task.key.tenant, task.priority, task.needs, task.created
        else:
            definition = task.record.definition
            tenant, priority, models, created = definition.key.tenant, definition.priority, _models(definition), None
        parts = (self._tenants[tenant], self._priorities[priority], self._model_sets[models])
        for part in (self._total, *parts):
            part.add(created)

    def overview(self) -> QueueOverview:
        """What was counted so far."""
        sets: defaultdict[tuple[str, ...], _Part] = defaultdict(_Part)
        for models, part in self._model_sets.items():
            sets[tuple(sorted(models))].merge(part)
        return QueueOverview(
            total=self._total.share(),
            tenants={tenant: part.share() for tenant, part in self._tenants.items()},
            priorities={priority: part.share() for priority, part in self._priorities.items()},
            model_sets={models: part.share() for models, part in sets.items()},
        )


@dataclass(slots=True)
class _Part:
    waiting: int = 0
    running: int = 0
    oldest: float = math.inf

    def add(self, created: float | None) -> None:
        """One that waits since it was `created`, or None for one that runs."""
        if created is None:
            self.running += 1
        else:
            self.waiting += 1
            self.oldest = min(self.oldest, created)

    def merge(self, other: _Part) -> None:
        self.waiting += other.waiting
        self.running += other.running
        self.oldest = min(self.oldest, other.oldest)

    def share(self) -> Share:
        return Share(self.waiting, self.running, self.oldest if self.waiting else None)


def _models(definition: Definition) -> tuple[str, ...]:
    return tuple({model.name: None for model in definition.requirements.models})
