"""The custom nodes on stubs of what they use of ComfyUI."""

from __future__ import annotations

import logging
import math
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from comfymesh.agent.comfyui.classify import classify
from comfymesh.agent.comfyui.events import ExecutionError
from comfymesh.graphs import Catalog, Graph, GraphNode, JsonValue, validate
from comfymesh.graphs.catalog import InputSpec
from comfymesh.tasks.failures import FailureClass

FOLDER = Path(__file__).parents[3] / "clients" / "comfyui-nodes"
MB = 1024 * 1024


class Comfy:
    """Stands in for ComfyUI: `free` bytes of memory, `freed` more once models are put away."""

    def __init__(self) -> None:
        self.free, self.freed, self.unloaded = 8000 * MB, 0, 0
        self.texts = list[tuple[str, str, str]]()
        self.progress = list[tuple[str | None, int, int]]()
        self.client_id: str | None = "client"

    def unload(self) -> None:
        self.unloaded += 1
        self.free += self.freed

    def bar(self, _: int, node_id: str | None = None) -> Any:
        return SimpleNamespace(update_absolute=lambda value, of: self.progress.append((node_id, value, of)))

    def send(self, text: str, graph_node: str, client_id: str) -> None:
        self.texts.append((graph_node, text, client_id))


@pytest.fixture
def comfy(monkeypatch: pytest.MonkeyPatch) -> Comfy:
    comfy = Comfy()
    management = SimpleNamespace(
        get_torch_device=lambda: "cuda:0",
        get_free_memory=lambda device: comfy.free if device == "cuda:0" else 0,
        unload_all_models=comfy.unload,
        soft_empty_cache=lambda: None,
    )
    package, server = ModuleType("comfy"), ModuleType("server")
    package.__dict__.update(model_management=management, utils=SimpleNamespace(ProgressBar=comfy.bar))
    instance = SimpleNamespace(send_progress_text=comfy.send, client_id=comfy.client_id)
    server.__dict__.update(PromptServer=SimpleNamespace(instance=instance))
    for name, module in (("comfy", package), ("server", server)):
        monkeypatch.setitem(sys.modules, name, module)
    return comfy


