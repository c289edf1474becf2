"""Puts into words why a task waits, and sums up what waits and runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from comfymesh.scheduler.domain.events import TaskChanged
from comfymesh.scheduler.domain.lanes import Waiting
from comfymesh.scheduler.domain.placement import FILTERS, Candidate, Feasibility, has_free_slot
from comfymesh.scheduler.domain.views import Explanation, QueueOverview, Share
from comfymesh.tasks.record import Requirements

T = TypeVar("T")

_WORDS = {
    "is_open": "cordoned",
    "is_serving": "not_serving",
    "is_wanted": "placement",
    "has_free_slot": "busy",
}
_LACKING = "requirements"
_MOMENT = 1.0
_MOST_LOOKED_AT = 50_000


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
    return Explanation(_reason(count, rejected), count, dict(rejected))


def _reason(count: int, rejected: Counter[str]) -> str:
    if not count:
        return "no node reports"
    if rejected.total() < count:
        return "it is about to be given to an instance"
    if rejected[_WORDS[has_free_slot.__name__]]:
        return f"every instance that could run it is busy ({rejected['busy']} of {count})"
    ruled_out = ", ".join(f"{number} {name}" for name, number in rejected.most_common())
    return f"none of {count} instances can take it now: {ruled_out}"


def sum_up(tasks: Iterable[TaskChanged | Waiting]) -> QueueOverview:
    """What waits and runs, in one pass over all of it."""
    facts = [_facts(task) for task in tasks]
    return QueueOverview(
        total=_shares(facts, lambda _: True).get(True, Share()),
        tenants=_shares(facts, lambda fact: fact.tenant),
        priorities=_shares(facts, lambda fact: fact.priority),
        model_sets=_shares(facts, lambda fact: fact.models),
    )


@dataclass(frozen=True, slots=True)
class _Fact:
    tenant: str
    priority: int
    models: tuple[str, ...]
    created: float
    waits: bool


def _facts(task: TaskChanged | Waiting) -> _Fact:
    if isinstance(task, Waiting):
        return _Fact(task.key.tenant, task.priority, tuple(sorted(task.needs)), task.created, waits=True)
    definition = task.record.definition
    models = tuple(sorted({model.name for model in definition.requirements.models}))
    return _Fact(definition.key.tenant, definition.priority, models, definition.create_time, waits=False)


def _shares(facts: Iterable[_Fact], part: Callable[[_Fact], T]) -> dict[T, Share]:
    waiting, running, oldest = Counter[T](), Counter[T](), dict[T, float]()
    for fact in facts:
        which = part(fact)
        if fact.waits:
            waiting[which] += 1
            oldest[which] = min(fact.created, oldest.get(which, fact.created))
        else:
            running[which] += 1
    return {which: Share(waiting[which], running[which], oldest.get(which)) for which in {*waiting, *running}}
