"""What the end of a prompt means for its task."""

from __future__ import annotations

from typing import Any

import pytest

from comfymesh.agent.comfyui.errors import ComfyError, GraphRefused
from comfymesh.agent.comfyui.events import ExecutionError
from comfymesh.agent.comfyui.outcome import Failed, Lost, Noticed, Succeeded
from comfymesh.agent.domain import verdict
from comfymesh.agent.domain.folders import Folders
from comfymesh.agent.domain.own_outputs import with_own_prefix
from comfymesh.agent.domain.stops import GivenBack, Stop, TimedOut
from comfymesh.tasks import events
from comfymesh.tasks.events import AttemptFailed, Event, Released
from comfymesh.tasks.failures import WRITTEN_AS, FailureClass


def kind(event: Event) -> FailureClass:
    assert isinstance(event, AttemptFailed)
    return event.error.failure


def refused(*types: str, outer: str = "prompt_outputs_failed_validation") -> GraphRefused:
    errors = [{"type": name, "message": name, "details": "d"} for name in types]
    return GraphRefused({"type": outer, "message": "m"}, {"1": {"errors": errors, "class_type": "A"}} if errors else {})


def test_a_refused_output_is_told_in_a_word_that_the_last_version_knows() -> None:
    event = verdict.of_refused_output("too large", "OUTPUT_TOO_LARGE", "9")
    assert isinstance(event, AttemptFailed)
    assert {FailureClass("OUTPUT_REFUSED"): event.error.failure} == WRITTEN_AS
    assert event.error.metadata == {"problem": "OUTPUT_TOO_LARGE", "graph_node": "9"}


def test_a_loss_before_the_beginning_counts_against_nobody() -> None:
    event = verdict.of_loss(Lost("gone"), started=False)
    assert event == Released("handed back before it began: gone")
    assert kind(verdict.of_loss(Lost("gone"), started=True)) is FailureClass.INSTANCE_LOST


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (TimedOut(3.0), FailureClass.TIMEOUT),
        (GivenBack("stopping"), FailureClass.PREEMPTED),
        (None, FailureClass.INTERNAL),
    ],
)
def test_an_interrupt_means_what_it_was_for(stop: Stop | None, expected: FailureClass) -> None:
    event = verdict.of_interrupt(stop, started=True)
    assert isinstance(event, AttemptFailed)
    assert event.error.failure is expected


def test_what_is_given_back_before_it_began_is_released() -> None:
    event = verdict.of_interrupt(GivenBack("stopping"), started=False)
    assert event == Released("handed back: stopping")


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (refused("value_not_in_list"), FailureClass.MISSING_DEPENDENCY),
        (refused(outer="missing_node_type"), FailureClass.MISSING_DEPENDENCY),
        (refused("value_not_in_list", "value_bigger_than_max"), FailureClass.INVALID_WORKFLOW),
        (refused("required_input_missing"), FailureClass.INVALID_WORKFLOW),
        (refused(outer="prompt_no_outputs"), FailureClass.INVALID_WORKFLOW),
    ],
)
def test_what_another_instance_may_have_is_looked_for_there(refusal: GraphRefused, expected: FailureClass) -> None:
    assert kind(verdict.of_refusal(refusal)) is expected


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ("image - Invalid image file: /etc/passwd", FailureClass.INPUT_INVALID),
        ("audio - Invalid audio file: ../../secret.wav", FailureClass.INPUT_INVALID),
        ("image - Invalid image file: absent.png", FailureClass.MISSING_DEPENDENCY),
        ("image", FailureClass.MISSING_DEPENDENCY),
        (None, FailureClass.MISSING_DEPENDENCY),
    ],
)
def test_a_file_outside_is_nowhere(details: str | None, expected: FailureClass) -> None:
    error = {"type": "custom_validation_failed", "details": details, "extra_info": {"input_name": "image"}}
    refusal = GraphRefused({"type": "prompt_outputs_failed_validation"}, {"8": {"errors": [error]}})
    assert kind(verdict.of_refusal(refusal)) is expected


@pytest.mark.parametrize("garbage", [{"1": None}, {"1": {"errors": None}}, {"1": {"errors": ["x", 5]}}, {"1": []}])
def test_node_errors_of_an_odd_shape_do_no_harm(garbage: dict[str, Any]) -> None:
    assert kind(verdict.of_refusal(GraphRefused({"type": "x"}, garbage))) is FailureClass.INVALID_WORKFLOW
    assert kind(verdict.of_partial_outputs(Succeeded({}, garbage))) is FailureClass.PARTIAL_OUTPUTS


def test_messages_of_a_failure_are_bounded() -> None:
    event = verdict.failure(FailureClass.INTERNAL, "x" * 1_000_000)
    assert isinstance(event, AttemptFailed)
    assert len(event.error.message) == 2048


