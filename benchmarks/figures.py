"""Figures out of measured times. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

T = TypeVar("T")
_BEYOND = 0.025
LEAST_VALUES = 6
"""Fewer can't tell the range of their median that well."""


@dataclass(frozen=True, slots=True)
class Quantiles:
    """How a quantity was spread.

    Attributes:
        count: Number of values.
        p50: Median.
        p95: Value that 95 % do not exceed.
    """

    count: int
    p50: float
    p95: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Those of `values`, which must not be empty."""
        return cls(len(values), percentile(values, 50), percentile(values, 95))


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and range of a figure over repetitions."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Those of `values`, which must not be empty."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Median:
    """A median, and what it may be as well: the range that holds the true one 95 times in 100.

    By the ranks of the values, so whatever their distribution (Conover, Practical Nonparametric Statistics, 3.2).
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """That of `values`, at least six: fewer can't say so much.

        Raises:
            ValueError: there are too few.
        """
        if len(values) < LEAST_VALUES:
            raise ValueError(f"{len(values)} values can't tell a median well enough, {LEAST_VALUES} can")
        ordered, count = sorted(values), len(values)
        rank = max(rank for rank in range(count // 2) if _tail(count, rank) <= _BEYOND)
        return cls(statistics.median(ordered), ordered[rank], ordered[count - 1 - rank])


def _tail(count: int, rank: int) -> float:
    """How likely at most `rank` of `count` values are below the median."""
    return sum(math.comb(count, below) for below in range(rank + 1)) / 2**count


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` % of all do not exceed, interpolated between neighbours.

    Raises:
        ValueError: there are no values, or `percent` is not within 0 to 100.
    """
    if not values:
        raise ValueError("there is no percentile of nothing")
    if not 0 <= percent <= 100:
        raise ValueError(f"{percent} is not within 0 to 100")
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return below + (above - below) * (place - math.floor(place))


def differences(values: Sequence[float], beside: Sequence[float]) -> list[float]:
    """By how much each value exceeds the one that was measured beside it."""
    return [value - other for value, other in zip(values, beside, strict=True)]


def rotated(items: Sequence[T], by: int) -> list[T]:
    """`items` beginning at another one, so that none always comes first."""
    start = by % len(items)
    return [*items[start:], *items[:start]]
