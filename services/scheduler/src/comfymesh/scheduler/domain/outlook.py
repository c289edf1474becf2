"""When waiting tasks will be done, learned from how earlier expectations came out.

Of each task it is known when it would be done if all were served in the order in which they came (`Waiting.fifo`). The
policy serves most of them sooner and some later; by how much is learned as a ratio of the two times, together with how
far single tasks are from it.
"""

from __future__ import annotations

import math

from comfymesh.scheduler.domain.lanes import Waiting
from comfymesh.scheduler.domain.views import Estimate

_MEMORY = 0.05
"""Weight of one more task that has ended: what is known is as old as the last twenty or so."""
_FIRST_SPREAD = 0.5
_MOST = 10.0
"""Ratios above say more of an accident than of the policy."""
_SHORTEST = 1e-3


class Outlook:
    """What is learned from tasks that have ended, by priority, since that is what decides who is served sooner."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, float]] = {}

    def learn(self, task: Waiting, now: float) -> None:
        """A task that had waited is done."""
        expected = task.fifo - task.created
        if not _SHORTEST < expected < math.inf:
            return
        ratio = min(max(now - task.created, 0.0) / expected, _MOST)
        mean, spread = self._of(task.priority)
        self._known[task.priority] = (
            mean + _MEMORY * (ratio - mean),
            spread + _MEMORY * (abs(ratio - mean) - spread),
        )

    def end(self, task: Waiting, now: float) -> Estimate | None:
        """When a task that waits will be done; None where nobody can tell. Never sooner than it takes to run."""
        expected = task.fifo - task.created
        if not expected < math.inf:
            return None
        mean, spread = self._of(task.priority)
        left = task.created + mean * expected - now
        return Estimate(max(left, task.run), spread * expected)

    def start(self, task: Waiting, now: float) -> Estimate | None:
        """When it will begin."""
        end = self.end(task, now)
        return None if end is None else Estimate(max(end.seconds - task.run, 0.0), end.error)

    def _of(self, priority: int) -> tuple[float, float]:
        if not self._known:
            return 1.0, _FIRST_SPREAD
        nearest = min(self._known, key=lambda known: (abs(known - priority), known))
        return self._known[nearest]
