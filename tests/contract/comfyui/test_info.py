"""What a server tells about itself (protocol notes, section 3)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.comfyui.conftest import Client, MakeGraph

SUBSET = json.loads((Path(__file__).parents[2] / "data" / "comfyui" / "object_info_subset.json").read_text())


def shape(info: dict[str, Any]) -> dict[str, Any]:
    """Returns what matters to a client: inputs with their types and ranges, outputs."""
    sections = {name: info["input"].get(name, {}) for name in ("required", "optional")}
    return {
        "inputs": {
            section: {name: described(value) for name, value in inputs.items()} for section, inputs in sections.items()
        },
        "output": info["output"],
        "output_node": info["output_node"],
    }


def described(value: list[Any]) -> Any:
    config = value[1] if len(value) > 1 else {}
    kind = "COMBO" if isinstance(value[0], list) else value[0]
    return kind, {key: config[key] for key in ("min", "max", "default") if key in config}


@pytest.mark.parametrize("name", SUBSET)
async def test_a_class_takes_and_gives_what_was_recorded(comfyui: Client, name: str) -> None:
    comfyui.require(name)
    assert shape(comfyui.catalog[name]) == shape(SUBSET[name])


@pytest.mark.parametrize("name", [name for name in SUBSET if name.startswith("Probe")])
async def test_a_test_node_is_written_as_it_was_recorded(comfyui: Client, name: str) -> None:
    comfyui.require(name)
    written = {part: comfyui.catalog[name][part] for part in SUBSET[name]}
    assert written == SUBSET[name]


async def test_one_class_reads_as_in_the_whole_catalog(comfyui: Client) -> None:
    assert (await comfyui.get("/object_info/EmptyImage"))["EmptyImage"] == comfyui.catalog["EmptyImage"]
    assert await comfyui.get("/object_info/NoSuchNodeClass") == {}


async def test_the_system_tells_version_memory_and_devices(comfyui: Client) -> None:
    stats = await comfyui.get("/system_stats")
    assert {"os", "ram_total", "ram_free", "comfyui_version", "python_version", "argv"} <= set(stats["system"])
    assert set(stats["devices"][0]) == {
        "name", "type", "index", "vram_total", "vram_free", "torch_vram_total", "torch_vram_free",
    }  # fmt: skip


async def test_model_files_are_listed_by_kind(comfyui: Client) -> None:
    assert {"checkpoints", "loras", "vae", "upscale_models"} <= set(await comfyui.get("/models"))
    names = await comfyui.get("/models/checkpoints")
    sizes = await comfyui.get("/experiment/models/checkpoints")
    assert [file["name"] for file in sizes] == names
    assert all(set(file) == {"name", "pathIndex", "modified", "created", "size"} for file in sizes)


@pytest.mark.parametrize("path", ["/models/nope", "/nope", "/api/nope", "/api/internal/files/input"])
async def test_what_does_not_exist_is_404_without_a_body(comfyui: Client, path: str) -> None:
    async with comfyui.http.get(comfyui.url + path) as response:
        assert (response.status, await response.read()) == (404, b"")


@pytest.mark.parametrize("path", ["/prompt", "/queue", "/system_stats", "/features", "/models", "/history"])
async def test_every_route_has_a_twin_below_api(comfyui: Client, path: str) -> None:
    plain, twin = await comfyui.get(path), await comfyui.get("/api" + path)
    assert type(plain) is type(twin)


async def test_a_wrong_method_is_405(comfyui: Client) -> None:
    async with comfyui.http.put(f"{comfyui.url}/prompt", data=b"{}") as response:
        assert (response.status, await response.text()) == (405, "405: Method Not Allowed")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "node-7.mesh:8188", "Origin": "http://evil.example"}, 200),
        ({"Host": "node-7.mesh"}, 200),
    ],
)
async def test_pages_of_other_origins_are_refused_on_loopback(
    comfyui: Client, headers: dict[str, str], status: int
) -> None:
    async with comfyui.http.get(f"{comfyui.url}/queue", headers=headers) as response:
        assert response.status == status


async def test_history_can_be_read_in_parts(comfyui: Client, tiny: MakeGraph) -> None:
    ids = [(await comfyui.run(tiny())).prompt_id for _ in range(3)]
    assert list(await comfyui.get("/history", max_items="2")) == ids[1:]
    oldest = list(await comfyui.get("/history", max_items="1", offset="0"))
    assert len(oldest) == 1
    async with comfyui.http.get(f"{comfyui.url}/history", params={"max_items": "x"}) as response:
        assert response.status == 500


async def test_an_entry_can_be_deleted(comfyui: Client, tiny: MakeGraph) -> None:
    run = await comfyui.run(tiny())
    assert await comfyui.post("/history", {"delete": [run.prompt_id]}) == (200, "")
    assert await comfyui.get(f"/history/{run.prompt_id}") == {}


async def test_a_malformed_body_is_answered_500_elsewhere_too(comfyui: Client) -> None:
    for path in ("/queue", "/history", "/free"):
        assert (await comfyui.post(path, "{"))[0] == 500
