"""Spans of an attempt, made of what ComfyUI tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import patch

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

from comfymesh.agent.attempt_trace import _MOST_NODES, AttemptTrace
from comfymesh.agent.claim import Claim
from comfymesh.agent.comfyui.events import Event, ExecutionCached, ExecutionSucceeded, NodeStarted
from comfymesh.bus.tasklog import TaskLog
from comfymesh.tasks import events
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import TaskRecord, prompt_id
from comfymesh.telemetry import tracing
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import after, assigned, failed, queued

PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"
GRAPH = {"1": {"class_type": "KSampler"}, "2": {"class_type": "SaveImage"}}
Spans = dict[str, ReadableSpan]


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(id_generator=tracing.Ids(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with patch.object(tracing, "tracer", provider.get_tracer("test")):
        yield exporter


def trace_of(record: TaskRecord) -> AttemptTrace:
    claim = Claim.held(TaskLog(MemoryBus()), record, 1)
    return AttemptTrace(claim, prompt_id(record.key, record.attempt, record.node, record.instance))


def run(record: TaskRecord, *told: Event, end: events.Event | None = None) -> None:
    trace = trace_of(record)
    with trace.running():
        trace.submit(GRAPH)
        for event in told:
            trace.feed(event)
        if end is not None:
            trace.ended(end)


def begun(graph_node: str, display: str = "") -> NodeStarted:
    return NodeStarted("p", graph_node, display or graph_node)


def spans(exporter: InMemorySpanExporter) -> Spans:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_each_graph_node_that_runs_or_is_cached_has_a_span(exporter: InMemorySpanExporter) -> None:
    told = [ExecutionCached("p", ("1",)), begun("2"), ExecutionSucceeded("p")]
    run(after(queued(trace_parent=PARENT), assigned()), *told)
    found = spans(exporter)
    assert found.keys() == {"attempt", "KSampler", "SaveImage"}
    assert dict(found["KSampler"].attributes or {}) == {"comfymesh.graph_node": "1", "comfymesh.cached": True}
    assert found["KSampler"].start_time == found["KSampler"].end_time
    assert dict(found["SaveImage"].attributes or {}) == {"comfymesh.graph_node": "2", "comfymesh.cached": False}
    assert found["SaveImage"].parent is not None
    assert found["attempt"].context is not None
    assert found["SaveImage"].parent.span_id == found["attempt"].context.span_id


def test_what_was_made_at_run_time_is_called_as_what_made_it(exporter: InMemorySpanExporter) -> None:
    run(after(queued(trace_parent=PARENT), assigned()), begun("1.0.3", "1"), begun("unknown"))
    assert spans(exporter).keys() == {"attempt", "KSampler", "graph node"}


def test_a_graph_that_loops_makes_so_many_spans_and_no_more(exporter: InMemorySpanExporter) -> None:
    run(after(queued(trace_parent=PARENT), assigned()), *[begun("1")] * (2 * _MOST_NODES))
    assert len(exporter.get_finished_spans()) == _MOST_NODES + 1


def test_a_failure_is_told_by_its_class_and_not_in_the_words_of_comfyui(exporter: InMemorySpanExporter) -> None:
    run(after(queued(trace_parent=PARENT), assigned()), end=failed(FailureClass.TIMEOUT, "a secret prompt"))
    attempt = spans(exporter)["attempt"]
    assert attempt.attributes is not None
    assert attempt.attributes["error.type"] == "TIMEOUT"
    assert "secret" not in attempt.to_json()


def test_a_second_attempt_links_to_the_first_although_nobody_told_it(exporter: InMemorySpanExporter) -> None:
    first = after(queued(trace_parent=PARENT), assigned("a"))
    run(first)
    second = after(first, failed(FailureClass.INTERNAL), assigned("b"))
    run(second)
    one, two = exporter.get_finished_spans()
    assert one.context is not None
    assert [link.context for link in two.links] == [as_told(one)]


def as_told(span: ReadableSpan) -> object:
    assert span.context is not None
    return SpanContext(
        span.context.trace_id, span.context.span_id, is_remote=True, trace_flags=span.context.trace_flags
    )


def test_a_prompt_that_is_adopted_goes_on_in_the_same_span(exporter: InMemorySpanExporter) -> None:
    record = after(queued(trace_parent=PARENT), assigned())
    run(record)
    run(replace(record, reason="adopted"))
    assert len({span.context.span_id for span in exporter.get_finished_spans() if span.context}) == 1


def test_where_nothing_is_traced_nothing_is_made() -> None:
    run(after(queued(), assigned()), begun("1"), end=failed())
