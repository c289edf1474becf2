"""Puts into words why a task waits, and sums up what waits and runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from comfymesh.scheduler.domain.placement import FILTERS, Candidate, Feasibility, has_free_slot
from comfymesh.scheduler.domain.views import Explanation, QueueOverview, Share
from comfymesh.tasks.record import HELD, State, TaskRecord

T = TypeVar("T")

_WORDS = {
    "is_open": "cordoned",
    "is_serving": "not_serving",
    "is_wanted": "placement",
    "has_free_slot": "busy",
}
_LACKING = "requirements"


def explain(record: TaskRecord, candidates: Iterable[Candidate], feasibility: Feasibility) -> Explanation:
    """Why none of the instances takes a task now; each counts once, for the first filter that rules it out."""
    requirements, count, rejected = record.definition.requirements, 0, Counter[str]()
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


def sum_up(records: Iterable[TaskRecord]) -> QueueOverview:
    """What waits and runs, in one pass over all of it."""
    known = [record for record in records if record.state is State.QUEUED or record.state in HELD]
    return QueueOverview(
        total=_shares(known, lambda _: True).get(True, Share()),
        tenants=_shares(known, lambda record: record.key.tenant),
        priorities=_shares(known, lambda record: record.definition.priority),
        model_sets=_shares(known, lambda record: tuple(_models(record))),
    )


def _models(record: TaskRecord) -> Iterator[str]:
    return iter(sorted({model.name for model in record.definition.requirements.models}))


def _shares(records: Iterable[TaskRecord], part: Callable[[TaskRecord], T]) -> dict[T, Share]:
    waiting, running, oldest = Counter[T](), Counter[T](), defaultdict[T, list[float]](list)
    for record in records:
        if record.state is State.QUEUED:
            waiting[part(record)] += 1
            oldest[part(record)].append(record.definition.create_time)
        else:
            running[part(record)] += 1
    return {
        which: Share(waiting[which], running[which], min(oldest[which], default=None)) for which in {*waiting, *running}
    }
