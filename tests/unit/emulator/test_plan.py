"""Graph nodes run in ComfyUI's order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comfymesh.emulator.nodes import NODES
from comfymesh.emulator.plan import Plan, planned_nodes

WORKFLOWS = Path(__file__).parents[2] / "data" / "comfyui" / "workflows"


def input_names(class_type: str) -> set[str]:
    return {*NODES[class_type].required, *NODES[class_type].optional}


def order(name: str, outputs: list[str], cached: frozenset[str] = frozenset()) -> list[str]:
    nodes = planned_nodes(json.loads((WORKFLOWS / name).read_text()), input_names)
    plan = Plan(nodes, cached.__contains__, lambda node_id: NODES[nodes[node_id].class_type].output_node)
    plan.add(outputs)
    ran = []
    while (node_id := plan.pick()) is not None:
        ran.append(node_id)
        plan.done(node_id)
    return ran


@pytest.mark.parametrize(
    ("name", "outputs", "expected"),
    [
        ("01-empty-save.json", ["2"], ["1", "2"]),
        ("04-tiny-txt2img.json", ["7"], ["1", "4", "3", "2", "5", "6", "7"]),
        ("26-probe-blocker.json", ["3", "4"], ["1", "4", "2", "3"]),
    ],
)
def test_the_order_is_the_recorded_one(name: str, outputs: list[str], expected: list[str]) -> None:
    assert order(name, outputs) == expected


def test_what_is_cached_is_left_out_together_with_what_only_it_needs() -> None:
    assert order("04-tiny-txt2img.json", ["7"], frozenset({"1", "2", "3", "4", "5"})) == ["6", "7"]


def test_a_cached_output_is_still_visited() -> None:
    assert order("01-empty-save.json", ["2"], frozenset({"1", "2"})) == ["2"]


def test_only_what_the_outputs_need_runs() -> None:
    assert order("06-batch-save-and-preview.json", ["2"]) == ["1", "2"]


def test_inputs_that_the_class_lacks_are_not_waited_for() -> None:
    graph = {"1": {"class_type": "EmptyImage", "inputs": {"width": 8, "no_such_input": ["99", 0]}}}
    assert planned_nodes(json.loads(json.dumps(graph)), input_names)["1"].sources() == []


def test_a_node_waits_for_what_was_made_at_run_time() -> None:
    nodes = planned_nodes(json.loads((WORKFLOWS / "01-empty-save.json").read_text()), input_names)
    plan = Plan(nodes, lambda _node_id: False, lambda node_id: node_id == "2")
    plan.add(["2"])
    nodes["1.0.0.1"] = nodes["1"]
    plan.add(["1.0.0.1"])
    plan.wait("1", "1.0.0.1")
    assert plan.pick() == "1.0.0.1"
    plan.done("1.0.0.1")
    assert plan.pick() == "1"
