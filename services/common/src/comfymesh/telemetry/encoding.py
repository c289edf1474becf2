"""Writes spans as OTLP's bytes, at a third of what protobuf's own messages take (ADR 73). Pure.

A message is a row of fields in any order: number and kind in one byte or two, the length where it varies, the value
(https://protobuf.dev/programming-guides/encoding). Numbers come from OTLP's own descriptors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from struct import Struct

from google.protobuf.descriptor import Descriptor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, SpanFlags, Status

from comfymesh.telemetry.spans import Finished, Kind

_KNOWN = 1024
"""Names and attributes that are kept as they are written: most come again and again."""
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
"""Whole numbers that OTLP can tell. Others are told as text: one that is not would cost the spans that go with it."""
_LOCAL = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE = _LOCAL | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_KINDS = {Kind.INTERNAL: Span.SPAN_KIND_INTERNAL, Kind.SERVER: Span.SPAN_KIND_SERVER}
_FIXED64, _LENGTH, _FIXED32 = 1, 2, 5


def request(spans: Iterable[Finished], resource: Resource) -> ExportTraceServiceRequest:
    """What is sent of these spans. That it can be read proves that it was written well."""
    of_scope = _SCOPE + b"".join([_field(_SPANS, _span(span)) for span in spans])
    sent = _field(_RESOURCE, resource.SerializeToString()) + _field(_SCOPE_SPANS, of_scope)
    return ExportTraceServiceRequest.FromString(_field(_RESOURCE_SPANS, sent))


def attributes(told: Mapping[str, object]) -> list[KeyValue]:
    """Attributes as protobuf's own messages."""
    return [KeyValue(key=name, value=_value(value)) for name, value in told.items()]


def _span(span: Finished) -> bytes:
    trace_id = span.trace_id.to_bytes(16)
    flags = _REMOTE if span.of_other else _LOCAL
    times_and_flags = (_START, span.start, _END, span.end, _FLAGS, flags, _KIND, _KINDS[span.kind])
    parts = [
        _HEAD.pack(_TRACE_ID, trace_id, _SPAN_ID, span.span_id.to_bytes(8), *times_and_flags),
        _name(span.name),
        *[_attribute(name, value) for name, value in span.attributes.items()],
    ]
    if span.parent_id:
        parts += (_PARENT_ID, span.parent_id.to_bytes(8))
    for link in span.links:
        parts.append(
            _field(_LINKS, Span.Link(trace_id=trace_id, span_id=link.to_bytes(8), flags=_REMOTE).SerializeToString())
        )
    if span.error:
        parts.append(_field(_STATUS, Status(code=Status.STATUS_CODE_ERROR, message=span.error).SerializeToString()))
    return b"".join(parts)


@lru_cache(_KNOWN)
def _name(name: str) -> bytes:
    return _field(_NAME, _text(name).encode())


@lru_cache(_KNOWN, typed=True)
def _attribute(name: str, value: object) -> bytes:
    """Of each type its own: 1, 1.0 and True are equal."""
    return _field(_ATTRIBUTES, KeyValue(key=name, value=_value(value)).SerializeToString())


def _value(value: object) -> AnyValue:
    match value:
        case str():
            return AnyValue(string_value=_text(value))
        case bool():
            return AnyValue(bool_value=value)
        case int() if _LEAST <= value <= _MOST:
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case _:
            return AnyValue(string_value=_text(str(value)))


def _text(value: str) -> str:
    """As protobuf takes it. Names in a graph may hold lone surrogates, which JSON can write and UTF-8 can't."""
    return value if value.isascii() else value.encode(errors="replace").decode()


def _field(tag: bytes, value: bytes) -> bytes:
    """A field of any length, behind that."""
    return tag + _number(len(value)) + value


def _number(value: int) -> bytes:
    """A whole number, seven bits a byte, the lowest first."""
    if value < 0x80:
        return value.to_bytes()
    return (value & 0x7F | 0x80).to_bytes() + _number(value >> 7)


def _tag(message: Descriptor, field: str, kind: int = _LENGTH) -> bytes:
    return _number(message.fields_by_name[field].number << 3 | kind)


_TRACE_ID = _tag(Span.DESCRIPTOR, "trace_id") + _number(16)
_SPAN_ID = _tag(Span.DESCRIPTOR, "span_id") + _number(8)
_PARENT_ID = _tag(Span.DESCRIPTOR, "parent_span_id") + _number(8)
_START = _tag(Span.DESCRIPTOR, "start_time_unix_nano", _FIXED64)
_END = _tag(Span.DESCRIPTOR, "end_time_unix_nano", _FIXED64)
_FLAGS = _tag(Span.DESCRIPTOR, "flags", _FIXED32)
_KIND = _tag(Span.DESCRIPTOR, "kind", 0)
_NAME = _tag(Span.DESCRIPTOR, "name")
_ATTRIBUTES = _tag(Span.DESCRIPTOR, "attributes")
_LINKS = _tag(Span.DESCRIPTOR, "links")
_STATUS = _tag(Span.DESCRIPTOR, "status")
_SPANS = _tag(ScopeSpans.DESCRIPTOR, "spans")
_SCOPE_SPANS = _tag(ResourceSpans.DESCRIPTOR, "scope_spans")
_RESOURCE = _tag(ResourceSpans.DESCRIPTOR, "resource")
_RESOURCE_SPANS = _tag(ExportTraceServiceRequest.DESCRIPTOR, "resource_spans")
_SCOPE = ScopeSpans(scope=InstrumentationScope(name="comfymesh")).SerializeToString()
_HEAD = Struct(f"<{len(_TRACE_ID)}s16s{len(_SPAN_ID)}s8s{len(_START)}sQ{len(_END)}sQ{len(_FLAGS)}sI{len(_KIND)}sB")
"""What every span has, in one go: ids, times, flags, and of whom it is."""
