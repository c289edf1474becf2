"""Client libraries of ComfyUI that others wrote, from PyPI, as they are: pointed at the gateway they use the mesh."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import comfy_api_simplified
import comfyui_async_api_tool
import comfyuiclient
import pytest
from comfyui_utils import comfy
from PIL import Image
from tests.integration.gateway import graphs

if TYPE_CHECKING:
    from tests.integration.gateway.conftest import Gateways

pytestmark = pytest.mark.asyncio(loop_scope="session")


def size_of(picture: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(picture)).size


async def test_comfy_api_simplified_runs_an_uploaded_picture_with_a_key(gateways: Gateways, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "white").save(tmp_path / "photo.png")
    api = comfy_api_simplified.ComfyApiWrapper(gateways.keyed, "anybody", gateways.keys[0])

    def run() -> dict[str, bytes]:
        stored = api.upload_image(tmp_path / "photo.png")
        graph = graphs.loaded(f"{stored['subfolder']}/{stored['name']}")
        return dict(api.queue_and_wait_images(graph, "Save"))

    ((name, picture),) = (await asyncio.to_thread(run)).items()
    assert name.endswith(".png")
    assert Image.open(io.BytesIO(picture)).getpixel((5, 5)) == (0, 0, 0)
    assert "SaveImage" in await asyncio.to_thread(api.get_object_info)


async def test_comfy_api_simplified_is_told_of_a_failure(gateways: Gateways) -> None:
    graph = graphs.picture()
    graph["3"] = {
        "class_type": "ProbeRaise",
        "inputs": {"image": ["1", 0], "kind": "runtime", "delay": 6, "nonce": "n"},
    }
    graph["2"]["inputs"]["images"] = ["3", 0]
    api = comfy_api_simplified.ComfyApiWrapper(gateways.open)
    with pytest.raises(comfy_api_simplified.ComfyApiError, match="Execution error"):
        await api.queue_prompt_and_wait(graph)
    with pytest.raises(comfy_api_simplified.ComfyApiError, match="400"):
        await asyncio.to_thread(api.queue_prompt, {"1": {"class_type": "NoSuchClass", "inputs": {}}})


class Told(comfy.Callbacks):  # type: ignore[misc]  # it has no types
    def __init__(self) -> None:
        self.nodes: list[int] = []
        self.output: dict[str, Any] = {}

    async def queue_position(self, position: str) -> None:
        assert int(position) >= 0

    async def in_progress(self, node_id: int, *_steps: int) -> None:
        self.nodes.append(node_id)

    async def completed(self, outputs: dict[str, Any], *_cached: bool) -> None:
        self.output = outputs


async def test_comfyui_utils_follows_a_run_by_its_callbacks(gateways: Gateways) -> None:
    api, told = comfy.ComfyAPI(gateways.open.removeprefix("http://")), Told()
    await api.submit(graphs.steps(8, 0.05), told)
    assert told.nodes == sorted(told.nodes, key=[1, 3, 2].index)
    pictures: list[bytes] = []

    async def take(data: io.BytesIO) -> None:
        pictures.append(data.read())

    await api.fetch(told.output["images"][0], take)
    assert size_of(pictures[0]) == (64, 48)


async def test_comfyui_utils_words_what_is_wrong_with_each_node(gateways: Gateways) -> None:
    graph = graphs.picture()
    graph["1"]["inputs"]["width"] = -5
    with pytest.raises(ValueError, match=r"Node 1, width: Value -5 smaller than min of 1"):
        await comfy.ComfyAPI(gateways.open.removeprefix("http://")).submit(graph, Told())


async def test_comfyui_async_api_tool_streams_progress_and_the_picture(gateways: Gateways) -> None:
    async with aiohttp.ClientSession(headers={"X-API-Key": gateways.keys[1]}) as http:
        client = comfyui_async_api_tool.ComfyClient(http, gateways.keyed, fetch_image_timeout=20)
        events = [event async for event in client.run(graphs.steps(40, 0.1))]
    assert [event["type"] for event in (events[0], events[-1])] == ["start", "image"]
    assert any(event["type"] == "progress" for event in events)
    assert size_of(events[-1]["data"]) == (64, 48)


async def test_comfyui_workflow_client_uploads_runs_and_fetches(gateways: Gateways, tmp_path: Path) -> None:
    (tmp_path / "graph.json").write_text(json.dumps(graphs.loaded("nothing yet")))
    client = comfyuiclient.ComfyUIClient(gateways.open.removeprefix("http://"), str(tmp_path / "graph.json"))

    def run() -> Any:
        client.connect()
        try:
            client.set_data(key="Load", image=Image.new("RGB", (20, 10), "black"))
            return client.generate(["Save"])
        finally:
            client.close()

    made = (await asyncio.to_thread(run))["Save"]
    assert (made.size, made.getpixel((5, 5))) == ((20, 10), (255, 255, 255))
