"""Spans, their ids, and what is sampled."""

from __future__ import annotations

from uuid import uuid4

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from comfymesh.client import tracing as sdk
from comfymesh.client.access import Access
from comfymesh.telemetry import tracing

PARENT = f"00-{'ab' * 16}-{'cd' * 8}"


def provider(ratio: float = 1.0) -> TracerProvider:
    return TracerProvider(ParentBased(TraceIdRatioBased(ratio)), id_generator=tracing.Ids(), shutdown_on_exit=False)


@pytest.mark.parametrize(("flags", "recorded"), [("01", True), ("00", False)])
@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_whether_a_trace_is_recorded_is_for_whoever_began_it(*, flags: str, recorded: bool, ratio: float) -> None:
    tracer = provider(ratio).get_tracer("test")
    assert tracer.start_span("x", tracing.parent(f"{PARENT}-{flags}")).is_recording() == recorded


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_new_traces_are_recorded_by_ratio(ratio: float) -> None:
    assert provider(ratio).get_tracer("test").start_span("x").is_recording() == bool(ratio)


@pytest.mark.parametrize("hostile", ["", "x", f"{PARENT}-zz", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "\x00" * 100])
def test_what_is_no_trace_context_is_nobodys_child(hostile: str) -> None:
    span = provider().get_tracer("test").start_span("x", tracing.parent(hostile))
    assert span.is_recording()
    assert getattr(span, "parent", None) is None


def test_a_span_can_be_known_by_what_it_is_of() -> None:
    uuid, tracer = str(uuid4()), provider().get_tracer("test")
    with tracing.known_as(tracing.id_of(uuid)):
        known = tracer.start_span("known")
    other = tracer.start_span("other")
    assert known.get_span_context().span_id == tracing.id_of(uuid) != other.get_span_context().span_id


def test_a_link_leads_to_a_span_of_the_same_trace() -> None:
    made = tracing.link(tracing.parent(f"{PARENT}-01"), 17)
    assert made is not None
    assert (made.context.trace_id, made.context.span_id) == (int("ab" * 16, 16), 17)
    assert tracing.link(None, 17) is None


def test_the_sdk_hands_on_the_callers_span_and_nothing_where_there_is_none() -> None:
    assert sdk.metadata() == ()
    span = provider().get_tracer("test").start_span("caller")
    with trace.use_span(span):
        ((name, value),) = sdk.metadata()
    assert name == "traceparent"
    assert value.split("-")[1] == trace.format_trace_id(span.get_span_context().trace_id)
    assert Access(api_key="k").metadata() == (("authorization", "Bearer k"),)


def test_a_caller_without_opentelemetry_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk, "inject", None)
    with trace.use_span(provider().get_tracer("test").start_span("caller")):
        assert sdk.metadata() == ()
