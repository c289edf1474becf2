"""Tasks are told as ComfyUI tells prompts: in the order and the shapes of the recorded traces."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.client import (
    Artifact,
    Event,
    Phase,
    Preview,
    PreviewArrived,
    Progress,
    Progressed,
    Task,
    TaskChanged,
    TaskError,
    TaskState,
)
from comfymesh.gateway.domain import history
from comfymesh.gateway.domain.history import Prompt
from comfymesh.gateway.domain.narrator import Dequeued, Ended, Item, Narrator, Shown, Told

TRACES = Path(__file__).parents[2] / "data" / "comfyui" / "traces"
PROMPT = "4f1c0000-0000-4000-8000-000000000001"
NAME = "tasks/t4f1c0000000040008000000000000001"
GRAPH: dict[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {}},
    "3": {"class_type": "Steps", "inputs": {"image": ["1", 0]}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
    "9": {"class_type": "Unused", "inputs": {}},
}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SAVED = Artifact(f"{NAME}/artifacts/0", "made_00001_.png", graph_node="2", output_key="images")


def task(state: TaskState, **more: Any) -> TaskChanged:
    times = {"create_time": NOW, "start_time": NOW, "end_time": NOW, "attempt": 1}
    return TaskChanged(Task(NAME, state, **{**times, **more}))


def at(node: str, step: int = 0, count: int = 0, attempt: int = 1) -> Progressed:
    return Progressed(Progress(attempt=attempt, phase=Phase.EXECUTING, graph_node=node, step=step, step_count=count))


RUNNING, DONE = task(TaskState.RUNNING), task(TaskState.SUCCEEDED, artifacts=(SAVED,))


def narrate(*events: Event, midway: bool = False) -> list[Item]:
    teller = Narrator(PROMPT, GRAPH, ("2",), midway=midway)
    return [item for event in events for item in teller.feed(event, {}, 1.0)]


def outline(items: list[Item]) -> list[Any]:
    def line(item: Item) -> Any:
        if not isinstance(item, Told):
            return type(item).__name__
        if item.type == "progress_state":
            nodes: Any = item.data["nodes"]
            return {node: state["state"] for node, state in nodes.items()}
        return item.type, item.data.get("node", item.data.get("value"))

    return [line(item) for item in items]


BEGIN = ["Dequeued", ("execution_start", None), ("execution_cached", None)]
FIRST = [{"1": "running"}, ("executing", "1"), {"1": "finished"}]
THIRD = [{"1": "finished", "3": "running"}, ("executing", "3")]
REST = [
    {"1": "finished", "3": "finished"},
    {"1": "finished", "3": "finished", "2": "running"},
    ("executing", "2"),
    ("executed", "2"),
    {"1": "finished", "3": "finished", "2": "finished"},
    ("execution_success", None),
    "Ended",
    ("executing", None),
]


def test_what_the_mesh_leaves_out_follows_from_the_graph() -> None:
    assert outline(narrate(RUNNING, at("3"), DONE)) == [*BEGIN, *FIRST, *THIRD, *REST]


def test_a_task_of_which_only_the_end_is_told_is_told_whole() -> None:
    assert outline(narrate(DONE)) == [*BEGIN, *FIRST, *THIRD, *REST]


def test_each_step_is_told_once_after_its_state() -> None:
    told = narrate(RUNNING, at("3", 1, 9), at("3", 1, 9), at("3", 4, 9))
    assert outline(told)[-4:] == [
        {"1": "finished", "3": "running"}, ("progress", "3"), {"1": "finished", "3": "running"}, ("progress", "3"),
    ]  # fmt: skip
    assert [item.data["value"] for item in told if isinstance(item, Told) and item.type == "progress"] == [1, 4]


def test_who_comes_back_is_told_the_node_without_the_prompt_and_nothing_from_before() -> None:
    told = narrate(at("3"), DONE, midway=True)
    assert outline(told) == [*THIRD, *REST]
    assert told[1] == Told("executing", {"node": "3"})


def test_what_is_tried_again_runs_its_nodes_again() -> None:
    told = outline(narrate(RUNNING, at("3"), task(TaskState.QUEUED), at("1", attempt=2), DONE))
    assert told.count(("executing", "3")) == 2
    assert told.count(("execution_start", None)) == 1


def test_late_progress_of_an_earlier_attempt_is_not_told() -> None:
    assert narrate(RUNNING, at("3", attempt=2))[-1] == narrate(RUNNING, at("3", attempt=2), at("1"))[-1]


def test_a_prompt_that_was_stopped_while_it_waited_leaves_no_word() -> None:
    assert outline(narrate(task(TaskState.CANCELLED, start_time=None))) == ["Ended"]


def test_an_interrupted_prompt_names_the_node_under_way() -> None:
    told = narrate(RUNNING, at("3"), task(TaskState.CANCELLED))
    assert outline(told)[-3:] == [("execution_interrupted", None), "Ended", ("executing", None)]
    (interrupted,) = [item for item in told if isinstance(item, Told) and item.type == "execution_interrupted"]
    assert (interrupted.data["node_id"], interrupted.data["node_type"]) == ("3", "Steps")
    assert interrupted.data["executed"] == ["1"]


def recorded(trace: str, kind: str) -> dict[str, Any]:
    lines = map(json.loads, (TRACES / f"{trace}.jsonl").read_text().splitlines())
    found: dict[str, Any] = next(
        line["json"]["data"] for line in lines if line["kind"] == "ws_text" and line["json"]["type"] == kind
    )
    return found


FAILED = task(
    TaskState.FAILED,
    error=TaskError(
        "NODE_EXCEPTION",
        "graph node 3 (Steps) raised RuntimeError: no luck\nat all",
        {"graph_node": "3", "graph_node_class": "Steps", "exception_type": "RuntimeError"},
        "line 1\nline 2\n",
    ),
)


@pytest.mark.parametrize(
    ("trace", "kind", "events"),
    [
        ("03-success-minimal-then-cached-twice", "execution_start", [DONE]),
        ("03-success-minimal-then-cached-twice", "execution_cached", [DONE]),
        ("03-success-minimal-then-cached-twice", "executing", [DONE]),
        ("03-success-minimal-then-cached-twice", "executed", [DONE]),
        ("03-success-minimal-then-cached-twice", "execution_success", [DONE]),
        ("01-success-sampling-new-previews", "progress", [RUNNING, at("3", 1, 9)]),
        ("01-success-sampling-new-previews", "progress_state", [RUNNING, at("3", 1, 9)]),
        ("08-execution-error", "execution_error", [RUNNING, FAILED]),
        ("10-interrupt-running", "execution_interrupted", [RUNNING, at("3"), task(TaskState.CANCELLED)]),
    ],
)
def test_events_have_the_recorded_keys(trace: str, kind: str, events: list[Event]) -> None:
    told = next(item for item in narrate(*events) if isinstance(item, Told) and item.type == kind)
    wanted = recorded(trace, kind)
    assert set(told.data) == set(wanted)
    if kind == "progress_state":
        nodes: Any = told.data["nodes"]
        assert {frozenset(state) for state in nodes.values()} == {frozenset(s) for s in wanted["nodes"].values()}
    if kind == "execution_error":
        assert (told.data["exception_message"], told.data["traceback"]) == ("no luck\nat all", ["line 1\n", "line 2\n"])


def test_a_preview_says_what_it_belongs_to() -> None:
    told = narrate(RUNNING, at("3"), PreviewArrived(Preview(1, "", "image/jpeg", b"jpeg")))
    assert told[-1] == Shown(
        b"jpeg",
        "image/jpeg",
        {
            "prompt_id": PROMPT,
            "node_id": "3",
            "display_node_id": "3",
            "parent_node_id": None,
            "real_node_id": "3",
        },
    )


EVENTS = st.lists(
    st.builds(
        at, st.sampled_from(["1", "2", "3", "3.0.1", "", "x"]), st.integers(0, 3), st.integers(0, 3), st.integers(1, 3)
    )
    | st.sampled_from([RUNNING, task(TaskState.QUEUED), task(TaskState.CANCELLING)]),
    max_size=8,
)
ENDS = st.sampled_from([DONE, FAILED, task(TaskState.CANCELLED), task(TaskState.EXPIRED, start_time=None)])


@given(EVENTS, ENDS, st.booleans())
def test_whatever_comes_a_prompt_begins_once_and_ends_once(events: list[Event], end: Event, midway: bool) -> None:  # noqa: FBT001
    told = narrate(*events, end, midway=midway)
    assert sum(isinstance(item, Ended) for item in told) == 1
    assert sum(isinstance(item, Dequeued) for item in told) == (0 if midway else 1)
    assert outline(told)[-1] == ("executing", None)
    assert outline(told)[-2] == "Ended"


def test_an_entry_of_the_history_has_the_recorded_shape() -> None:
    line = next(
        line
        for line in map(json.loads, (TRACES / "03-success-minimal-then-cached-twice.jsonl").read_text().splitlines())
        if line["kind"] == "http" and line["path"].startswith("/history/") and line["resp"]
    )
    (wanted,) = line["resp"].values()
    told = history.entry(Prompt(DONE.task, PROMPT, GRAPH, ("2",)))
    assert shape(told["status"]) == shape(wanted["status"])
    assert set(told) == set(wanted)
    assert [type(part) for part in told["prompt"]] == [type(part) for part in wanted["prompt"]]
    assert shape(told["outputs"]) == shape(wanted["outputs"])
    assert {frozenset(meta) for meta in told["meta"].values()} == {frozenset(meta) for meta in wanted["meta"].values()}


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) and value else type(value)
