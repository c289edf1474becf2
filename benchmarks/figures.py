"""Figures out of measured times. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

T = TypeVar("T")


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
