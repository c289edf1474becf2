"""Starts and stops the OpenTelemetry SDK of a process."""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

_TIMEOUT = 2.0
"""Seconds for one export. A collector that is down must not hold up the stop of a service."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The running SDK; nothing in it where telemetry is off."""

    tracers: TracerProvider | None = None
    meters: MeterProvider | None = None

    def stop(self) -> None:
        """Send what was recorded, and end."""
        if self.tracers is not None:
            self.tracers.shutdown()
        if self.meters is not None:
            self.meters.shutdown()


def start(service: str, endpoint: str, ratio: float) -> Telemetry:
    """Send spans and metrics of this process to `endpoint` (OTLP/gRPC), or nowhere where it is empty."""
    if not endpoint:
        return Telemetry()
    insecure = not endpoint.startswith("https:")
    resource = Resource.create({"service.name": f"comfymesh-{service}"})
    tracers = TracerProvider(sampler=ParentBased(TraceIdRatioBased(ratio)), resource=resource)
    tracers.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=insecure, timeout=_TIMEOUT))
    )
    trace.set_tracer_provider(tracers)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=endpoint, insecure=insecure, timeout=_TIMEOUT))
    meters = MeterProvider(metric_readers=[reader], resource=resource)
    metrics.set_meter_provider(meters)
    return Telemetry(tracers, meters)
