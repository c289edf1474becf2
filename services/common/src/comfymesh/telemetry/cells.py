"""Histograms as cells of our own: the event loop fills them, collectors read copies.

The SDK's take each value with a dictionary, two locks and a reservoir. It has no way to observe a histogram when it
collects, as it has for counters and gauges; `collecting` puts these beside what it has collected (ADR 73).
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context

_SAMPLED = trace.TraceFlags.SAMPLED


class Example(NamedTuple):
    """A value of which a trace is known.

    Attributes:
        value: It.
        time: When it was taken, nanoseconds since the epoch.
        trace_id: Its trace.
        span_id: Its span.
    """

    value: float
    time: int
    trace_id: int
    span_id: int


class Cells:
    """One series of a histogram.

    Args:
        bounds: Upper bounds of its buckets, rising; a last one takes what is above.

    Attributes:
        bounds: As given.
        since: When it was begun, nanoseconds since the epoch.
        counts: How many values each bucket has.
        total: The sum of all values.
        least: The smallest.
        most: The largest.
        examples: Of each bucket the newest value whose trace is recorded.
    """

    __slots__ = ("bounds", "counts", "examples", "least", "most", "since", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.since = time.time_ns()
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.least = float("inf")
        self.most = float("-inf")
        self.examples = dict[int, Example]()

    def take(self, value: float, context: Context | None) -> None:
        """Sort a value into its bucket. The span in `context`, or the present one, is an example if it is sampled.

        What is not finite is left out: the sum of all that follows would be none.

        A collector that reads meanwhile may miss its part of the sum, once.
        """
        if not isfinite(value):
            return
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.total += value
        self.least = min(self.least, value)
        self.most = max(self.most, value)
        span = trace.get_current_span(context).get_span_context()
        if span.trace_flags & _SAMPLED:
            self.examples[bucket] = Example(value, time.time_ns(), span.trace_id, span.span_id)
