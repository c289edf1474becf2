"""Every workflow ends as recorded."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.comfyui.conftest import Client, MakeGraph

DATA = Path(__file__).parents[2] / "data" / "comfyui"
MANIFEST = json.loads((DATA / "manifest.json").read_text())
VALID = [name for name, seen in MANIFEST.items() if seen["http_status"] == 200]
INVALID = [name for name, seen in MANIFEST.items() if seen["http_status"] == 400]
# Here the number of messages follows from the throttle and the speed of the machine.
TIMED = {"05-upscale-tiles.json"}


def required_classes(seen: dict[str, Any]) -> list[str]:
    return [name for name in seen["classes"] if name != "NoSuchNodeClass"]


async def prepare(comfyui: Client, seen: dict[str, Any]) -> None:
    comfyui.require(*required_classes(seen))
    comfyui.require_models(*seen.get("needs_models", []))
    for name in seen.get("needs_uploads", []):
        status, _ = await comfyui.upload(name, (DATA / "inputs" / name).read_bytes(), overwrite="true")
        assert status == 200


def outputs_of(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        node: {"images": len(shown["images"]), "type": sorted({image["type"] for image in shown["images"]})}
        for node, shown in entry["outputs"].items()
    }


def error_types(node_errors: dict[str, Any]) -> dict[str, list[str]]:
    return {node: [error["type"] for error in errors["errors"]] for node, errors in node_errors.items()}


@pytest.mark.parametrize("name", VALID)
async def test_an_accepted_workflow_ends_as_recorded(comfyui: Client, fresh: MakeGraph, name: str) -> None:
    seen = MANIFEST[name]
    await prepare(comfyui, seen)
    run = await comfyui.run(fresh(name), extra_data={"preview_method": "latent2rgb"})
    assert run.entry["status"]["status_str"] == seen["final_status"]
    assert run.entry["status"]["completed"] is (seen["final_status"] == "success")
    assert outputs_of(run.entry) == seen["outputs"]
    assert error_types(run.answer["node_errors"]) == seen.get("node_errors_on_200", {})
    if name not in TIMED:
        counts = Counter(run.kinds())
        told = (counts["progress"], counts["binary 4"], counts["binary 3"])
        assert told == (seen["progress_messages"], seen["preview_frames"], seen["text_frames"])


@pytest.mark.parametrize("name", [name for name in VALID if "exception_type" in MANIFEST[name]])
async def test_a_failing_node_is_named_with_its_exception(comfyui: Client, fresh: MakeGraph, name: str) -> None:
    seen = MANIFEST[name]
    await prepare(comfyui, seen)
    run = await comfyui.run(fresh(name))
    error = run.of("execution_error")[0].data
    assert error["node_id"] == seen["error_node"]
    assert error["exception_type"] == seen["exception_type"]
    assert set(error) >= {
        "prompt_id", "node_id", "node_type", "executed", "exception_message", "exception_type", "traceback",
        "current_inputs", "current_outputs",
    }  # fmt: skip


async def test_throttled_progress_begins_with_the_first_tile_and_ends_with_the_last(
    comfyui: Client, fresh: MakeGraph
) -> None:
    seen = MANIFEST["05-upscale-tiles.json"]
    await prepare(comfyui, seen)
    progress = [frame.data for frame in (await comfyui.run(fresh("05-upscale-tiles.json"))).of("progress")]
    values = [(data["value"], data["max"]) for data in progress]
    assert values[0] == (1, 9)
    assert values[-1] == (9, 9)
    assert values == sorted(set(values))


@pytest.mark.parametrize("name", INVALID)
async def test_a_refused_workflow_is_refused_as_recorded(comfyui: Client, fresh: MakeGraph, name: str) -> None:
    seen = MANIFEST[name]
    await prepare(comfyui, seen)
    status, answer = await comfyui.post("/prompt", {"prompt": fresh(name)})
    assert status == 400
    assert answer["error"]["type"] == seen["error_type"]
    assert error_types(answer["node_errors"]) == seen["node_error_types"]
