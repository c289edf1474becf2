"""What first come, first served would have given: a fleet that exists on paper only.

Every task that arrives is also sent to this fleet, which serves in order of arrival on whichever GPU is free first, and
takes as long as we expect. The moment at which it would have been done there bounds how long others may pass it over.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from comfymesh.scheduler.domain.estimates import Estimates

_Gpu = tuple[float, int, tuple[str, ...]]
"""When it is free, its number, what it has loaded: the one unused for longest first."""


class VirtualFifo:
    """The fleet on paper."""

    def __init__(self, estimates: Estimates) -> None:
        self._estimates = estimates
        self._gpus: list[_Gpu] = []
        self._speeds: list[float] = []
        self._made = 0

    def __len__(self) -> int:
        return len(self._gpus)

    def resize(self, speeds: list[float]) -> None:
        """There are as many GPUs as `speeds`, which are as slow as it says."""
        self._speeds = speeds
        if len(speeds) < len(self._gpus):
            self._gpus = heapq.nsmallest(len(speeds), self._gpus)
        self._gpus += [(0.0, self._made + n, ()) for n in range(len(speeds) - len(self._gpus))]
        self._made = max(self._made, len(speeds))
        heapq.heapify(self._gpus)

    def finish(self, models: tuple[str, ...], extras: tuple[str, ...], run: float, now: float, holds: int) -> float:
        """When a task that arrives at `now` would be done.

        Args:
            models: What an instance keeps, up to `holds` of them, until it needs the room.
            extras: What it keeps only until the next task.
            run: Seconds that the task takes.
            now: Seconds since the epoch.
            holds: How many models an instance keeps.
        """
        if not self._gpus:
            return float("inf")
        free, number, held = self._gpus[0]
        lacking = [model for model in (*models, *extras) if model not in held]
        speed = self._speeds[number % len(self._speeds)]
        done = max(free, now) + self._estimates.loads(lacking) + run * speed
        heapq.heapreplace(self._gpus, (done, number, _kept(held, models, holds) + extras))
        return done


def _kept(held: tuple[str, ...], models: tuple[str, ...], holds: int) -> tuple[str, ...]:
    others: Iterable[str] = (model for model in held if model not in models)
    kept = (*others, *models)
    return kept[-max(holds, len(models)) :]
