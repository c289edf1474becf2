"""What inputs of workflows must be like, and what they take."""

from __future__ import annotations

import json
from typing import Any

import pytest

from comfymesh import workflows
from comfymesh.graphs import Hints, parse_graph
from comfymesh.v1.task_pb2 import InputValue
from comfymesh.v1.workflow_pb2 import WorkflowInput
from comfymesh.workflows.values import complaint

GRAPH = parse_graph(
    json.dumps(
        {"1": {"class_type": "A", "inputs": {"x": 1, "link": ["2", 0]}}, "a.b": {"class_type": "A", "inputs": {}}}
    )
)


def spec(kind: str = "INTEGER", **more: Any) -> WorkflowInput:
    targets = more.pop("targets", [{"graph_node": "1", "input": "x"}])
    return WorkflowInput(**{"name": "x", "kind": f"KIND_{kind}", "targets": targets, **more})


def value(**kind: Any) -> InputValue:
    return InputValue(**kind)


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        (spec(name=""), ".name"),
        (spec(name="X"), ".name"),
        (spec(name="x" * 64), ".name"),
        (spec(description="x" * 1025), ".description"),
        (spec("UNSPECIFIED"), ".kind"),
        (spec(kind="ENUM"), ".options"),
        (spec(kind="ENUM", options=["a", "a"]), ".options"),
        (spec(kind="ENUM", options=[""]), ".options"),
        (spec(options=["a"]), ".options"),
        (spec("STRING", minimum=value(int64_value=1)), ".minimum"),
        (spec(minimum=value(double_value=0.5)), ".minimum"),
        (spec("FLOAT", maximum=value(double_value=float("nan"))), ".maximum"),
        (spec(minimum=value(int64_value=2), maximum=value(int64_value=1)), ".minimum"),
        (spec(default_value=value(int64_value=3), maximum=value(int64_value=2)), ".default_value"),
        (spec(default_value=value(int64_value=3), required=True), ".default_value"),
        (spec(default_value=value()), ".default_value"),
        (spec("IMAGE", default_value=value(string_value="x.png")), ".default_value"),
        (spec(targets=[]), ".targets"),
        (spec(targets=[{"graph_node": "7", "input": "x"}]), ".targets[0]"),
        (spec(targets=[{"graph_node": "1", "input": "link"}]), ".targets[0]"),
        (spec(targets=[{"graph_node": "a.b", "input": "x"}]), ".targets[0]"),
        (spec(targets=[{"graph_node": "1", "input": ""}]), ".targets[0]"),
        (spec(targets=[{"graph_node": "1", "input": "x"}] * 2), ".targets"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(wrong: WorkflowInput, path: str) -> None:
    assert [found for found, _ in workflows.violations([wrong], GRAPH)] == [f"inputs[0]{path}"]


def test_no_two_inputs_share_a_name_or_a_target() -> None:
    found = workflows.violations([spec(), spec()], GRAPH)
    assert [path for path, _ in found] == ["inputs[1].name", "inputs[1].targets"]


@pytest.mark.parametrize(
    ("taken", "given"),
    [
        (spec(maximum=value(uint64_value=2**64 - 1)), value(uint64_value=2**64 - 1)),
        (spec("FLOAT"), value(int64_value=7)),
        (spec("FLOAT"), value(double_value=0.1)),
        (spec("BOOL"), value(bool_value=False)),
        (spec("STRING"), value(string_value="")),
        (spec("ENUM", options=["a"]), value(string_value="a")),
        (spec("MASK"), value(asset="assets/x")),
        (spec("AUDIO"), value(url="https://a/b")),
        # What is no bound, where nobody has checked the input, bounds nothing.
        (spec(minimum=value(string_value="7")), value(int64_value=0)),
        (spec(maximum=value()), value(int64_value=0)),
    ],
)
def test_what_fits_is_taken(taken: WorkflowInput, given: InputValue) -> None:
    assert complaint(taken, given, Hints()) == ""


@pytest.mark.parametrize(
    ("refused", "given", "words"),
    [
        (spec(), value(double_value=1.0), "must be an integer"),
        (spec(), value(bool_value=True), "must be an integer"),
        (
            spec(maximum=value(uint64_value=2**64 - 2)),
            value(uint64_value=2**64 - 1),
            "larger than 18446744073709551614",
        ),
        (spec(minimum=value(int64_value=-1)), value(int64_value=-2), "smaller than -1"),
        (spec("FLOAT"), value(double_value=float("inf")), "no graph can hold"),
        (spec("STRING"), value(int64_value=1), "must be a text"),
        (spec("ENUM", options=["euler"]), value(string_value="eulr"), "did you mean euler"),
        (spec("IMAGE"), value(string_value="x.png"), "must be a file"),
        (spec("BOOL"), value(string_value="true"), "true or false"),
        (spec(), value(), "has no value"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(refused: WorkflowInput, given: InputValue, words: str) -> None:
    assert words in complaint(refused, given, Hints())
