"""Whether anybody could run a graph, and what is said when nobody could."""

from __future__ import annotations

from typing import Any

import pytest

from comfymesh import graphs
from comfymesh.api import feasibility
from comfymesh.api.errors import RefusedError, to_status
from comfymesh.api.fleet import Offer
from comfymesh.graphs import Catalog
from comfymesh.tasks.record import ModelFile, Requirements


def catalog(*models: str, classes: tuple[str, ...] = ("Load", "Save", "Extra")) -> Catalog:
    every: dict[str, Any] = {
        "Load": {"input": {"required": {"name": [list(models), {}]}}, "output": ["IMAGE"], "output_node": False},
        "Save": {"input": {"required": {"images": ["IMAGE"]}}, "output": [], "output_node": True},
        "Extra": {"input": {"required": {"images": ["IMAGE"]}}, "output": [], "output_node": True},
    }
    return Catalog.from_object_info({name: every[name] for name in classes})


def offer(name: str, offered: Catalog | None, trouble: str = "") -> Offer:
    return Offer(f"nodes/{name}", "x", trouble, offered)


def graph(model: str = "a.safetensors", save: str = "Save") -> graphs.Graph:
    text = (
        f'{{"1": {{"class_type": "Load", "inputs": {{"name": "{model}"}}}},'
        f' "2": {{"class_type": "{save}", "inputs": {{"images": ["1", 0]}}}}}}'
    )
    return graphs.parse_graph(text)


def check(offers: list[Offer], chosen: graphs.Graph | None = None, **how: bool) -> graphs.Validation:
    settings = {"allow_partial": False, "settling": False} | how
    return feasibility.check(chosen or graph(), offers, **settings).validation


def refuse(offers: list[Offer], chosen: graphs.Graph | None = None, **how: bool) -> RefusedError:
    with pytest.raises(RefusedError) as refused:
        check(offers, chosen, **how)
    to_status(refused.value)  # can be told to callers
    return refused.value


def is_(refusal: RefusedError) -> tuple[str, str]:
    return refusal.status_code.name, refusal.reason


def test_one_instance_that_could_is_enough() -> None:
    offers = [offer("a", catalog("b.safetensors")), offer("b", catalog("a.safetensors")), offer("c", None)]
    assert check(offers).violations == ()


def test_one_that_is_down_counts_since_it_may_come_back() -> None:
    assert check([offer("a", catalog("a.safetensors"), "DOWN: it exited")]).violations == ()


def test_without_any_node_the_caller_is_told_to_come_back_while_the_fleet_settles() -> None:
    refusal = refuse([], settling=True)
    assert is_(refusal) == ("UNAVAILABLE", "NO_FEASIBLE_NODE")
    assert refusal.retry_after


def test_without_any_node_for_long_the_caller_is_told_to_start_one() -> None:
    refusal = refuse([])
    assert is_(refusal) == ("FAILED_PRECONDITION", "NO_FEASIBLE_NODE")
    assert refusal.retry_after is None
    assert "start an agent" in refusal.message


def test_nodes_that_have_told_nothing_yet_are_named_with_their_trouble() -> None:
    refusal = refuse([offer("a", None, "STARTING"), offer("b", None)])
    assert is_(refusal) == ("UNAVAILABLE", "NO_FEASIBLE_NODE")
    assert refusal.metadata == {"nodes/a/x": "STARTING", "nodes/b/x": "starting"}


def test_parts_that_are_on_different_nodes_are_named_node_by_node() -> None:
    offers = [
        offer("a", catalog("a.safetensors", classes=("Load", "Extra"))),
        offer("b", catalog("b.safetensors")),
    ]
    refusal = refuse(offers)
    assert is_(refusal) == ("FAILED_PRECONDITION", "NO_FEASIBLE_NODE")
    assert refusal.metadata == {
        "instances": "2",
        "filtered.node_classes": "1",
        "filtered.models": "1",
        "nodes/a/x": "node class Save",
        "nodes/b/x": "a.safetensors for Load.name",
    }
    assert "bring it together" in refusal.message


def test_what_nobody_has_is_a_fault_of_the_graph() -> None:
    refusal = refuse([offer("a", catalog("b.safetensors")), offer("b", catalog("c.safetensors"))])
    assert is_(refusal) == ("INVALID_ARGUMENT", "INVALID_WORKFLOW")
    assert [violation.field for violation in refusal.violations] == ["task.graph_json[1].inputs.name"]


def test_the_nearest_miss_is_what_the_caller_is_told() -> None:
    offers = [offer("a", catalog(classes=())), offer("b", catalog("b.safetensors"))]
    assert len(refuse(offers).violations) == 1


def test_requirements_are_the_classes_and_the_models_that_are_known() -> None:
    validation = check([offer("a", catalog("a.safetensors"))])
    assert feasibility.requirements(validation) == Requirements(
        ("Load", "Save"), (ModelFile("Load", "name", "a.safetensors"),)
    )
