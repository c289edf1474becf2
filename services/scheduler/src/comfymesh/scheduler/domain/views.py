"""What the core shows of itself to those who look: why a task waits, and what the queue is like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from comfymesh.scheduler.domain.fleet import Place


@dataclass(frozen=True, slots=True)
class Estimate:
    """A time that is expected, from now on, and how far off such expectations typically have been. In seconds."""

    seconds: float
    error: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a task waits.

    Attributes:
        reason: A sentence for people.
        instances: How many instances were considered.
        rejected: How many of them each filter, or condition, rules out now, by its name.
        place: Where it is expected to run; None where that is open.
        start: When it is expected to begin.
        end: When it is expected to have ended.
        stuck: Whether no instance would take it however long it waits, as things are. Then nothing is expected.
    """

    reason: str
    instances: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    place: Place | None = None
    start: Estimate | None = None
    end: Estimate | None = None
    stuck: bool = False


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the queue: tasks that wait and run, creation of the oldest that waits, when the next begins."""

    waiting: int = 0
    running: int = 0
    oldest: float | None = None
    start: Estimate | None = None


@dataclass(frozen=True, slots=True)
class QueueOverview:
    """The queue as a whole, and by tenant, priority and model set."""

    total: Share = Share()
    tenants: Mapping[str, Share] = field(default_factory=dict)
    priorities: Mapping[int, Share] = field(default_factory=dict)
    model_sets: Mapping[tuple[str, ...], Share] = field(default_factory=dict)
