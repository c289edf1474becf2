"""Graphs that load model files, for whatever loaders there are."""

from __future__ import annotations

import pytest

from comfymesh.agent.domain.preloading import preload_graph
from comfymesh.tasks.record import ModelFile

INFO = {
    "PreviewAny": {"input": {"required": {"source": ["*", {}]}}},
    "Checkpoint": {"input": {"required": {"name": [["a", "b"], {}]}}},
    "Unet": {
        "input": {
            "required": {
                "name": [["a"], {}],
                "dtype": [["default", "fp8"], {}],
                "device": ["COMBO", {"options": ["gpu", "cpu"]}],
                "strength": ["FLOAT", {"default": 1.0}],
            },
            "optional": {"more": ["MODEL"]},
        }
    },
    "Lora": {"input": {"required": {"name": [["a"], {}], "model": ["MODEL"]}}},
    "Strange": {"input": "nothing"},
}


def test_each_file_is_loaded_by_its_node_and_shown() -> None:
    graph, wrong = preload_graph([ModelFile("Checkpoint", "name", "b"), ModelFile("Unet", "name", "a")], INFO)
    assert wrong == {}
    assert graph == {
        "0": {"class_type": "Checkpoint", "inputs": {"name": "b"}},
        "1": {"class_type": "PreviewAny", "inputs": {"source": ["0", 0]}},
        "2": {
            "class_type": "Unet",
            "inputs": {"name": "a", "dtype": "default", "device": "gpu", "strength": 1.0},
        },
        "3": {"class_type": "PreviewAny", "inputs": {"source": ["2", 0]}},
    }


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (ModelFile("Lora", "name", "a"), "a: Lora needs model as well; use a warm-up workflow"),
        (ModelFile("Nothing", "name", "a"), "a: there is no node class Nothing"),
        (ModelFile("Checkpoint", "file", "a"), "a: Checkpoint has no input file"),
        (ModelFile("Checkpoint", "name", "c"), "c: Checkpoint does not offer it; the file is not there"),
        (ModelFile("Strange", "name", "a"), "a: Strange has no input name"),
    ],
)
def test_what_can_not_be_loaded_so_is_said_and_the_rest_is_loaded(file: ModelFile, said: str) -> None:
    graph, wrong = preload_graph([file, ModelFile("Checkpoint", "name", "a")], INFO)
    assert wrong == {file: said}
    assert [node["class_type"] for node in graph.values()] == ["Checkpoint", "PreviewAny"]


def test_a_comfyui_without_the_class_that_shows_loads_nothing() -> None:
    file = ModelFile("Checkpoint", "name", "a")
    graph, wrong = preload_graph([file], {"Checkpoint": INFO["Checkpoint"]})
    assert graph == {}
    assert wrong == {file: "a: this ComfyUI has no node class PreviewAny; use a warm-up workflow"}