@pytest.fixture
def nodes(comfy: Comfy, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(FOLDER)
    return __import__("comfymesh_nodes")


def made(nodes: Any, name: str) -> Any:
    return nodes.NODE_CLASS_MAPPINGS[name]()


def test_every_node_is_as_comfyui_wants_it(nodes: Any) -> None:
    assert nodes.NODE_CLASS_MAPPINGS.keys() == nodes.NODE_DISPLAY_NAME_MAPPINGS.keys()
    for node_class in nodes.NODE_CLASS_MAPPINGS.values():
        assert callable(getattr(node_class, node_class.FUNCTION))
        assert len(node_class.RETURN_TYPES) == len(node_class.RETURN_NAMES) == 1
        assert set(node_class.INPUT_TYPES()) <= {"required", "optional", "hidden"}


def test_their_sockets_take_and_give_anything(nodes: Any) -> None:
    info: dict[str, Any] = {
        name: {"input": {"required": {key: list(spec) for key, spec in found.INPUT_TYPES()["required"].items()}},
               "output": list(found.RETURN_TYPES), "output_node": getattr(found, "OUTPUT_NODE", False)}
        for name, found in nodes.NODE_CLASS_MAPPINGS.items()
    }  # fmt: skip
    info["Model"] = {"input": {}, "output": ["MODEL"]}
    info["Save"] = {"input": {"required": {"images": ["IMAGE"]}}, "output": [], "output_node": True}
    guarded: dict[str, JsonValue] = {"value": ["1", 0], "min_free_mb": 100, "when_low": "warn", "make_room": True}
    graph = Graph(
        {
            "1": GraphNode("1", "Model", {}),
            "2": GraphNode("2", "ComfyMeshMemoryGuard", guarded),
            "3": GraphNode("3", "ComfyMeshNotify", {"value": ["2", 0], "message": "hi", "level": "info"}),
            "4": GraphNode("4", "Save", {"images": ["3", 0]}),
        }
    )
    assert validate(graph, Catalog.from_object_info(info)).violations == ()
    assert isinstance(Catalog.from_object_info(info).classes["ComfyMeshNotify"].inputs["value"], InputSpec)


def test_an_any_type_differs_from_none(nodes: Any) -> None:
    (any_type,) = nodes.NODE_CLASS_MAPPINGS["ComfyMeshNotify"].RETURN_TYPES
    assert not any_type != "MODEL"  # noqa: SIM202  # it is this operator that ComfyUI asks
    assert any_type == "*"


@pytest.mark.parametrize(("free", "freed", "unloaded"), [(2000, 0, 0), (2001, 0, 0), (1999, 1, 1), (0, 4000, 1)])
def test_the_guard_passes_what_has_room(nodes: Any, comfy: Comfy, free: int, freed: int, unloaded: int) -> None:
    comfy.free, comfy.freed = free * MB, freed * MB
    thing = object()
    assert made(nodes, "ComfyMeshMemoryGuard").check(thing, 2000, "stop") == (thing,)
    assert comfy.unloaded == unloaded


def test_the_guard_stops_in_words_that_the_agent_takes_for_out_of_memory(nodes: Any, comfy: Comfy) -> None:
    comfy.free = 10 * MB
    with pytest.raises(RuntimeError, match="10 MiB are free on the GPU, 2000 MiB are wanted") as stopped:
        made(nodes, "ComfyMeshMemoryGuard").check(None, 2000, "stop")
    error = ExecutionError("2", "ComfyMeshMemoryGuard", type(stopped.value).__name__, str(stopped.value))
    assert classify(error) is FailureClass.OUT_OF_MEMORY


def test_the_guard_only_warns_where_that_is_wished(nodes: Any, comfy: Comfy, caplog: pytest.LogCaptureFixture) -> None:
    comfy.free = 10 * MB
    assert made(nodes, "ComfyMeshMemoryGuard").check(5, 2000, "warn", make_room=False, graph_node="2") == (5,)
    assert comfy.unloaded == 0
    assert [(graph_node, client) for graph_node, _, client in comfy.texts] == [("2", "client")]
    assert "not enough memory" in caplog.text


def test_the_guard_is_never_taken_from_the_cache(nodes: Any) -> None:
    guard = nodes.NODE_CLASS_MAPPINGS["ComfyMeshMemoryGuard"]
    assert math.isnan(guard.IS_CHANGED(min_free_mb=1))
    assert guard.VALIDATE_INPUTS(min_free_mb=0) is True
    assert guard.VALIDATE_INPUTS(min_free_mb=-1) == "min_free_mb must not be negative"


def test_a_notice_is_shown_logged_and_an_output(nodes: Any, comfy: Comfy, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    thing = object()
    told = made(nodes, "ComfyMeshNotify").tell(thing, "half\x1b[31m done\nnow", "warning", "7")
    assert told == {"ui": {"text": ["warning: half[31m done\nnow"]}, "result": (thing,)}
    assert comfy.texts == [("7", "half[31m done\nnow", "client")]
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "graph node 7 says: half[31m done now")
    ]


@pytest.mark.parametrize("lacking", ["client_id", "send_progress_text"])
def test_where_nobody_listens_nothing_is_sent(nodes: Any, comfy: Comfy, lacking: str) -> None:
    setattr(sys.modules["server"].PromptServer.instance, lacking, None)
    assert made(nodes, "ComfyMeshNotify").tell(1, "x", "info", "7")["result"] == (1,)
    assert comfy.texts == []


def test_progress_is_told_and_never_beyond_its_end(nodes: Any, comfy: Comfy) -> None:
    assert made(nodes, "ComfyMeshProgress").tell("a", 7, 5, "upscaling", "3") == ("a",)
    assert comfy.progress == [("3", 5, 5)]
    assert comfy.texts == [("3", "upscaling (5/5)", "client")]


def test_steps_of_a_loop_are_told_one_by_one(nodes: Any, comfy: Comfy) -> None:
    assert list(nodes.steps("abc")) == ["a", "b", "c"]
    assert list(nodes.steps(iter("ab"), total=2)) == ["a", "b"]
    assert list(nodes.steps(iter("ab"))) == ["a", "b"]
    assert comfy.progress == [(None, 1, 3), (None, 2, 3), (None, 3, 3), (None, 1, 2), (None, 2, 2)]
