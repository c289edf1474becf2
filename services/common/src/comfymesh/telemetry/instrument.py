"""What an instrument is, and what Prometheus calls it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

OTHER = "other"
"""Value of an attribute that stands for all those which are not told apart."""


class Kind(StrEnum):
    """What is done with values: counted up, up and down, looked at, or sorted into buckets."""

    COUNTER = "counter"
    UP_DOWN = "updowncounter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, eq=False)
class Attribute:
    """Tells series of one instrument apart.

    Attributes:
        name: Its name.
        description: What it says.
        values: All that it can be; empty where that is not known beforehand.
        most: How many values are told apart where they are not known beforehand; all others are `other`.
    """

    name: str
    description: str
    values: tuple[str, ...] = ()
    most: int = 0

    @property
    def is_closed(self) -> bool:
        """Whether its values are known beforehand."""
        return bool(self.values)

    @property
    def label(self) -> str:
        """What Prometheus calls it."""
        return _sanitized(self.name)


@dataclass(frozen=True, slots=True, eq=False)
class Instrument:
    """One instrument. Compared by identity, since each recording looks one up.

    Attributes:
        name: Its name, by the semantic conventions of OpenTelemetry where those have one.
        unit: UCUM, as `s`, `By`, `1`, or `{task}` for things that are counted.
        kind: What is done with values.
        description: What it tells.
        attributes: What tells its series apart.
        services: Who records it.
        buckets: Upper bounds of a histogram's buckets.
        rest: Of a gauge with an open attribute: whether `other` is the largest value or the sum.
    """

    name: str
    unit: str
    kind: Kind
    description: str
    services: tuple[str, ...]
    attributes: tuple[Attribute, ...] = ()
    buckets: tuple[float, ...] = ()
    rest: str = "sum"

    @property
    def prometheus_name(self) -> str:
        """What Prometheus calls it, by the conventions for names that come from OpenTelemetry."""
        suffix = _SUFFIXES.get(self.unit, "")
        if self.kind is Kind.GAUGE and self.unit == "1":
            suffix = "_ratio"
        total = "_total" if self.kind is Kind.COUNTER else ""
        return _sanitized(self.name) + suffix + total

    def known(self) -> Iterator[tuple[str, ...]]:
        """Every combination of values that is known beforehand; of attributes that are open, only the rest."""
        return product(*(attribute.values or (OTHER,) for attribute in self.attributes))

    @property
    def most_series(self) -> int:
        """How many series there can be in one process."""
        count = 1
        for attribute in self.attributes:
            count *= len(attribute.values) or attribute.most + 1
        return count


_SUFFIXES = {"s": "_seconds", "By": "_bytes", "Cel": "_celsius"}


def _sanitized(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)
