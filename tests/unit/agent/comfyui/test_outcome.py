"""History is the truth about how a prompt ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfymesh.agent.comfyui.outcome import Failed, Interrupted, Succeeded, read_history

if TYPE_CHECKING:
    from .recorded import Trace


def entry(status_str: str, *messages: tuple[str, dict[str, str]]) -> dict[str, object]:
    return {"outputs": {}, "status": {"status_str": status_str, "messages": [list(message) for message in messages]}}


BLOCKED = ("execution_error", {"exception_type": "ExecutionBlocked", "exception_message": "blocked"})
FAILED = ("execution_error", {"exception_type": "ValueError", "exception_message": "bad", "node_id": "3"})
INTERRUPTED = ("execution_interrupted", {"node_id": "2"})


def test_every_recorded_history_ends_as_its_last_message_says(trace: Trace) -> None:
    expected = {
        "execution_success": Succeeded,
        "execution_error": Failed,
        "execution_interrupted": Interrupted,
    }
    for recorded in trace.histories.values():
        last = recorded["status"]["messages"][-1][0]
        assert isinstance(read_history(recorded, {}), expected[last])


def test_the_traces_hold_every_end(traces: dict[str, Trace]) -> None:
    ends = {type(read_history(one, {})) for trace in traces.values() for one in trace.histories.values()}
    assert ends == {Succeeded, Failed, Interrupted}


def test_a_success_tells_its_outputs_and_what_was_left_out(traces: dict[str, Trace]) -> None:
    recorded = next(iter(traces["06"].histories.values()))
    outcome = read_history(recorded, {"5": {"errors": []}})
    assert isinstance(outcome, Succeeded)
    assert outcome.outputs == recorded["outputs"]
    assert outcome.node_errors == {"5": {"errors": []}}
    assert outcome.executed_outputs == tuple(recorded["prompt"][4])


def test_a_blocked_graph_node_does_not_fail_the_prompt(traces: dict[str, Trace]) -> None:
    (recorded,) = traces["17"].histories.values()
    assert isinstance(read_history(recorded, {}), Succeeded)


def test_success_counts_even_where_history_lists_a_blocked_graph_node() -> None:
    assert isinstance(read_history(entry("success", BLOCKED), {}), Succeeded)


def test_the_error_that_counts_is_the_final_one() -> None:
    outcome = read_history(entry("error", FAILED, BLOCKED), {})
    assert isinstance(outcome, Failed)
    assert (outcome.error.exception_type, outcome.error.graph_node) == ("ValueError", "3")


def test_an_interrupt_is_told_apart_from_an_error() -> None:
    assert read_history(entry("error", INTERRUPTED), {}) == Interrupted()


def test_a_history_that_explains_nothing_is_a_failure_that_says_so() -> None:
    for odd in ({}, {"status": None}, {"status": {"status_str": "error", "messages": "none"}}, entry("error", BLOCKED)):
        outcome = read_history(odd, {})
        assert isinstance(outcome, Failed)
        assert "names no error" in outcome.error.message


def test_odd_shapes_of_a_success_are_an_empty_success() -> None:
    odd = {"outputs": [], "prompt": [1, 2], "status": {"status_str": "success"}}
    assert read_history(odd, {}) == Succeeded({})
