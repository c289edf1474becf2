"""What a dashboard and a rule are. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

RUNBOOKS = "docs/alerts.md"
RATE_INTERVAL = "$__rate_interval"


class Look(StrEnum):
    """How a panel shows its queries: Grafana's names of panel types."""

    LINES = "timeseries"
    NUMBER = "stat"
    HEAT = "heatmap"


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression, and how its series are called: `{{label}}` stands for a label's value."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: Its title.
        unit: Grafana's name of the unit.
        queries: What it shows.
        look: How.
        tells: What it is good for; shown on demand.
        stacked: Whether lines are put on top of each other.
        exemplars: Whether traces are shown beside the lines.
    """

    title: str
    unit: str
    queries: tuple[Query, ...]
    look: Look = Look.LINES
    tells: str = ""
    stacked: bool = False
    exemplars: bool = False


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard.

    Attributes:
        name: Its file, and its address in Grafana.
        title: Its title.
        panels: What it shows, in order.
        variables: What can be chosen, by name: the query whose values there are.
    """

    name: str
    title: str
    panels: tuple[Panel, ...]
    variables: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """A rule that keeps the outcome of an expression under a name of its own."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule that tells people.

    Attributes:
        name: Its name.
        signal: What is looked at. Always there, so that its absence is a fault.
        above: It fires above this ...
        below: ... or below this.
        lasting: For how long it must be so, as Prometheus writes durations.
        severity: As of the notifier's rules: critical, error, warning or info.
        summary: What is wrong, with `{{ $value }}` and `{{ $labels.x }}`.
        runbook: Section of the runbooks that says what to do.
    """

    name: str
    signal: str
    lasting: str
    severity: str
    summary: str
    runbook: str
    above: float | None = None
    below: float | None = None

    @property
    def expression(self) -> str:
        """When it fires."""
        if self.above is not None:
            return f"({self.signal}) > {self.above:g}"
        assert self.below is not None, f"{self.name} fires above or below something"
        return f"({self.signal}) < {self.below:g}"


def filled(expression: str, interval: str) -> str:
    """An expression as Grafana asks it: for all values of its variables, with rates over `interval`."""
    return re.sub(r"\$\{?[a-z_]+\}?", ".*", expression.replace(RATE_INTERVAL, interval))
