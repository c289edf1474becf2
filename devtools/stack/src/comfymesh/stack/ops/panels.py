"""What the panels of a dashboard show, asked of Prometheus as Grafana would."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from comfymesh.stack.observability.model import Dashboard, Panel, Query, filled
from comfymesh.stack.observability.prometheus import Prometheus, Series

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel: how it is called, and its points as (seconds since the span began, value)."""

    name: str
    points: Points


@dataclass(frozen=True, slots=True)
class Shown:
    """A panel and what it shows."""

    panel: Panel
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A dashboard and what its panels show."""

    title: str
    panels: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """The time that is looked at, in seconds since the epoch, and how it is cut.

    Attributes:
        start: Its beginning.
        end: Its end.
        step: Seconds between two points.
        interval: What rates are taken over, as Prometheus writes durations.
    """

    start: float
    end: float
    step: float
    interval: str


async def read(prometheus: Prometheus, dashboard: Dashboard, span: Span) -> Section:
    """What a dashboard shows of a span of time.

    Raises:
        PrometheusError: it refuses a query.
    """
    found = [Shown(panel, await _lines(prometheus, panel, span)) for panel in dashboard.panels]
    return Section(dashboard.title, tuple(found))


async def _lines(prometheus: Prometheus, panel: Panel, span: Span) -> tuple[Line, ...]:
    found: list[Line] = []
    for query in panel.queries:
        expression = filled(query.expression, span.interval)
        answer = await prometheus.query_range(expression, span.start, span.end, span.step)
        found += lines(query, answer, span.start)
    return tuple(found)


def lines(query: Query, answer: Sequence[Series], start: float) -> list[Line]:
    """The lines of an answer, without what is no number."""
    made = (
        Line(
            legend(query, series.labels), tuple((at - start, value) for at, value in series.points if _is_number(value))
        )
        for series in answer
    )
    return [line for line in made if line.points]


def legend(query: Query, labels: Mapping[str, str]) -> str:
    """How a series is called: its query's legend with the labels put in, or all its labels."""
    if query.legend:
        return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), query.legend).strip()
    return ", ".join(value for name, value in sorted(labels.items()) if name != "__name__")


def _is_number(value: float) -> bool:
    return math.isfinite(value)
