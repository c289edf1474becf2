"""Panels of dashboards, and the queries in them."""

from __future__ import annotations

from comfymesh.stack.observability.model import Look, Panel, Query
from comfymesh.telemetry.instrument import Instrument

TASKS, SECONDS, SHARE, BYTES, RATE = "short", "s", "percentunit", "bytes", "ops"
"""Units, as Grafana calls them."""


def lines(title: str, unit: str, *queries: tuple[str, str], stacked: bool = False, tells: str = "") -> Panel:
    """Lines over time."""
    return Panel(title, unit, tuple(Query(*query) for query in queries), stacked=stacked, tells=tells)


def number(title: str, unit: str, expression: str, tells: str = "") -> Panel:
    """One number."""
    return Panel(title, unit, (Query(expression),), Look.NUMBER, tells)


def rate(counter: Instrument, by: str = "", where: str = "") -> str:
    """How many a second."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({counter.prometheus_name}{where}[$__rate_interval]))"


def quantile(share: float, histogram: Instrument, by: str = "") -> str:
    """A quantile of a histogram."""
    labels = f"le, {by}" if by else "le"
    rate = f"rate({histogram.prometheus_name}_bucket[$__rate_interval])"
    quantile = f"histogram_quantile({share:g}, sum by ({labels}) ({rate}))"
    # Of what did not happen lately there is no quantile: it is left out where there are others.
    return f"{quantile} >= 0" if by else quantile


def quantiles(title: str, histogram: Instrument) -> Panel:
    """Three quantiles of a histogram, over time."""
    queries = tuple(Query(quantile(share, histogram), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99))
    return Panel(title, SECONDS, queries, tells=histogram.description, exemplars=True)


def mean(histogram: Instrument) -> str:
    """The mean of a histogram."""
    name, interval = histogram.prometheus_name, "[$__rate_interval]"
    return f"sum(rate({name}_sum{interval})) / clamp_min(sum(rate({name}_count{interval})), 1e-9)"


def heat(title: str, histogram: Instrument) -> Panel:
    """A histogram over time."""
    expression = f"sum by (le) (increase({histogram.prometheus_name}_bucket[$__rate_interval]))"
    return Panel(title, SECONDS, (Query(expression, "{{le}}"),), Look.HEAT, histogram.description, exemplars=True)
