"""Why this node stops an attempt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GivenBack:
    """Somebody else should run it. One that gives way to a task of higher priority does not count as handed back."""

    reason: str
    counts: bool = True


@dataclass(frozen=True, slots=True)
class TimedOut:
    """It has executed for longer than `limit` seconds."""

    limit: float


Stop = GivenBack | TimedOut
