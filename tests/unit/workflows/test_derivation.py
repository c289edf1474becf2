"""What is proposed for graphs as people have them, by the classes of a real ComfyUI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from comfymesh import workflows
from comfymesh.graphs import Catalog, parse_graph
from comfymesh.v1.workflow_pb2 import WorkflowInput
from comfymesh.workflows.values import number

ROOT = Path(__file__).parents[3]
CATALOG = Catalog.from_object_info(json.loads((ROOT / "tests/data/comfyui/object_info_subset.json").read_text()))


def derive(graph: str) -> dict[str, WorkflowInput]:
    return {spec.name: spec for spec in workflows.derive(parse_graph(graph), CATALOG.classes)}


def node(class_type: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs, **({"_meta": {"title": title}} if title else {})}


def test_a_text_to_image_graph_has_what_one_would_ask_for() -> None:
    found = derive((ROOT / "examples/text-to-image.json").read_text())
    kinds = {name: WorkflowInput.Kind.Name(spec.kind).removeprefix("KIND_").lower() for name, spec in found.items()}
    assert kinds == {
        "prompt": "string",
        "negative_prompt": "string",
        "width": "integer",
        "height": "integer",
        "batch_size": "integer",
        "seed": "integer",
        "steps": "integer",
        "cfg": "float",
        "sampler_name": "enum",
        "scheduler": "enum",
        "denoise": "float",
    }
    assert number(found["seed"].maximum) == 2**64 - 1
    assert (number(found["steps"].minimum), number(found["width"].maximum)) == (1, 16384)
    assert "euler" in found["sampler_name"].options


def test_files_are_required_and_of_the_kind_that_the_class_makes() -> None:
    graph = {"1": node("LoadImage", image="mine.png"), "2": node("LoadImageMask", image="mask.png", channel="alpha")}
    found = derive(json.dumps(graph))
    kinds = {name: (spec.kind, spec.required) for name, spec in found.items()}
    assert kinds["image_1"] == (WorkflowInput.KIND_IMAGE, True)
    assert kinds["image_2"] == (WorkflowInput.KIND_MASK, True)
    assert not found["image_1"].HasField("default_value")


def test_names_that_would_clash_are_told_apart_by_title_or_graph_node() -> None:
    sizes = [node("EmptyLatentImage", title, width=64, height=64, batch_size=1) for title in ("", "Big one", "Big one")]
    found = derive(json.dumps(dict(zip(("1", "2", "3"), sizes, strict=True))))
    assert [name for name in found if "width" in name] == ["width_1", "big_one_width", "big_one_width_2"]


def test_a_text_that_serves_both_prompts_is_called_what_it_is() -> None:
    graph = {
        "1": node("CLIPTextEncode", text="both", clip=["9", 0]),
        "2": node("KSampler", positive=["1", 0], negative=["1", 0], seed=1),
    }
    assert "text" in derive(json.dumps(graph))


def test_a_graph_with_more_values_than_a_workflow_can_have_gets_the_first_of_them() -> None:
    found = derive(json.dumps({"1": node("Unknown", **{f"value{n}": n for n in range(1000)})}))
    assert list(found) == [f"value{n}" for n in range(256)]
