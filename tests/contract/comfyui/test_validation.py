"""Refusals carry the bodies that were recorded."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.comfyui.conftest import Client, MakeGraph

TRACES = Path(__file__).parents[2] / "data" / "comfyui" / "traces"


def recorded(trace: str, status: int) -> list[Any]:
    lines = [json.loads(line) for line in (TRACES / f"{trace}.jsonl").read_text().splitlines()]
    return [
        pytest.param(line["req"], line["resp"], id=f"line {number}")
        for number, line in enumerate(lines)
        if line["kind"] == "http" and line["path"] == "/prompt" and line.get("status") == status
    ]


def comparable(value: Any) -> Any:
    """Drops what is prose, or depends on the code of the server."""
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items() if key not in {"tooltip", "traceback"}}
    return [comparable(item) for item in value] if isinstance(value, list) else value


def classes_in(body: Any) -> list[str]:
    graph = body.get("prompt", {}) if isinstance(body, dict) else {}
    names = [node.get("class_type") for node in graph.values() if isinstance(node, dict)]
    return [name for name in names if isinstance(name, str) and not name.lower().startswith("no")]


@pytest.mark.parametrize(
    ("body", "answer"), recorded("05-validation-errors", 400) + recorded("07-post-prompt-edge-cases", 400)
)
async def test_a_refusal_reads_as_recorded(comfyui: Client, body: Any, answer: Any) -> None:
    comfyui.require(*classes_in(body))
    if "tiny-sd3" in json.dumps(answer):
        comfyui.require_models("tiny-sd3-random.safetensors")
    status, got = await comfyui.post("/prompt", body)
    assert (status, comparable(got)) == (400, comparable(answer))


@pytest.mark.parametrize(
    "body",
    [
        "{not json",
        "",
        "null",
        "5",
        {"prompt": None},
        {"prompt": "x"},
        {"prompt": {"1": 5}},
    ],
)
async def test_a_body_that_makes_no_sense_is_answered_500(comfyui: Client, body: Any) -> None:
    status, text = await comfyui.post("/prompt", body)
    assert status == 500
    assert text.startswith("500 Internal Server Error")


@pytest.mark.parametrize("extra", [{"number": "x"}, {"extra_data": None}, {"extra_data": []}])
async def test_a_field_of_the_wrong_type_is_answered_500(comfyui: Client, tiny: MakeGraph, extra: Any) -> None:
    status, _ = await comfyui.post("/prompt", {"prompt": tiny(), **extra})
    assert status == 500


async def test_a_refusal_queues_nothing_and_sends_nothing(comfyui: Client, fresh: MakeGraph) -> None:
    socket = await comfyui.connect()
    body = {"prompt": fresh("92-invalid-out-of-range.json"), "client_id": socket.client_id}
    assert (await comfyui.post("/prompt", body))[0] == 400
    assert await socket.is_silent()


async def test_values_are_converted_to_the_type_of_their_input(comfyui: Client, tiny: MakeGraph) -> None:
    graph = tiny()
    graph["1"]["inputs"]["width"] = "32"
    run = await comfyui.run(graph)
    assert run.entry["prompt"][2]["1"]["inputs"]["width"] == 32


async def test_unknown_inputs_are_ignored(comfyui: Client, tiny: MakeGraph) -> None:
    graph = tiny()
    graph["1"]["inputs"]["no_such_input"] = [1, 2, 3]
    assert (await comfyui.run(graph)).entry["status"]["completed"]


async def test_a_refused_part_may_be_broken_in_any_way(comfyui: Client, tiny: MakeGraph) -> None:
    graph = tiny()
    graph["3"] = {"class_type": "ImageInvert", "inputs": {"image": ["4", 0]}}
    graph["4"] = {"class_type": "ImageInvert", "inputs": {"image": ["3", 0]}}
    graph["5"] = {"class_type": "PreviewImage", "inputs": {"images": ["4", 0]}}
    graph["6"] = {"class_type": "PreviewImage", "inputs": {"images": ["99", 0]}}
    run = await comfyui.run(graph)
    assert set(run.answer["node_errors"]) == {"3", "4", "6"}
    assert list(run.entry["outputs"]) == ["2"]


async def test_partial_execution_runs_only_the_chosen_outputs(comfyui: Client, fresh: MakeGraph) -> None:
    graph = fresh("06-batch-save-and-preview.json")
    run = await comfyui.run(graph, partial_execution_targets=["4"])
    assert list(run.entry["outputs"]) == ["4"]


async def test_partial_execution_without_a_match_is_refused(comfyui: Client, tiny: MakeGraph) -> None:
    status, answer = await comfyui.post("/prompt", {"prompt": tiny(), "partial_execution_targets": []})
    assert (status, answer["error"]["type"]) == (400, "prompt_no_outputs")


async def test_an_accepted_prompt_keeps_the_id_that_the_client_chose(comfyui: Client, tiny: MakeGraph) -> None:
    prompt_id = str(uuid.uuid4())
    status, answer = await comfyui.post("/prompt", {"prompt": tiny(), "prompt_id": prompt_id})
    assert (status, answer["prompt_id"], answer["node_errors"]) == (200, prompt_id, {})


async def test_numbers_count_up_and_refused_bodies_count_too(comfyui: Client, tiny: MakeGraph) -> None:
    numbers = []
    for _ in range(2):
        _, answer = await comfyui.post("/prompt", {"prompt": tiny()})
        numbers.append(answer["number"])
        await comfyui.post("/prompt", {})
    assert numbers[1] >= numbers[0] + 2


async def test_integers_of_64_bits_stay_exact(comfyui: Client, tiny: MakeGraph) -> None:
    comfyui.require("KSampler")
    comfyui.require_models("tiny-sd3-random.safetensors")
    graph = json.loads((TRACES.parent / "workflows" / "04-tiny-txt2img.json").read_text())
    graph["5"]["inputs"].update(seed=2**64 - 1, steps=1)
    graph["7"]["inputs"]["filename_prefix"] = f"mesh/{uuid.uuid4().hex}"
    run = await comfyui.run(graph)
    assert run.entry["prompt"][2]["5"]["inputs"]["seed"] == 2**64 - 1
