"""A collector of one's own: keeps the spans and metrics that services send, for whoever wants to look at them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True, slots=True)
class Sent:
    """A span, and the service that sent it."""

    service: str
    span: Span

    @property
    def attributes(self) -> dict[str, Any]:
        """Its attributes."""
        return {a.key: getattr(a.value, str(a.value.WhichOneof("value"))) for a in self.span.attributes}


@dataclass(slots=True)
class Collector:
    """Keeps every span, and each metric as it was sent last.

    Attributes:
        endpoint: Where services send them: COMFYMESH_OTLP_ENDPOINT.
        sent: Every span so far.
        measured: Metrics by service and name.
    """

    endpoint: str = ""
    sent: list[Sent] = field(default_factory=list)
    measured: dict[tuple[str, str], Metric] = field(default_factory=dict)

    async def Export(self, request: Any, _: Any) -> Any:  # noqa: ANN401, N802  # the contract's name, of two services
        """Take in what a service sends."""
        if isinstance(request, metrics_service_pb2.ExportMetricsServiceRequest):
            for resource in request.resource_metrics:
                found = (metric for scope in resource.scope_metrics for metric in scope.metrics)
                self.measured |= {(_service(resource.resource), metric.name): metric for metric in found}
            return metrics_service_pb2.ExportMetricsServiceResponse()
        for resource in request.resource_spans:
            service = _service(resource.resource)
            self.sent += [Sent(service, span) for scope in resource.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def named(self, name: str) -> list[Sent]:
        """Every span of that name, in the order in which they began."""
        return sorted((s for s in self.sent if s.span.name == name), key=lambda s: s.span.start_time_unix_nano)

    def trace(self, trace_id: bytes) -> list[Sent]:
        """Every span of a trace, in the order in which they began."""
        found = (sent for sent in self.sent if sent.span.trace_id == trace_id)
        return sorted(found, key=lambda sent: sent.span.start_time_unix_nano)


def _service(resource: Resource) -> str:
    return next(a.value.string_value for a in resource.attributes if a.key == "service.name")


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector that listens on a free port of loopback."""
    collector, server = Collector(), grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(collector, server)
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(1)
