"""What it is worth to run a task next: the whole of the policy's arithmetic.

The worth of a task is its slowdown so far, times its urgency, divided by the seconds that it takes. Short tasks so go
before long ones of equal standing, and whoever was slowed down most, in proportion to what he asked for, goes before
others. It counts less for what its tenant had waiting when it came (`Tenant.sparseness`). Urgency rises as a task comes
near the moment at which it would have been done under plain FIFO: at half of that time it is twice as urgent, at the
end fifty times. So few wait longer than they would have without us, and when the fleet is overloaded, and everything is
late, that moment is late as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from comfymesh.scheduler.domain.lanes import Lane, Waiting

_FULL = 0.02
"""The part of its time under FIFO that is left when a task is as urgent as can be."""


def urgency(created: float, run: float, fifo: float, now: float) -> float:
    """How much of the patience that FIFO would have asked of a task is used up."""
    patience = fifo - created - run
    left = 1 - (now - created) / patience if patience > 0 else _FULL
    return 1.0 if left >= 1 else 1.0 / max(left, _FULL)


def weight(task: Waiting, now: float) -> float:
    """How much it matters that the task is done."""
    slowdown = max((now - task.clock) / task.run, 0.0) + 1.0
    return task.sparse * slowdown * urgency(task.created, task.run, task.fifo, now)


def mean_weight(lane: Lane, now: float) -> float:
    """How much a task of a lane matters, on average."""
    count = lane.count
    run = lane.runs / count
    slowdown = max((now - lane.clocks / count) / run, 0.0) + 1.0
    fifo = math.inf if lane.endless else lane.fifos / count
    return lane.sparse / count * slowdown * urgency(lane.created / count, run, fifo, now)


def best_batch(lanes: Iterable[tuple[float, Lane]], load: float, servers: int, now: float) -> float:
    """The most that a second is worth if an instance first loads for `load` seconds, then runs the best tasks.

    Args:
        lanes: Where tasks wait that it could run then, each with the factor of its priority.
        load: Seconds, times whatever loading is priced at.
        servers: How many instances share these tasks, this one included.
        now: Seconds since the epoch.
    """
    pieces = []
    single = 0.0
    for factor, lane in lanes:
        head = lane.head()
        if head is None:
            continue
        single = max(single, factor * weight(head, now) / (load + head.run))
        run = lane.runs / lane.count
        pieces.append((factor * mean_weight(lane, now) / run, run * max(lane.count / servers, 1.0)))
    pieces.sort(reverse=True)
    gain, seconds, best = 0.0, load, single
    for rate, length in pieces:
        gain += rate * length
        seconds += length
        best = max(best, gain / seconds)
    return best
