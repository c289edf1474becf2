"""What came of a policy, in figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from comfymesh.scheduler.simulate.engine import Outcome, Run


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds from arrival to end, parts between 0 and 1.

    Attributes:
        mean_s: Mean time to result; the next three are its quantiles.
        load_share: Part of the GPUs' busy time that went into loading.
        loads_per_100: Checkpoints and LoRAs that were loaded for 100 tasks.
        longest_wait_s: The longest time from arrival to the beginning.
        later_than_fifo_share: Part of the tasks that ended later than under `fifo`.
        jain_slowdown: Jain's index of the tenants' mean slowdowns (time to result by time of run): 1 where all are
            slowed down alike, 1/n where one of n bears it all.
        decision_p99_us: CPU microseconds that an event took to decide, 99th percentile.
    """

    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    load_share: float
    loads_per_100: float
    longest_wait_s: float
    later_than_fifo_share: float
    jain_slowdown: float
    decision_p99_us: float


_MOMENT = 1e-6


def figures(outcome: Outcome, fifo: Mapping[int, float]) -> Figures:
    """The figures of an outcome. `fifo` says when each request would have ended under that policy."""
    runs = outcome.runs
    times = sorted(run.end - run.request.arrival for run in runs)
    load = sum(run.load for run in runs)
    return Figures(
        mean_s=sum(times) / len(times),
        p50_s=quantile(times, 0.5),
        p95_s=quantile(times, 0.95),
        p99_s=quantile(times, 0.99),
        load_share=load / (load + sum(run.run for run in runs)),
        loads_per_100=100 * sum(len(run.loaded) for run in runs) / len(runs),
        longest_wait_s=max(run.end - run.load - run.run - run.request.arrival for run in runs),
        later_than_fifo_share=sum(run.end > fifo[run.request.number] + _MOMENT for run in runs) / len(runs),
        jain_slowdown=jain(slowdowns(runs)),
        decision_p99_us=1e6 * quantile(sorted(outcome.decisions), 0.99),
    )


def quantile(ordered: Sequence[float], part: float) -> float:
    """The value below which this part of ordered values lies."""
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


def slowdowns(runs: Iterable[Run]) -> list[float]:
    """The mean slowdown of each tenant."""
    of: defaultdict[str, list[float]] = defaultdict(list)
    for run in runs:
        of[run.request.tenant].append((run.end - run.request.arrival) / run.request.run)
    return [sum(values) / len(values) for values in of.values()]


def jain(values: Sequence[float]) -> float:
    """Jain's fairness index: the square of the sum by the sum of squares and the number."""
    return sum(values) ** 2 / (len(values) * sum(value * value for value in values))
