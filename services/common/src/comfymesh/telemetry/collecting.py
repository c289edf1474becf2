"""Puts histograms of our own beside what the SDK has collected, for Prometheus as for a collector."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)

from comfymesh.telemetry.cells import Cells
from comfymesh.telemetry.instrument import Instrument
from comfymesh.telemetry.metrics import Labels, Metrics, attributes

SCOPE = "comfymesh"
"""Name of the meter through which all else is read. Every service has gauges, so it is there whenever one collects."""


class Exporter(OTLPMetricExporter):
    """The SDK's exporter, which also sends what `metrics` has in histograms."""

    metrics: Metrics

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **more: object) -> MetricExportResult:
        """See OTLPMetricExporter.export."""
        return super().export(complete(metrics_data, self.metrics), timeout_millis, **more)


def complete(collected: MetricsData, metrics: Metrics) -> MetricsData:
    """What the SDK has collected, and histograms: in the same scope, since the exporter sends one of each name."""
    now = time.time_ns()
    found = [_metric(instrument, series, now) for instrument, series in metrics.histograms().items() if series]
    return MetricsData([_to(resource, found) for resource in collected.resource_metrics])


def _to(resource: ResourceMetrics, found: Sequence[Metric]) -> ResourceMetrics:
    return replace(resource, scope_metrics=[_with(scope, found) for scope in resource.scope_metrics])


def _with(scope: ScopeMetrics, found: Sequence[Metric]) -> ScopeMetrics:
    return replace(scope, metrics=[*scope.metrics, *found]) if scope.scope.name == SCOPE else scope


def _metric(instrument: Instrument, series: Mapping[Labels, Cells], now: int) -> Metric:
    points = [_point(attributes(instrument, labels), cells, now) for labels, cells in series.items()]
    data = Histogram(points, AggregationTemporality.CUMULATIVE)
    return Metric(instrument.name, instrument.description, instrument.unit, data)


def _point(told: Mapping[str, str], cells: Cells, now: int) -> HistogramDataPoint:
    # `list` of a list, or of a dictionary's values, is one step of the interpreter: nobody changes it meanwhile.
    counts, examples = list(cells.counts), list(cells.examples.values())
    return HistogramDataPoint(
        attributes=told,
        start_time_unix_nano=cells.since,
        time_unix_nano=now,
        count=sum(counts),
        sum=cells.total,
        bucket_counts=counts,
        explicit_bounds=cells.bounds,
        min=cells.least,
        max=cells.most,
        exemplars=[Exemplar({}, e.value, e.time, e.span_id, e.trace_id) for e in examples],
    )
