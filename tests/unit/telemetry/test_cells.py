"""Histograms of our own say what the SDK's would."""

from __future__ import annotations

from dataclasses import replace

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Histogram, HistogramDataPoint, InMemoryMetricReader, Metric, MetricsData

from comfymesh.telemetry import catalogue, collecting, tracing
from comfymesh.telemetry.metrics import Metrics

VALUES = (0.0, 0.001, 0.0009, 0.7, 0.7, 1.0, 10.0, 99.0)


def context(number: int, flags: str) -> Context | None:
    return tracing.parent(f"00-{number:032x}-{number:016x}-{flags}")


def point(data: MetricsData, scope: str) -> HistogramDataPoint:
    """The one series of the calls' histogram."""
    scopes = [s for r in data.resource_metrics for s in r.scope_metrics if s.scope.name == scope]
    metrics = [metric for found in scopes for metric in found.metrics]
    (metric,) = (metric for metric in metrics if metric.name == catalogue.RPC_DURATION.name)
    assert isinstance(metric, Metric)
    assert isinstance(metric.data, Histogram)
    (found,) = metric.data.data_points
    assert isinstance(found, HistogramDataPoint)
    return found


@pytest.mark.parametrize("flags", ["01", "00"])
def test_a_histogram_is_what_the_sdk_would_have_made(flags: str) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    metrics, meter = Metrics(), provider.get_meter("theirs")
    metrics.bind(provider.get_meter(collecting.SCOPE), catalogue.of("api"))
    name, buckets = catalogue.RPC_DURATION.name, list(catalogue.RPC_DURATION.buckets)
    theirs = meter.create_histogram(name, "s", "", explicit_bucket_boundaries_advisory=buckets)
    labels = ("grpc", "comfymesh.v1.TaskService/GetTask", "OK")
    told = dict(zip(("rpc.system.name", "rpc.method", "rpc.response.status_code"), labels, strict=True))
    for number, value in enumerate(VALUES, 1):
        theirs.record(value, told, context(number, flags))
        metrics.record(catalogue.RPC_DURATION, value, *labels, context=context(number, flags))
    collected = reader.get_metrics_data()
    provider.shutdown()
    assert collected is not None
    expected = point(collected, "theirs")
    ours = point(collecting.complete(collected, metrics), collecting.SCOPE)
    examples = {(e.value, e.trace_id, e.span_id) for e in ours.exemplars}
    # The SDK keeps any one of a bucket, this the newest.
    assert {value for value, *_ in examples} <= set(VALUES)
    assert bool(examples) == (flags == "01")
    assert len(examples) == len(expected.exemplars)
    times = {"start_time_unix_nano": 0, "time_unix_nano": 0, "exemplars": []}
    assert replace(ours, **times, explicit_bounds=list(ours.explicit_bounds)) == replace(
        expected, **times, bucket_counts=list(expected.bucket_counts), explicit_bounds=list(expected.explicit_bounds)
    )


def test_the_present_span_is_an_example_where_none_is_given() -> None:
    metrics = Metrics()
    provider = MeterProvider(shutdown_on_exit=False)
    metrics.bind(provider.get_meter("test"), catalogue.of("api"))
    span = trace.NonRecordingSpan(trace.SpanContext(5, 6, is_remote=False, trace_flags=trace.TraceFlags(1)))
    with trace.use_span(span):
        metrics.record(catalogue.RPC_DURATION, 0.2, "grpc", "x", "OK")
    (cells,) = metrics.histograms()[catalogue.RPC_DURATION].values()
    assert [(e.trace_id, e.span_id) for e in cells.examples.values()] == [(5, 6)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_left_out_and_all_others_count(value: float) -> None:
    metrics = Metrics()
    provider = MeterProvider(shutdown_on_exit=False)
    metrics.bind(provider.get_meter("test"), catalogue.of("api"))
    for each in (1.0, value, 2.0):
        metrics.record(catalogue.RPC_DURATION, each, "grpc", "x", "OK")
    (cells,) = metrics.histograms()[catalogue.RPC_DURATION].values()
    assert (cells.total, sum(cells.counts)) == (3.0, 2)
