"""What the fleet is and has, as one ComfyUI would tell it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from aiohttp import web

from comfymesh.client import Node
from comfymesh.gateway.domain import folders
from comfymesh.gateway.state import GATEWAY


async def _object_info(request: web.Request) -> web.Response:
    offered = await request.app[GATEWAY].mesh.offered()
    answer = web.Response(body=offered.text, content_type="application/json", charset="utf-8")
    answer.enable_compression()
    return answer


async def _class_info(request: web.Request) -> web.Response:
    name, offered = request.match_info["name"], await request.app[GATEWAY].mesh.offered()
    return web.json_response({name: offered.classes[name]} if name in offered.classes else {})


async def _folders(_request: web.Request) -> web.Response:
    return web.json_response([*folders.FOLDERS])


async def _models(request: web.Request) -> web.Response:
    offered = await request.app[GATEWAY].mesh.offered()
    found = folders.models(offered.catalog, request.match_info["folder"])
    if found is None:
        raise web.HTTPNotFound
    return web.json_response(found)


async def _empty_list(_request: web.Request) -> web.Response:
    return web.json_response([])


async def _empty_object(_request: web.Request) -> web.Response:
    return web.json_response({})


async def _system_stats(request: web.Request) -> web.Response:
    return web.json_response(system_stats(await request.app[GATEWAY].mesh.nodes()))


def system_stats(nodes: Sequence[Node]) -> dict[str, object]:
    """The fleet as one machine: memory of all hosts, and every GPU as a device."""
    versions = sorted({each.comfyui_version for node in nodes for each in node.instances if each.comfyui_version})
    gpus = [gpu for node in nodes for gpu in node.gpus]
    return {
        "system": {
            "os": "linux",
            "ram_total": sum(node.host.memory_bytes for node in nodes),
            "ram_free": sum(node.host.memory_available_bytes for node in nodes),
            "comfyui_version": versions[0] if versions else "",
            "python_version": sys.version,
            "pytorch_version": "",
            "deploy_environment": "comfymesh",
            "embedded_python": False,
            "argv": [],
        },
        "devices": [
            {
                "name": gpu.model,
                "type": "cuda",
                "index": index,
                "vram_total": gpu.memory_bytes,
                "vram_free": max(0, gpu.memory_bytes - gpu.memory_used_bytes),
                "torch_vram_total": gpu.memory_bytes,
                "torch_vram_free": max(0, gpu.memory_bytes - gpu.memory_used_bytes),
            }
            for index, gpu in enumerate(gpus)
        ]
        or [_NO_GPU],
    }


_NO_GPU = {
    "name": "cpu",
    "type": "cpu",
    "index": None,
    "vram_total": 0,
    "vram_free": 0,
    "torch_vram_total": 0,
    "torch_vram_free": 0,
}


async def _users(_: web.Request) -> web.Response:
    """As a ComfyUI for one user, which keeps its settings. The front end does not start without."""
    return web.json_response({"storage": "server", "migrated": True})


INFO_ROUTES = (
    web.get("/object_info", _object_info),
    web.get("/object_info/{name}", _class_info),
    web.get("/models", _folders),
    web.get("/models/{folder}", _models),
    web.get("/embeddings", _empty_list),
    web.get("/system_stats", _system_stats),
    web.get("/extensions", _empty_list),
    web.get("/i18n", _empty_object),
    web.get("/users", _users),
    web.get("/settings", _empty_object),
    web.get("/workflow_templates", _empty_object),
    web.get("/node_replacements", _empty_object),
    web.get("/global_subgraphs", _empty_object),
    web.get("/userdata", _empty_list),
)
