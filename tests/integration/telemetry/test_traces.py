"""Spans of one task, from the caller's call to the agent's attempt, make one trace at an OTLP collector."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from comfymesh.client import AsyncClient
from comfymesh.stack import mesh

GRAPH = Path(__file__).parents[2] / "data" / "comfyui" / "workflows" / "01-empty-save.json"


class Collector(trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer):
    """Keeps the spans that it is sent, with the service that sent them."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []

    async def Export(self, request: Any, _: Any) -> Any:  # noqa: N802  # the contract's name
        if isinstance(request, metrics_service_pb2.ExportMetricsServiceRequest):
            return metrics_service_pb2.ExportMetricsServiceResponse()
        for resource in request.resource_spans:
            (service,) = (a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            self.spans += [(service, span) for scope in resource.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def named(self, service: str, name: str) -> list[Span]:
        return [span for source, span in self.spans if (source, span.name) == (service, name)]


@pytest_asyncio.fixture
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    collector, server = Collector(), grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield collector, f"http://127.0.0.1:{port}"
    await server.stop(1)


async def test_a_task_is_one_trace_from_the_call_to_the_attempt(
    collector: tuple[Collector, str], tmp_path: Path
) -> None:
    spans, endpoint = collector
    plan = mesh.MeshPlan(tmp_path, [mesh.emulated()], "127.0.0.1:0", {"COMFYMESH_OTLP_ENDPOINT": endpoint})
    async with mesh.running(plan) as up, AsyncClient(up.target) as client:
        await client.run(GRAPH)
    # The processes have ended, and sent what they had left before they did.
    (call,) = spans.named("comfymesh-api", "comfymesh.v1.TaskService/RunTask")
    (attempt,) = spans.named("comfymesh-agent", "attempt")
    assert attempt.trace_id == call.trace_id
    assert attempt.parent_span_id == call.span_id


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1"])
async def test_a_collector_that_is_down_stops_nobody(endpoint: str, tmp_path: Path) -> None:
    plan = mesh.MeshPlan(tmp_path, [mesh.emulated()], "127.0.0.1:0", {"COMFYMESH_OTLP_ENDPOINT": endpoint})
    async with mesh.running(plan) as up, AsyncClient(up.target) as client:
        result = await client.run(GRAPH)
    assert result.artifacts
