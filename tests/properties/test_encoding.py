"""Spans as OTLP's bytes say what protobuf's own messages would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from comfymesh.telemetry import encoding
from comfymesh.telemetry.spans import Finished, Kind

IDS = st.integers(1, (1 << 64) - 1)
TIMES = st.integers(0, (1 << 63) - 1)
VALUES = st.text() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False)
SPANS = st.builds(
    Finished,
    name=st.text(),
    trace_id=st.integers(1, (1 << 128) - 1),
    span_id=IDS,
    parent_id=st.just(0) | IDS,
    of_other=st.booleans(),
    start=TIMES,
    end=TIMES,
    kind=st.sampled_from(Kind),
    attributes=st.dictionaries(st.text(), VALUES, max_size=5),
    links=st.lists(IDS, max_size=3),
    error=st.text(),
)
RESOURCE = Resource(attributes=encoding.attributes({"service.name": "comfymesh-test"}))


def message(span: Finished) -> Span:
    """A span as protobuf's own classes make it. Flag 0x100: 0x200 is known, "of another process"."""
    trace_id, remote = span.trace_id.to_bytes(16), 0x300
    return Span(
        trace_id=trace_id,
        span_id=span.span_id.to_bytes(8),
        parent_span_id=span.parent_id.to_bytes(8) if span.parent_id else b"",
        name=span.name,
        kind=Span.SPAN_KIND_SERVER if span.kind is Kind.SERVER else Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=span.start,
        end_time_unix_nano=span.end,
        attributes=encoding.attributes(span.attributes),
        links=[Span.Link(trace_id=trace_id, span_id=link.to_bytes(8), flags=remote) for link in span.links],
        status=Status(code=Status.STATUS_CODE_ERROR, message=span.error) if span.error else None,
        flags=remote if span.of_other else 0x100,
    )


@given(st.lists(SPANS, max_size=4))
def test_what_is_written_is_what_protobuf_would_make(spans: list[Finished]) -> None:
    scope = ScopeSpans(scope=InstrumentationScope(name="comfymesh"), spans=[message(span) for span in spans])
    (sent,) = encoding.request(spans, RESOURCE).resource_spans
    assert sent == ResourceSpans(resource=RESOURCE, scope_spans=[scope])


@given(st.integers(min_value=1 << 63) | st.integers(max_value=-(1 << 63) - 1))
def test_a_whole_number_that_is_too_large_is_told_as_text(value: int) -> None:
    """And costs no other span."""
    spans = [Finished("x", 1, 1, 0, False, 1, attributes={"a": told}) for told in (value, 1)]  # noqa: FBT003
    large, small = encoding.request(spans, RESOURCE).resource_spans[0].scope_spans[0].spans
    assert [span.attributes[0].value.WhichOneof("value") for span in (large, small)] == ["string_value", "int_value"]
    assert large.attributes[0].value.string_value == str(value)


def test_equal_values_of_other_types_stay_what_they_are() -> None:
    told = {"a": 1, "b": True, "c": 1.0}
    for values in (told, {"a": True, "b": 1.0, "c": 1}):
        span = Finished("x", 1, 1, 0, False, 1, attributes=values)  # noqa: FBT003
        (sent,) = encoding.request([span], RESOURCE).resource_spans[0].scope_spans[0].spans
        assert list(sent.attributes) == encoding.attributes(values)
