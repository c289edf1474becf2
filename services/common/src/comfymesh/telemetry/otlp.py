"""Sends spans by OTLP: many at once, from a thread of its own.

The SDK's processor batches, its exporter sends and tries again. The messages are made straight from our values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanContext, TraceFlags

from comfymesh.telemetry.encoding import attributes, request
from comfymesh.telemetry.spans import Finished

_SAMPLED = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class _Item:
    """A span in the hands of the SDK's processor, which wants to know one thing of it: that it is sampled."""

    __slots__ = ("value",)

    context = _SAMPLED

    def __init__(self, value: Finished) -> None:
        self.value = value


class Sender:
    """Sends spans from a thread.

    Args:
        endpoint: OTLP/gRPC endpoint.
        insecure: Whether it is spoken to without TLS.
        timeout: Seconds for one batch, with all that it is tried again.
        resource: Who sends.
    """

    def __init__(self, endpoint: str, *, insecure: bool, timeout: float, resource: Resource) -> None:
        exporter = _Exporter(endpoint=endpoint, insecure=insecure, timeout=timeout)
        exporter.resource = ResourceMessage(attributes=attributes(resource.attributes))
        self._batches = BatchSpanProcessor(exporter)

    def send(self, span: Finished) -> None:
        """Send it some time soon. What is too much for the one who takes it is dropped."""
        self._batches.on_end(cast("ReadableSpan", _Item(span)))

    def stop(self) -> None:
        """Send what is left."""
        self._batches.shutdown()  # type: ignore[no-untyped-call]


class _Exporter(OTLPSpanExporter):
    """The SDK's exporter, but for how messages are made."""

    resource: ResourceMessage

    def _translate_data(self, data: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
        return request((item.value for item in cast("Sequence[_Item]", data)), self.resource)
