"""Counting, levels, and the bound on series."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import format_trace_id
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from comfymesh.telemetry import catalogue, collecting
from comfymesh.telemetry.exposition import Exposition
from comfymesh.telemetry.leaders import Leaders
from comfymesh.telemetry.metrics import Metrics
from comfymesh.testkit.measuring import count, measured


def samples(exposition: Exposition, name: str) -> dict[tuple[str, ...], float]:
    """Series of one name as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(exposition)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {tuple(s.labels.values()): s.value for family in families for s in family.samples if s.name == name}


def test_what_has_not_happened_yet_has_happened_0_times() -> None:
    with measured("scheduler") as (_, exposition):
        told = samples(exposition, "comfymesh_attempt_ended_total")
    assert told[("OUT_OF_MEMORY",)] == 0
    assert len(told) == len(catalogue.OUTCOME.values)


def test_what_is_counted_is_read() -> None:
    with measured("scheduler") as (metrics, exposition):
        metrics.add(catalogue.ATTEMPTS, 1, "TIMEOUT")
        metrics.add(catalogue.ATTEMPTS, 2, "TIMEOUT")
        assert samples(exposition, "comfymesh_attempt_ended_total")[("TIMEOUT",)] == 3


def test_what_is_not_finite_is_not_counted() -> None:
    with measured("scheduler") as (metrics, exposition):
        for amount in (1, float("nan"), float("inf"), 2):
            metrics.add(catalogue.ATTEMPTS, amount, "TIMEOUT")
        assert samples(exposition, "comfymesh_attempt_ended_total")[("TIMEOUT",)] == 3


def test_a_level_beyond_64_bits_costs_nothing_that_is_sent_with_it() -> None:
    reader, metrics = InMemoryMetricReader(), Metrics()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    metrics.bind(provider.get_meter(collecting.SCOPE), catalogue.of("scheduler"))
    metrics.set(catalogue.QUEUE_DEPTH, {("0",): 1 << 70, ("5",): 1})
    collected = reader.get_metrics_data()
    provider.shutdown()
    assert collected is not None
    sent = encode_metrics(collected).SerializeToString()
    assert catalogue.QUEUE_DEPTH.name.encode() in sent


def test_a_level_that_is_told_no_more_is_gone() -> None:
    with measured("scheduler") as (metrics, exposition):
        metrics.set(catalogue.QUEUE_DEPTH, {("0",): 3, ("5",): 1})
        metrics.set(catalogue.QUEUE_DEPTH, {("0",): 2})
        assert samples(exposition, "comfymesh_queue_depth") == {("0",): 2}


def test_what_another_service_records_is_left_alone() -> None:
    with measured("api") as (metrics, exposition):
        metrics.add(catalogue.ATTEMPTS, 1, "TIMEOUT")
        metrics.set(catalogue.QUEUE_DEPTH, {("0",): 2})
        metrics.record(catalogue.WAITED, 1.0)
        assert "comfymesh_attempt_ended_total" not in {family.name for family in exposition.collect()}


def test_metrics_that_nobody_reads_keep_nothing() -> None:
    metrics = Metrics()
    metrics.add(catalogue.ATTEMPTS, 1, "TIMEOUT")
    metrics.set(catalogue.QUEUE_DEPTH, {("0",): 2})
    assert metrics.series(catalogue.ATTEMPTS) == metrics.series(catalogue.QUEUE_DEPTH) == {}


def test_a_bucket_shows_a_trace_that_was_counted_in_it() -> None:
    span = TracerProvider().get_tracer("test").start_span("task")
    with measured("scheduler") as (metrics, exposition):
        metrics.record(catalogue.WAITED, 0.7, context=trace.set_span_in_context(span))
        registry = CollectorRegistry()
        registry.register(exposition)
        families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    shown = {s.labels["le"]: s.exemplar for family in families for s in family.samples if s.exemplar}
    (bound,) = shown
    assert (bound, shown[bound].value) == ("1.0", 0.7)
    assert shown[bound].labels["trace_id"] == format_trace_id(span.get_span_context().trace_id)


def test_a_histogram_counts_every_value_once() -> None:
    with measured("scheduler") as (metrics, exposition):
        for value in (-0.1, 0.0, 0.3, 1e9):
            metrics.record(catalogue.WAITED, value)
        assert count(exposition, catalogue.WAITED) == 4
        buckets = samples(exposition, "comfymesh_task_waiting_duration_seconds_bucket")
    assert buckets[("0.25",)] == 2
    assert buckets[("3600.0",)] == 3
    assert buckets[("+Inf",)] == 4


def test_ten_thousand_tenants_make_no_more_series_than_a_few() -> None:
    with measured("scheduler") as (metrics, exposition):
        for number in range(10_000):
            metrics.add(catalogue.TASKS_CREATED, 1, f"tenant-{number}")
            metrics.add(catalogue.TASKS_CREATED, 1, "busy")
        metrics.set(catalogue.TENANT_WAITING, {(f"tenant-{number}",): number for number in range(10_000)})
        metrics.set(catalogue.TENANT_AGE, {(f"tenant-{number}",): number for number in range(10_000)})
        created = samples(exposition, "comfymesh_task_created_total")
        waiting = samples(exposition, "comfymesh_tenant_waiting")
        ages = samples(exposition, "comfymesh_tenant_age_seconds")
    assert len(created) <= catalogue.TASKS_CREATED.most_series == 21
    assert len(waiting) == len(ages) == 21
    assert sum(waiting.values()) == sum(range(10_000))
    assert ages[("other",)] == 9979
    assert ages[("tenant-9999",)] == 9999


def test_the_busiest_tenant_is_told_apart_however_late_it_comes() -> None:
    leaders = Leaders(2)
    for number in range(20_000):
        leaders.label(f"tenant-{number % 50}")
        if number >= 2_000:
            leaders.label("busy")
    assert leaders.label("busy") == "busy"


def test_names_are_cut_to_a_length() -> None:
    assert len(Leaders(1).label("x" * 10_000)) == 128
