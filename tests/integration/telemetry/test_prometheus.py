"""A real Prometheus reads a mesh under load: no panel of any dashboard and no rule is empty or wrong."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from comfymesh.client import AsyncClient
from comfymesh.stack import mesh
from comfymesh.stack.observability import load, prometheus
from comfymesh.stack.observability.alerting import ALERTS, RECORDINGS
from comfymesh.stack.observability.dashboards import ALL
from comfymesh.stack.observability.model import Alert, filled
from comfymesh.stack.observability.prometheus import Prometheus, Series
from comfymesh.telemetry import catalogue
from comfymesh.telemetry.instrument import Instrument, Kind
from comfymesh.testkit.waiting import until

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        not prometheus.installed() and "CI" not in os.environ,
        reason="needs Prometheus: apt-get install prometheus",
    ),
]

LIBRARIES = Path(__file__).parents[2] / "data" / "libraries"
PANELS = {(dashboard.name, panel.title): panel.queries for dashboard in ALL for panel in dashboard.panels}
INTERVAL = "20s"
DOCS_URL = "https://wiki.example/comfymesh/"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    """A Prometheus that has seen a mixed load, twice at least."""
    folder = tmp_path_factory.mktemp("prometheus")
    environment = {
        "COMFYMESH_METRICS_SAMPLE_SECONDS": "0.5",
        "COMFYMESH_OTLP_ENDPOINT": "http://127.0.0.1:1",  # nobody listens: traces are made all the same
        "PYTHONPATH": str(LIBRARIES),
    }
    plan = mesh.MeshPlan(folder / "mesh", [mesh.emulated()], "127.0.0.1:0", environment, notifier=True, metrics=True)
    async with (
        mesh.running(plan) as up,
        prometheus.running(folder / "prometheus", up.metrics.values(), docs_url=DOCS_URL) as reader,
        AsyncClient(up.target) as client,
    ):
        await until(lambda: reader.reads(4), "a first reading of everything")
        loading = asyncio.create_task(_until_cancelled(client))
        try:
            await until(lambda: _is_evaluated(reader), "rules that were evaluated")
            yield reader
        finally:
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)


async def _until_cancelled(client: AsyncClient) -> None:
    while True:
        await load.mixed(client, 1)
        await asyncio.sleep(0.5)


async def _is_evaluated(reader: Prometheus) -> bool:
    """Whether there are rates of all that the load does."""
    rates = [f"sum(rate({name}[{INTERVAL}]))" for name in LAST]
    found = [await reader.query(rate) for rate in rates]
    rules = await reader.rules()
    return all(series and series[0].value > 0 for series in found) and all(rule["evaluationTime"] for rule in rules)


LAST = (
    'comfymesh_attempt_ended_total{comfymesh_attempt_outcome="OUT_OF_MEMORY"}',
    'comfymesh_task_ended_total{comfymesh_task_state="CANCELLED"}',
    "comfymesh_attempt_loading_duration_seconds_count",
    "comfymesh_rpc_refused_total",
)


async def told(asked: Prometheus, expression: str) -> list[Series]:
    """What an expression comes to, and it is something, and numbers.

    Of a service that has just not answered within a second, Prometheus knows nothing until it reads it again.
    """

    async def look() -> list[Series]:
        found = await asked.query(expression)
        return found if all(math.isfinite(series.value) for series in found) else []

    return await until(look, expression)


@pytest.mark.parametrize("panel", PANELS, ids="/".join)
async def test_no_query_of_a_panel_is_empty_or_wrong(asked: Prometheus, panel: tuple[str, str]) -> None:
    for query in PANELS[panel]:
        assert await told(asked, filled(query.expression, INTERVAL))


@pytest.mark.parametrize("name", [rule.name for rule in RECORDINGS])
async def test_no_recording_is_empty_or_wrong(asked: Prometheus, name: str) -> None:
    assert await told(asked, name)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
async def test_what_an_alert_looks_at_is_there(asked: Prometheus, alert: Alert) -> None:
    assert await told(asked, alert.signal)


async def test_every_rule_is_healthy_and_the_watchdog_fires(asked: Prometheus) -> None:
    rules = await asked.rules()
    assert len(rules) == len(ALERTS) + len(RECORDINGS)
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
    (watchdog,) = [rule for rule in rules if rule["name"] == "ComfyMeshWatchdog"]
    assert watchdog["state"] == "firing"
    (alert,) = watchdog["alerts"]
    assert alert["annotations"]["runbook_url"] == f"{DOCS_URL}docs/alerts.md#watchdog"


async def test_what_was_done_is_what_is_told(asked: Prometheus) -> None:
    outcomes = {
        series.labels["comfymesh_attempt_outcome"]: series.value
        for series in await told(asked, "sum by (comfymesh_attempt_outcome) (comfymesh_attempt_ended_total)")
    }
    assert {name for name, count in outcomes.items() if count} >= {"SUCCEEDED", "NODE_EXCEPTION", "OUT_OF_MEMORY"}
    refused = {series.labels["comfymesh_reason"] for series in await told(asked, "comfymesh_rpc_refused_total > 0")}
    assert "INVALID_WORKFLOW" in refused
    (leading,) = await told(asked, "sum(comfymesh_scheduler_leading) > 0")
    assert leading.value == 1


@pytest.mark.parametrize("instrument", catalogue.ALL, ids=lambda instrument: instrument.name)
async def test_everything_that_is_declared_is_measured(asked: Prometheus, instrument: Instrument) -> None:
    suffix = "_count" if instrument.kind is Kind.HISTOGRAM else ""
    found = await told(asked, instrument.prometheus_name + suffix)
    labels = {attribute.label for attribute in instrument.attributes}
    assert all(labels <= series.labels.keys() for series in found)
    services = {series.labels["instance"] for series in found}
    assert len(services) <= len(instrument.services)


async def test_buckets_lead_to_traces(asked: Prometheus) -> None:
    async def look() -> bool:
        now = time.time()
        shown = await asked.exemplars("comfymesh_task_duration_seconds_bucket", now - 60, now)
        return any(len(exemplar["labels"]["trace_id"]) == 32 for exemplar in shown)

    await until(look, "an exemplar")
