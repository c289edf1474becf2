"""Inputs that are set under a misspelt name are refused, and nothing that ComfyUI may heed, or a caller count on."""

from __future__ import annotations

from typing import Any

import pytest

from comfymesh import graphs
from comfymesh.api import misspelt
from comfymesh.graphs import Catalog

GRAPH = graphs.parse_graph('{"2": {"class_type": "Encode", "inputs": {"text": "a cat"}}}')


def catalog(module: str = "nodes", *, name: str = "Encode", **inputs: Any) -> Catalog:
    declared = {"text": ["STRING", {}], "clip": ["CLIP"], **inputs}
    return Catalog.from_object_info({name: {"input": {"required": declared}, "output": [], "python_module": module}})


def told(name: str, *catalogs: Catalog) -> list[tuple[str, str]]:
    graph = GRAPH.with_inputs({("2", name): "x"})
    return [(wrong.field, wrong.description) for wrong in misspelt.violations(graph, [("2", name)], catalogs)]


def test_a_name_like_one_of_the_class_is_refused_with_that() -> None:
    words = "Encode has no such input, and ComfyUI would ignore it; did you mean text?"
    assert told("txt", catalog(), catalog()) == [("task.inputs[2.txt]", words)]


@pytest.mark.parametrize("name", ["text", "clip", "nonce"])
def test_what_the_class_has_and_what_is_like_nothing_is_not(name: str) -> None:
    assert told(name, catalog()) == []


@pytest.mark.parametrize(
    "other",
    [
        catalog(txt=["STRING", {}]),
        catalog("custom_nodes.flexible"),
        catalog("comfy_extras.nodes_logic"),
        catalog(more=["COMFY_AUTOGROW_V3", {}]),
    ],
)
def test_where_any_instance_may_take_it_it_is_not(other: Catalog) -> None:
    assert told("txt", other) == []
    assert told("txt", catalog(), other) == []


def test_where_nobody_has_the_class_it_is_not() -> None:
    assert told("txt", catalog(name="Another")) == []
