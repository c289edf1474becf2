"""Sends spans by OTLP: makes messages of many at once, in a thread of its own.

The SDK's processor batches, its exporter sends and tries again. The messages are made here, straight from our values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, SpanFlags, Status
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanContext, TraceFlags

from comfymesh.telemetry.spans import Finished, Kind

_SCOPE = InstrumentationScope(name="comfymesh")
_LOCAL = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE = _LOCAL | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_KINDS = {Kind.INTERNAL: Span.SPAN_KIND_INTERNAL, Kind.SERVER: Span.SPAN_KIND_SERVER}
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
        exporter.resource = ResourceMessage(attributes=_attributes(resource.attributes))
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


def request(spans: Iterable[Finished], resource: ResourceMessage) -> ExportTraceServiceRequest:
    """What is sent of these spans."""
    scope = ScopeSpans(scope=_SCOPE, spans=[_span(span) for span in spans])
    return ExportTraceServiceRequest(resource_spans=[ResourceSpans(resource=resource, scope_spans=[scope])])


def _span(span: Finished) -> Span:
    trace_id = span.trace_id.to_bytes(16)
    message = Span(
        trace_id=trace_id,
        span_id=span.span_id.to_bytes(8),
        name=_text(span.name),
        kind=_KINDS[span.kind],
        start_time_unix_nano=span.start,
        end_time_unix_nano=span.end,
        attributes=_attributes(span.attributes),
        flags=_REMOTE if span.of_other else _LOCAL,
    )
    if span.parent_id:
        message.parent_span_id = span.parent_id.to_bytes(8)
    for link in span.links:
        message.links.add(trace_id=trace_id, span_id=link.to_bytes(8), flags=_REMOTE)
    if span.error:
        message.status.code = Status.STATUS_CODE_ERROR
        message.status.message = span.error
    return message


def _attributes(attributes: Mapping[str, object]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_value(value)) for name, value in attributes.items()]


def _value(value: object) -> AnyValue:
    match value:
        case str():
            return AnyValue(string_value=_text(value))
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case _:
            return AnyValue(string_value=_text(str(value)))


def _text(value: str) -> str:
    """As protobuf takes it. Names in a graph may hold lone surrogates, which JSON can write and UTF-8 can't."""
    return value if value.isascii() else value.encode(errors="replace").decode()
