"""Dashboards and rules name nothing that there is not, and are in deploy/ as they are here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from comfymesh.stack.observability import making
from comfymesh.stack.observability.alerting import ALERTS, RECORDINGS
from comfymesh.stack.observability.dashboards import ALL
from comfymesh.stack.observability.model import RUNBOOKS, filled
from comfymesh.telemetry import catalogue
from comfymesh.telemetry.instrument import Instrument, Kind

ROOT = Path(__file__).parents[3]
EXPRESSIONS = [
    *(query.expression for dashboard in ALL for panel in dashboard.panels for query in panel.queries),
    *(rule.expression for rule in RECORDINGS),
    *(alert.expression for alert in ALERTS),
]
SERIES = {
    name: instrument
    for instrument in catalogue.ALL
    for name in (
        [f"{instrument.prometheus_name}_{part}" for part in ("bucket", "count", "sum")]
        if instrument.kind is Kind.HISTOGRAM
        else [instrument.prometheus_name]
    )
}
ADDED = {"le", "instance", "job"}
"""Labels that series have besides their attributes."""


def names(expression: str) -> set[str]:
    """Names of series in an expression."""
    return set(re.findall(r"\b(?:comfymesh|rpc|process|hw|system)[:_][a-z0-9_:]+\b", _without_labels(expression)))


def _without_labels(expression: str) -> str:
    return re.sub(r"\b(by|without) \([^)]*\)", "", re.sub(r"\{[^}]*\}", "", expression))


def selectors(expression: str) -> list[tuple[str, str, str, str]]:
    """Each condition on a label: series, label, operator, value."""
    return [
        (name, *condition)
        for name, conditions in re.findall(r"([a-z_:]+)\{([^}]*)\}", expression)
        for condition in re.findall(r'([a-z_]+)(=~|!=|!~|=)"([^"]*)"', conditions)
    ]


def test_what_is_in_deploy_is_made_from_this() -> None:
    made = making.files()
    assert {place: (ROOT / "deploy" / place).read_text() for place in made} == made, "run `make docs`"
    kept = {path.relative_to(ROOT / "deploy").as_posix() for path in (ROOT / "deploy/grafana/dashboards").iterdir()}
    assert kept == {place for place in made if place.startswith("grafana")}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_series_in_a_query_is_measured_or_recorded(expression: str) -> None:
    assert names(expression) <= SERIES.keys() | {rule.name for rule in RECORDINGS}
    assert names(expression) or re.search(r"\b(up|ALERTS|vector)\b", expression)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_label_in_a_query_can_have_that_value(expression: str) -> None:
    for name, label, operator, value in selectors(expression):
        if name not in SERIES:
            assert name in {"up", "ALERTS"}
            continue
        (attribute,) = [a for a in SERIES[name].attributes if a.label == label]
        if attribute.is_closed and "$" not in value:
            assert set(value.split("|")) <= set(attribute.values), (operator, value)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_grouped_by_is_there(expression: str) -> None:
    labels = {a.label for name in names(expression) & SERIES.keys() for a in SERIES[name].attributes} | ADDED
    recorded = any(name not in SERIES for name in names(expression))
    grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")}
    assert recorded or grouped <= labels


@pytest.mark.parametrize("instrument", catalogue.ALL, ids=lambda instrument: instrument.name)
def test_everything_that_is_measured_is_shown_somewhere(instrument: Instrument) -> None:
    assert any(instrument.prometheus_name in expression for expression in EXPRESSIONS)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_alert_says_what_to_do(alert: making.Alert) -> None:
    page = (ROOT / RUNBOOKS).read_text()
    assert f"\n### {alert.runbook}\n" in page
    assert (alert.above is None) != (alert.below is None)
    assert alert.severity in {"info", "warning", "error", "critical"}


def test_what_is_counted_is_told_as_a_whole_number_although_prometheus_extrapolates() -> None:
    counting = [alert for alert in ALERTS if "increase(" in alert.signal]
    assert counting
    assert all("{{ printf `%.0f` $value }}" in alert.summary for alert in counting)


def test_queries_are_filled_as_grafana_does_it() -> None:
    asked = 'rate(x{tenant=~"$tenant"}[$__rate_interval])'
    assert filled(asked, "15s") == 'rate(x{tenant=~".*"}[15s])'


def test_panels_do_not_lie_on_each_other() -> None:
    for dashboard in ALL:
        taken = set[tuple[int, int]]()
        for panel in making.grafana(dashboard)["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert not cells & taken
            assert at["x"] + at["w"] <= 24
            taken |= cells
