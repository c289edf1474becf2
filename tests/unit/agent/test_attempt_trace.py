"""Spans of an attempt, made of what ComfyUI tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from comfymesh.agent.attempt_trace import _MOST_NODES, AttemptTrace
from comfymesh.agent.claim import Claim
from comfymesh.agent.comfyui.events import Event, ExecutionCached, ExecutionSucceeded, NodeStarted
from comfymesh.agent.domain.past import Past
from comfymesh.bus.tasklog import TaskLog
from comfymesh.tasks import events
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import TaskRecord, prompt_id
from comfymesh.telemetry.spans import Finished
from comfymesh.testkit.measuring import recorded
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import after, assigned, failed, queued

PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"
GRAPH = {"1": {"class_type": "KSampler"}, "2": {"class_type": "SaveImage"}}
Ended = list[Finished]


@pytest.fixture
def ended() -> Iterator[Ended]:
    with recorded() as ended:
        yield ended


def trace_of(record: TaskRecord) -> AttemptTrace:
    claim = Claim.held(TaskLog(MemoryBus()), Past(), record, 1)
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


def spans(ended: Ended) -> dict[str, Finished]:
    return {span.name: span for span in ended}


def test_each_graph_node_that_runs_or_is_cached_has_a_span(ended: Ended) -> None:
    told = [ExecutionCached("p", ("1",)), begun("2"), ExecutionSucceeded("p")]
    run(after(queued(trace_parent=PARENT), assigned()), *told)
    found = spans(ended)
    assert found.keys() == {"attempt", "KSampler", "SaveImage"}
    assert found["KSampler"].attributes == {"comfymesh.graph_node": "1", "comfymesh.cached": True}
    assert found["KSampler"].start == found["KSampler"].end
    assert found["SaveImage"].attributes == {"comfymesh.graph_node": "2", "comfymesh.cached": False}
    assert found["SaveImage"].parent_id == found["attempt"].span_id


def test_what_was_made_at_run_time_is_called_as_what_made_it(ended: Ended) -> None:
    run(after(queued(trace_parent=PARENT), assigned()), begun("1.0.3", "1"), begun("unknown"))
    assert spans(ended).keys() == {"attempt", "KSampler", "graph node"}


def test_a_graph_that_loops_makes_so_many_spans_and_no_more(ended: Ended) -> None:
    run(after(queued(trace_parent=PARENT), assigned()), *[begun("1")] * (2 * _MOST_NODES))
    assert len(ended) == _MOST_NODES + 1


def test_a_failure_is_told_by_its_class_and_not_in_the_words_of_comfyui(ended: Ended) -> None:
    run(after(queued(trace_parent=PARENT), assigned()), end=failed(FailureClass.TIMEOUT, "a secret prompt"))
    attempt = spans(ended)["attempt"]
    assert attempt.attributes["error.type"] == attempt.error == "TIMEOUT"
    assert "secret" not in repr(attempt)


def test_a_second_attempt_links_to_the_first_although_nobody_told_it(ended: Ended) -> None:
    first = after(queued(trace_parent=PARENT), assigned("a"))
    run(first)
    second = after(first, failed(FailureClass.INTERNAL), assigned("b"))
    run(second)
    one, two = ended
    assert two.trace_id == one.trace_id
    assert list(two.links) == [one.span_id]


def test_a_prompt_that_is_adopted_goes_on_in_the_same_span(ended: Ended) -> None:
    record = after(queued(trace_parent=PARENT), assigned())
    run(record)
    run(replace(record, reason="adopted"))
    assert len({span.span_id for span in ended}) == 1


def test_where_nothing_is_traced_nothing_is_made() -> None:
    run(after(queued(), assigned()), begun("1"), end=failed())