def test_each_attempt_saves_into_a_folder_of_its_own() -> None:
    graph = {
        "1": {"class_type": "A", "inputs": {"x": 1}},
        "2": {"class_type": "B", "inputs": {"filename_prefix": "mine/pictures", "y": ["1", 0]}},
        "3": {"class_type": "B", "inputs": {"filename_prefix": "/etc/passwd"}},
        "4": {"class_type": "B", "inputs": {"filename_prefix": ["1", 0]}},
    }
    changed = with_own_prefix(graph, "comfymesh/one-2")
    assert changed["1"] == graph["1"]
    assert changed["2"]["inputs"] == {"filename_prefix": "comfymesh/one-2/mine/pictures", "y": ["1", 0]}
    assert changed["3"]["inputs"]["filename_prefix"] == "comfymesh/one-2/etc/passwd"
    assert changed["4"] == graph["4"]
    assert graph["2"]["inputs"]["filename_prefix"] == "mine/pictures"


@pytest.mark.parametrize(
    "kind",
    [FailureClass.INSTANCE_LOST, FailureClass.DEVICE_FAULT, FailureClass.INTERNAL, FailureClass.NODE_EXCEPTION],
)
def test_the_last_words_are_asked_for_where_the_instance_may_be_to_blame(kind: FailureClass) -> None:
    assert verdict.wants_log_tail(verdict.failure(kind, "it broke"))


@pytest.mark.parametrize(
    "end", [verdict.failure(FailureClass.TIMEOUT, "too long"), Released("x"), events.Succeeded(())], ids=str
)
def test_the_last_words_are_of_no_interest_otherwise(end: Event) -> None:
    assert not verdict.wants_log_tail(end)
    if not isinstance(end, AttemptFailed):
        assert verdict.with_log_tail(end, "words") is end


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ("one\ntwo\n", "one\ntwo\n"),
        (" 10%|#\r 20%|##\rdone\r\nnext", "done\nnext"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07end\x00\x08\x9b", "red end"),
        ("lone \ud800 surrogate", "lone ? surrogate"),
    ],
)
def test_the_last_words_are_shown_as_a_terminal_would_without_what_moves_it(output: str, shown: str) -> None:
    end = verdict.with_log_tail(verdict.failure(FailureClass.INTERNAL, "it broke"), output)
    assert isinstance(end, AttemptFailed)
    assert end.error.log_tail == shown


def test_of_many_last_words_the_very_last_are_kept() -> None:
    end = verdict.with_log_tail(verdict.failure(FailureClass.INTERNAL, "it broke"), "é" * 10_000 + "end")
    assert isinstance(end, AttemptFailed)
    assert len(end.error.log_tail.encode()) in {8191, 8192}
    assert end.error.log_tail.endswith("éend")


def test_where_files_lie_is_told_in_no_verdict() -> None:
    folder = Folders(b"x").of_input("another", "ab" * 32, "x.png")
    listed = {"1": {"errors": [{"type": "value_not_in_list", "message": "no", "details": f"not in ['{folder}']"}]}}
    refused = verdict.of_refusal(GraphRefused({"type": "x"}, listed))
    words = verdict.with_log_tail(verdict.failure(FailureClass.INTERNAL, folder, {"where": folder}, folder), folder)
    for event in (refused, words):
        assert isinstance(event, AttemptFailed)
        assert "comfymesh/..." in event.error.message
        assert folder.rpartition("/")[2] not in repr(event)


@pytest.mark.parametrize("noticed", Noticed)
def test_a_failure_says_which_path_noticed_it(noticed: Noticed) -> None:
    raised = verdict.of_failure(Failed(ExecutionError("2", "KSampler", "ValueError", "no"), noticed))
    lost = verdict.of_loss(Lost("gone", FailureClass.STALLED, noticed), started=True)
    for event in (raised, lost):
        assert isinstance(event, AttemptFailed)
        assert event.error.metadata["noticed_by"] == noticed


def test_a_success_says_when_no_event_told_of_it() -> None:
    heard = verdict.of_success(Succeeded({}), (), 1.0)
    asked = verdict.of_success(Succeeded({}, noticed=Noticed.POLL), (), 1.0)
    assert heard == events.Succeeded((), 1.0)
    assert isinstance(asked, events.Succeeded)
    assert "no event told" in asked.note


def test_a_file_that_is_too_large_for_the_instance_is_the_callers_and_not_a_defect() -> None:
    end = verdict.of_error(ComfyError("POST /upload/image", 413, "Maximum request body size 104857600 exceeded"))
    assert isinstance(end, AttemptFailed)
    assert end.error.failure is FailureClass.INPUT_INVALID
    assert "--max-upload-size" in end.error.message
