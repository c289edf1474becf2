"""Prompts of the recorded traces give the recorded events."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.comfyui.conftest import Client, Frame, Graph, MakeGraph

TRACES = Path(__file__).parents[2] / "data" / "comfyui" / "traces"
# What one run tells and another does not: ids, times, names, sizes, and prose of the server's own code.
CHANGING = {"prompt_id", "timestamp", "filename", "traceback", "current_inputs", "current_outputs", "image_type"}


def recorded(name: str) -> list[tuple[Graph, list[Any]]]:
    """Returns every prompt of a trace whose client was told its end, with the events it was told."""
    lines = [json.loads(line) for line in (TRACES / f"{name}.jsonl").read_text().splitlines()]
    submitted = [line for line in lines if line["kind"] == "http" and line["method"] == "POST"]
    graphs = {
        line["resp"]["prompt_id"]: line["req"]["prompt"]
        for line in submitted
        if line["path"] == "/prompt" and line["status"] == 200 and line["req"].get("client_id")
    }
    told = {prompt_id: [told_in(line) for line in lines if belongs(line, prompt_id)] for prompt_id in graphs}
    return [(graph, told[prompt_id]) for prompt_id, graph in graphs.items()]


def belongs(line: dict[str, Any], prompt_id: str) -> bool:
    if line["kind"] == "ws_binary":
        return line["header"].get("metadata", {}).get("prompt_id") == prompt_id
    return line["kind"] == "ws_text" and line["json"].get("data", {}).get("prompt_id") == prompt_id


def told_in(line: dict[str, Any]) -> Any:
    if line["kind"] == "ws_binary":
        return f"binary {line['header']['event']}"
    return line["json"]["type"], comparable(line["json"]["data"])


def told(frames: list[Frame]) -> list[Any]:
    return [
        frame.kind if frame.kind.startswith("binary") else (frame.kind, comparable(frame.data))
        for frame in frames
        if frame.kind not in {"status", "logs"} and frame.kind != "binary 3"
    ]


def comparable(data: Any) -> Any:
    if isinstance(data, dict):
        kept = {key: comparable(value) for key, value in data.items() if key not in CHANGING}
        # The server keeps a set of what ran: its order differs from start to start.
        return {key: sorted(value) if key == "executed" else value for key, value in kept.items()}
    return [comparable(item) for item in data] if isinstance(data, list) else data


def renewed(graph: Graph, run: str) -> Graph:
    """Changes what decides over the cache; what was the same within the trace stays the same."""
    text = re.sub(r'("filename_prefix": "[^"]*)', rf"\1-{run}", json.dumps(graph))
    made: Graph = json.loads(text)
    for node in made.values():
        if "nonce" in node["inputs"]:
            node["inputs"]["nonce"] += run
        if node["class_type"] == "EmptyImage":
            node["inputs"]["color"] = (node["inputs"]["color"] + int(run, 16)) % 2**24
    return made


@pytest.mark.parametrize(
    "name",
    [
        "01-success-sampling-new-previews",
        "03-success-minimal-then-cached-twice",
        "08b-execution-error-after-progress",
        "17-execution-blocker",
        "24-node-expansion",
    ],
)
async def test_the_events_of_a_trace_come_again(comfyui: Client, tiny: MakeGraph, name: str) -> None:
    run = uuid.uuid4().hex[:6]
    await comfyui.post("/free", {"free_memory": True})
    await comfyui.run(tiny())  # after it at the latest the cache is empty
    for graph, events in recorded(name):
        comfyui.require(*(node["class_type"] for node in graph.values()))
        comfyui.require_models(
            *(node["inputs"]["ckpt_name"] for node in graph.values() if "ckpt_name" in node["inputs"])
        )
        cached = next(data["nodes"] for kind, data in (item for item in events if item[0] == "execution_cached"))
        new = renewed(graph, run)
        if cached and len(cached) < len(graph):
            await comfyui.run(priming(new, cached))
        again = await comfyui.run(new, extra_data={"preview_method": "latent2rgb"})
        assert told(again.frames) == events


def priming(graph: Graph, cached: list[str]) -> Graph:
    """Returns a graph that leaves the results of the given graph nodes in the cache."""
    kept = {node_id: graph[node_id] for node_id in cached}
    shown = {
        f"show-{node_id}": {"class_type": "PreviewImage", "inputs": {"images": [node_id, 0]}, "_meta": {}}
        for node_id in cached
    }
    return {**kept, **shown}
