"""The progress of a whole prompt never goes back and stays within its bounds, whatever the server tells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.agent.comfyui.events import (
    Event,
    ExecutionCached,
    ExecutionError,
    ExecutionFailed,
    ExecutionStarted,
    ExecutionSucceeded,
    GraphNodeState,
    NodeStarted,
    ProgressState,
    PromptEnded,
    PromptEvent,
    StepProgress,
)
from comfymesh.agent.comfyui.progress import ProgressView, PromptProgress
from comfymesh.agent.comfyui.protocol import parse_text

if TYPE_CHECKING:
    from .recorded import Trace

CLASSES = {"1": "EmptyImage", "2": "KSampler", "3": "SaveImage", "4": "PreviewImage"}


def state(graph_node: str, value: float, maximum: float, *, finished: bool = False) -> GraphNodeState:
    return GraphNodeState(graph_node, graph_node.partition(".")[0], value, maximum, finished)


def after(*events: Event, weights: dict[str, float] | None = None) -> ProgressView:
    progress = PromptProgress(CLASSES, weights)
    for event in events:
        progress.feed(event)
    return progress.view


def test_nothing_is_done_before_the_first_event() -> None:
    assert after() == ProgressView(0.0, 0, 4, "", "", 0, 0)


def test_cached_graph_nodes_count_as_done() -> None:
    view = after(ExecutionStarted("p"), ExecutionCached("p", ("1", "3")))
    assert (view.fraction, view.graph_nodes_done) == (0.5, 2)


def test_graph_nodes_that_are_not_in_the_graph_do_not_count() -> None:
    assert after(ExecutionCached("p", ("77",)), NodeStarted("p", "88", "88")) == after()


def test_steps_advance_the_share_of_their_graph_node() -> None:
    view = after(NodeStarted("p", "2", "2"), StepProgress("p", "2", 3, 4))
    assert view == ProgressView(0.25 * 0.75, 0, 4, "2", "KSampler", 3, 4)


def test_the_next_graph_node_starts_without_steps() -> None:
    view = after(NodeStarted("p", "2", "2"), StepProgress("p", "2", 4, 4), NodeStarted("p", "3", "3"))
    assert (view.graph_node, view.graph_node_class, view.step, view.step_count) == ("3", "SaveImage", 0, 0)


def test_an_older_server_finishes_a_graph_node_by_starting_the_next() -> None:
    view = after(NodeStarted("p", "1", "1"), NodeStarted("p", "2", "2"))
    assert (view.fraction, view.graph_nodes_done) == (0.25, 1)


def test_with_progress_states_a_start_finishes_nothing() -> None:
    running = ProgressState("p", (state("1", 0, 1), state("2", 0, 1)))
    view = after(NodeStarted("p", "1", "1"), running, NodeStarted("p", "2", "2"))
    assert view.graph_nodes_done == 0


def test_a_progress_state_alone_tells_all_that_began() -> None:
    view = after(ProgressState("p", (state("1", 1, 1, finished=True), state("2", 1, 2))))
    assert (view.fraction, view.graph_nodes_done) == (0.25 + 0.125, 1)


def test_run_time_graph_nodes_count_towards_the_one_that_stands_for_them() -> None:
    parts = (state("2", 0, 1), state("2.0.0.1", 2, 2, finished=True), state("2.0.0.2", 1, 2))
    view = after(ProgressState("p", parts), NodeStarted("p", "2.0.0.2", "2"), StepProgress("p", "2.0.0.2", 1, 2))
    assert view == ProgressView(0.25 * 0.5, 0, 4, "2", "KSampler", 1, 2)


def test_weights_share_out_the_whole() -> None:
    view = after(ExecutionCached("p", ("2",)), weights={"2": 7.0})
    assert view.fraction == 0.7


def test_only_success_completes() -> None:
    everything = ExecutionCached("p", tuple(CLASSES))
    assert after(everything).fraction < 1
    assert after(everything, PromptEnded("p")).fraction < 1
    failed = ExecutionFailed("p", ExecutionError("2", "KSampler", "RuntimeError", "no"))
    assert after(everything, failed, PromptEnded("p")).fraction < 1
    assert after(ExecutionSucceeded("p")) == ProgressView(1.0, 4, 4, "", "", 0, 0)


def test_an_empty_graph_is_no_division_by_zero() -> None:
    progress = PromptProgress({})
    progress.feed(NodeStarted("p", "1", "1"))
    assert progress.view.fraction == 0


def test_weights_of_nothing_are_no_division_by_zero() -> None:
    assert after(ExecutionCached("p", ("1",)), weights=dict.fromkeys(CLASSES, 0.0)).fraction == 0


def test_every_recorded_prompt_progresses_to_its_end(trace: Trace) -> None:
    graphs = {
        record["resp"]["prompt_id"]: record["req"]["prompt"]
        for record in trace.of("http")
        if record["path"] == "/prompt" and record["method"] == "POST" and record.get("status") == 200
    }
    succeeded = set()
    progress = {
        prompt_id: PromptProgress({node: body["class_type"] for node, body in graph.items()})
        for prompt_id, graph in graphs.items()
    }
    for event in map(parse_text, map(json.dumps, trace.texts)):
        if not isinstance(event, PromptEvent | NodeStarted) or event.prompt_id not in progress:
            continue
        before = progress[event.prompt_id].view
        progress[event.prompt_id].feed(event)
        assert_forward(before, progress[event.prompt_id].view)
        if isinstance(event, ExecutionSucceeded):
            succeeded.add(event.prompt_id)
    assert {prompt_id for prompt_id, one in progress.items() if one.view.fraction == 1} == succeeded


@pytest.mark.parametrize("number", ["01", "10", "24"])
def test_without_progress_states_a_recorded_prompt_progresses_likewise(traces: dict[str, Trace], number: str) -> None:
    """As from a server before 0.3.45."""
    progress = PromptProgress({"1": "", "2": "", "3": "", "4": "", "5": "", "6": "", "7": ""})
    fractions = []
    for event in map(parse_text, map(json.dumps, traces[number].texts)):
        if isinstance(event, ProgressState | ExecutionSucceeded):
            continue
        progress.feed(event)
        fractions.append(progress.view.fraction)
    assert fractions == sorted(fractions)
    assert fractions[-1] > 0.25


def assert_forward(before: ProgressView, now: ProgressView) -> None:
    assert 0 <= before.fraction <= now.fraction <= 1
    assert before.graph_nodes_done <= now.graph_nodes_done <= now.graph_node_count
    assert 0 <= now.step <= max(now.step_count, 0)


NODES = st.sampled_from([*CLASSES, "2.0.0.1", "2.0.0.2", "9", "9.1", ""])
NUMBERS = st.floats(0, 100)
EVENTS = st.one_of(
    st.builds(NodeStarted, st.just("p"), NODES, NODES),
    st.builds(StepProgress, st.just("p"), NODES, NUMBERS, NUMBERS),
    st.builds(ExecutionCached, st.just("p"), st.lists(NODES).map(tuple)),
    st.builds(
        ProgressState,
        st.just("p"),
        st.lists(st.builds(GraphNodeState, NODES, NODES, NUMBERS, NUMBERS, st.booleans()), max_size=6).map(tuple),
    ),
    st.just(ExecutionSucceeded("p")),
    st.just(PromptEnded("p")),
)


@given(st.lists(EVENTS, max_size=40), st.dictionaries(NODES, NUMBERS))
def test_progress_never_goes_back_and_stays_within_bounds(events: list[Event], weights: dict[str, float]) -> None:
    progress = PromptProgress(CLASSES, weights)
    for event in events:
        before = progress.view
        progress.feed(event)
        assert_forward(before, progress.view)
