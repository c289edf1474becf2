"""Shows metrics to Prometheus, in its own format or OpenMetrics, whichever it asks for. One file knows its library.

OpenTelemetry's own exporter for Prometheus leaves exemplars out (ADR 39), so the values are handed over here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    NumberDataPoint,
    Sum,
)
from opentelemetry.trace import format_span_id, format_trace_id
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from comfymesh.telemetry.collecting import complete
from comfymesh.telemetry.instrument import Instrument
from comfymesh.telemetry.metrics import Metrics


class Exposition(Collector):
    """Answers `GET /metrics` on a thread of its own.

    Args:
        instruments: What there is, by name.
        metrics: What has been recorded.

    Attributes:
        reader: Where the values come from; to be given to a MeterProvider.
        port: Where it listens.
    """

    def __init__(self, instruments: Mapping[str, Instrument], metrics: Metrics) -> None:
        self.reader = InMemoryMetricReader()
        self.port = 0
        self._instruments = instruments
        self._metrics = metrics
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def listen(self, host: str, port: int) -> None:
        """Begin to answer; port 0 stands for a free one.

        Raises:
            OSError: the address can't be used.
        """
        self._server, self._thread = start_http_server(port, host, self._registry)
        self.port = int(self._server.server_port)

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def collect(self) -> Iterator[Family]:
        """Everything as it is now."""
        read = self.reader.get_metrics_data()
        for resource in complete(read, self._metrics).resource_metrics if read else ():
            yield _target(resource.resource.attributes)
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if (instrument := self._instruments.get(metric.name)) is not None:
                        yield _family(instrument, metric)


def _family(instrument: Instrument, metric: Metric) -> Family:
    name, labels = instrument.prometheus_name, [attribute.label for attribute in instrument.attributes]
    points = metric.data.data_points
    family: Any
    if isinstance(metric.data, Sum) and metric.data.is_monotonic:
        family = CounterMetricFamily(name.removesuffix("_total"), instrument.description, labels=labels)
    elif any(isinstance(point, HistogramDataPoint) for point in points):
        family = HistogramMetricFamily(name, instrument.description, labels=labels)
    else:
        family = GaugeMetricFamily(name, instrument.description, labels=labels)
    for point in points:
        values = [str((point.attributes or {}).get(attribute.name, "")) for attribute in instrument.attributes]
        if isinstance(point, HistogramDataPoint):
            family.add_metric(values, _buckets(point), point.sum)
        elif isinstance(point, NumberDataPoint):
            family.add_metric(values, point.value)
    made: Family = family
    return made


def _buckets(point: HistogramDataPoint) -> list[tuple[str, float, Exemplar | None]]:
    """Buckets as Prometheus has them: each counts all that is up to its bound, and shows one of its own values."""
    found = list[tuple[str, float, Exemplar | None]]()
    count, below = 0, float("-inf")
    for bound, own in zip((*point.explicit_bounds, float("inf")), point.bucket_counts, strict=True):
        count += own
        name = "+Inf" if bound == float("inf") else str(float(bound))
        found.append((name, float(count), _exemplar(point, below, bound)))
        below = bound
    return found


def _exemplar(point: HistogramDataPoint, above: float, up_to: float) -> Exemplar | None:
    """The newest value in a bucket of which a trace is known."""
    inside = [exemplar for exemplar in point.exemplars if exemplar.trace_id and above < exemplar.value <= up_to]
    if not inside:
        return None
    newest = max(inside, key=lambda exemplar: exemplar.time_unix_nano)
    labels = {"trace_id": format_trace_id(newest.trace_id or 0), "span_id": format_span_id(newest.span_id or 0)}
    return Exemplar(labels, newest.value, newest.time_unix_nano / 1e9)


def _target(attributes: Mapping[str, Any]) -> Family:
    told = {name.replace(".", "_"): str(value) for name, value in attributes.items()}
    return InfoMetricFamily("target", "What is measured.", value=told)
