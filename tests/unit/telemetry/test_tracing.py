"""Spans, their ids, what is sampled, and what is sent."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from opentelemetry import trace
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider

from comfymesh.client import tracing as sdk
from comfymesh.client.access import Access
from comfymesh.telemetry import encoding, tracing
from comfymesh.telemetry.spans import Finished, Recorder
from comfymesh.testkit.measuring import recorded

PARENT = f"00-{'ab' * 16}-{'cd' * 8}"


@pytest.fixture
def spans() -> Iterator[list[Finished]]:
    with recorded() as found:
        yield found


def sent(*spans: Finished) -> list[Span]:
    """As a collector reads it."""
    message = encoding.request(spans, Resource())
    return list(type(message).FromString(message.SerializeToString()).resource_spans[0].scope_spans[0].spans)


@pytest.mark.parametrize(("flags", "kept"), [("01", True), ("00", False)])
@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_whether_a_trace_is_recorded_is_for_whoever_began_it(*, flags: str, kept: bool, ratio: float) -> None:
    with recorded(ratio):
        assert tracing.begin("x", tracing.parent(f"{PARENT}-{flags}")).is_recording == kept


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_new_traces_are_recorded_by_ratio(ratio: float) -> None:
    with recorded(ratio):
        assert tracing.begin("x").is_recording == bool(ratio)


def test_a_share_of_new_traces_is_recorded() -> None:
    recorder = Recorder(0.25, print)
    step = (1 << 64) // 1000
    assert sum(recorder.keeps((7 << 64) + number * step + step // 2) for number in range(1000)) == 250


def test_what_is_not_recorded_is_known_as_such_to_all_that_come_after(spans: list[Finished]) -> None:
    with recorded(0.0), tracing.use(tracing.begin("call")):
        handed_on = tracing.current()
    assert handed_on.endswith("-00")
    with recorded(1.0), tracing.use(tracing.begin("attempt", tracing.parent(handed_on))), tracing.part("claim"):
        assert tracing.ids()["trace_id"] == handed_on.split("-")[1]
    assert spans == []


@pytest.mark.parametrize(
    "hostile", ["", "x", f"{PARENT}-zz", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "\x00" * 100, f"{PARENT}-01" * 9]
)
def test_what_is_no_trace_context_is_nobodys_child(hostile: str, spans: list[Finished]) -> None:
    tracing.begin("x", tracing.parent(hostile), links=[7]).end()
    assert spans[0].parent_id == 0
    assert spans[0].links == (), "a link leads to a span of the same trace, and this one has just begun"


def test_a_span_can_be_known_by_what_it_is_of(spans: list[Finished]) -> None:
    uuid = str(uuid4())
    tracing.begin("known", span_id=tracing.id_of(uuid)).end()
    tracing.begin("other").end()
    assert spans[0].span_id == tracing.id_of(uuid) != spans[1].span_id


def test_parts_are_of_the_span_in_which_they_are_entered_and_end_when_left(spans: list[Finished]) -> None:
    with tracing.use(tracing.begin("whole", tracing.parent(f"{PARENT}-01"))), tracing.part("outer"):
        with pytest.raises(ValueError, match="words"), tracing.part("inner"):
            raise ValueError("words of a caller")
        before = tracing.current()
    inner, outer = spans
    assert (inner.name, inner.parent_id, inner.error) == ("inner", outer.span_id, "")
    assert before == f"00-{'ab' * 16}-{outer.span_id:016x}-01"
    assert not tracing.ids()


def test_a_second_end_tells_nothing(spans: list[Finished]) -> None:
    span = tracing.begin("x", start=5)
    span.end(7)
    span.end(9)
    assert [(one.start, one.end) for one in spans] == [(5, 7)]


def test_a_collector_reads_what_was_recorded(spans: list[Finished]) -> None:
    parent = tracing.parent(f"{PARENT}-01")
    span = tracing.begin(
        "x", parent, kind=tracing.Kind.SERVER, attributes={"a": 1, "b": True}, links=[9], span_id=8, start=5
    )
    span.tell("c", "text")
    span.fail("TIMEOUT")
    span.end(7)
    (read,) = sent(*spans)
    assert (read.trace_id.hex(), read.parent_span_id.hex()) == ("ab" * 16, "cd" * 8)
    assert (read.span_id, read.name, read.kind) == ((8).to_bytes(8), "x", Span.SPAN_KIND_SERVER)
    assert (read.start_time_unix_nano, read.end_time_unix_nano) == (5, 7)
    told = {a.key: getattr(a.value, str(a.value.WhichOneof("value"))) for a in read.attributes}
    assert told == {"a": 1, "b": True, "c": "text", "error.type": "TIMEOUT"}
    assert [(link.trace_id, link.span_id) for link in read.links] == [(read.trace_id, (9).to_bytes(8))]
    assert (read.status.code, read.status.message) == (Status.STATUS_CODE_ERROR, "TIMEOUT")


def test_a_name_that_utf_8_can_not_write_costs_no_other_span(spans: list[Finished]) -> None:
    tracing.begin("\ud800Loader", attributes={"comfymesh.graph_node": "\udfff"}).end()
    tracing.begin("Ksämpler").end()
    assert [span.name for span in sent(*spans)] == ["?Loader", "Ksämpler"]


def test_the_sdk_hands_on_the_callers_span_and_nothing_where_there_is_none() -> None:
    assert sdk.metadata() == ()
    span = TracerProvider(shutdown_on_exit=False).get_tracer("test").start_span("caller")
    with trace.use_span(span):
        ((name, value),) = sdk.metadata()
    assert name == "traceparent"
    assert value.split("-")[1] == trace.format_trace_id(span.get_span_context().trace_id)
    assert Access(api_key="k").metadata() == (("authorization", "Bearer k"),)


def test_a_caller_without_opentelemetry_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk, "inject", None)
    with trace.use_span(TracerProvider(shutdown_on_exit=False).get_tracer("test").start_span("caller")):
        assert sdk.metadata() == ()
