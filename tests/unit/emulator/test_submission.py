"""Refusals are worded as recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comfymesh.comfyui.verdict import judge
from comfymesh.emulator.nodes import NODES
from comfymesh.graphs import Catalog

TRACES = Path(__file__).parents[2] / "data" / "comfyui" / "traces"
FILES = {"checkpoints": ["tiny-sd3-random.safetensors"]}
CATALOG = Catalog.from_object_info(
    {name: node.as_json(lambda kind: FILES.get(kind, [])) for name, node in NODES.items()}
)


def recorded(trace: str, status: int) -> list[Any]:
    lines = [json.loads(line) for line in (TRACES / f"{trace}.jsonl").read_text().splitlines()]
    return [
        pytest.param(line["req"], line["resp"], id=f"{trace} at {line['t']}")
        for line in lines
        if line["kind"] == "http"
        and line["path"] == "/prompt"
        and line.get("status") == status
        and "prompt" in line["req"]
        and "invalid_prompt_id" not in json.dumps(line["resp"])
    ]


def comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items() if key not in {"tooltip", "traceback"}}
    return [comparable(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("body", "answer"), recorded("05-validation-errors", 400) + recorded("07-post-prompt-edge-cases", 400)
)
def test_a_refusal_reads_as_recorded(body: dict[str, Any], answer: dict[str, Any]) -> None:
    targets = body.get("partial_execution_targets")
    verdict = judge(body["prompt"], CATALOG, targets, lambda name: name == "probe-input.png")
    assert comparable(verdict.error) == comparable(answer["error"])
    assert comparable(verdict.node_errors) == comparable(answer["node_errors"])


@pytest.mark.parametrize(("body", "answer"), recorded("06-half-invalid-still-runs", 200))
def test_a_partial_success_reads_as_recorded(body: dict[str, Any], answer: dict[str, Any]) -> None:
    verdict = judge(body["prompt"], CATALOG, None, lambda _name: False)
    assert verdict.error is None
    assert comparable(verdict.node_errors) == comparable(answer["node_errors"])
    assert verdict.outputs == ("2",)


@pytest.mark.parametrize("prompt", [{"1": 5}, {"1": {"class_type": "SaveImage", "inputs": None}}])
def test_a_prompt_without_the_shape_of_one_is_an_exception(prompt: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        judge(prompt, CATALOG, None, lambda _name: False)


def test_what_lies_behind_a_link_of_the_wrong_type_is_not_seen() -> None:
    prompt: dict[str, Any] = {
        "1": {"class_type": "EmptyLatentImage", "inputs": {"width": 0}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    assert list(judge(prompt, CATALOG, None, lambda _name: False).node_errors) == ["2"]
