"""What the instance is and has."""

from __future__ import annotations

import os
import sys

from aiohttp import web

from comfymesh.emulator.emulator import EMULATOR
from comfymesh.emulator.models import KINDS, ModelFile
from comfymesh.emulator.nodes import NODES
from comfymesh.emulator.routes.bodies import read_object
from comfymesh.emulator.routes.sockets import features

COMFYUI_VERSION = "0.33.0"
"""The version whose behaviour is emulated."""


async def _object_info(request: web.Request) -> web.Response:
    return web.json_response(request.app[EMULATOR].object_info())


async def _class_info(request: web.Request) -> web.Response:
    definition = NODES.get(request.match_info["name"])
    if definition is None:
        return web.json_response({})
    return web.json_response({definition.name: definition.as_json(request.app[EMULATOR].file_names)})


async def _kinds(_request: web.Request) -> web.Response:
    return web.json_response(KINDS)


def _files(request: web.Request) -> list[ModelFile]:
    kind = request.match_info["kind"]
    if kind not in KINDS:
        raise web.HTTPNotFound
    return request.app[EMULATOR].instance.files.files(kind)


async def _names(request: web.Request) -> web.Response:
    return web.json_response([file.name for file in _files(request)])


async def _sizes(request: web.Request) -> web.Response:
    listed = [
        {
            "name": file.name,
            "pathIndex": 0,
            "modified": file.modified,
            "created": file.modified,
            "size": file.size,
        }
        for file in _files(request)
    ]
    return web.json_response(listed)


async def _kind_folders(request: web.Request) -> web.Response:
    root = request.app[EMULATOR].settings.base_directory / "models"
    return web.json_response([{"name": kind, "folders": [str(root / kind)]} for kind in KINDS])


async def _embeddings(request: web.Request) -> web.Response:
    names = request.app[EMULATOR].instance.files.names("embeddings")
    return web.json_response([name.rsplit(".", 1)[0] for name in names])


async def _features(request: web.Request) -> web.Response:
    return web.json_response(features(request.app[EMULATOR]))


async def _system_stats(request: web.Request) -> web.Response:
    emulator = request.app[EMULATOR]
    total, free = _memory()
    return web.json_response(
        {
            "system": {
                "os": "linux",
                "ram_total": total,
                "ram_free": free,
                "comfyui_version": COMFYUI_VERSION,
                "python_version": sys.version,
                "pytorch_version": "emulated",
                "deploy_environment": "emulated",
                "embedded_python": False,
                "argv": list(emulator.settings.arguments),
            },
            "devices": [_device(total, free)],
        }
    )


def _device(total: int, free: int) -> dict[str, object]:
    return {
        "name": "cpu",
        "type": "cpu",
        "index": None,
        "vram_total": total,
        "vram_free": free,
        "torch_vram_total": total,
        "torch_vram_free": free,
    }


def _memory() -> tuple[int, int]:
    page = os.sysconf("SC_PAGE_SIZE")
    return page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")


async def _empty_list(_request: web.Request) -> web.Response:
    return web.json_response([])


async def _empty_object(_request: web.Request) -> web.Response:
    return web.json_response({})


async def _logs(request: web.Request) -> web.Response:
    return web.json_response("".join(f"{line['t']} - {line['m']}" for line in request.app[EMULATOR].log_entries()))


async def _raw_logs(request: web.Request) -> web.Response:
    size = {"cols": 80, "rows": 24}
    return web.json_response({"entries": request.app[EMULATOR].log_entries(), "size": size})


async def _subscribe(request: web.Request) -> web.Response:
    body = await read_object(request)
    subscribers = request.app[EMULATOR].hub.log_subscribers
    change = subscribers.add if body.get("enabled") else subscribers.discard
    change(str(body["clientId"]))
    return web.Response()


async def _folder_files(request: web.Request) -> web.Response:
    kind = request.match_info["folder"]
    root = request.app[EMULATOR].folders.roots.get(kind)
    if root is None:
        return web.json_response({"error": "Invalid directory type"}, status=400)
    files = sorted((path for path in root.iterdir() if path.is_file()), key=_modified, reverse=True)
    return web.json_response([f"{path.name} [{kind}]" for path in files])


def _modified(path: os.PathLike[str]) -> float:
    return os.stat(path).st_mtime  # noqa: PTH116 (a sort key for any path)


async def _folder_paths(request: web.Request) -> web.Response:
    root = request.app[EMULATOR].settings.base_directory / "models"
    return web.json_response({kind: [str(root / kind)] for kind in KINDS})


INFO_ROUTES = (
    web.get("/object_info", _object_info),
    web.get("/object_info/{name}", _class_info),
    web.get("/models", _kinds),
    web.get("/models/{kind}", _names),
    web.get("/experiment/models", _kind_folders),
    web.get("/experiment/models/{kind}", _sizes),
    web.get("/embeddings", _embeddings),
    web.get("/features", _features),
    web.get("/system_stats", _system_stats),
    web.get("/extensions", _empty_list),
    web.get("/i18n", _empty_object),
    web.get("/settings", _empty_object),
)
INTERNAL_ROUTES = (
    web.get("/internal/logs", _logs),
    web.get("/internal/logs/raw", _raw_logs),
    web.patch("/internal/logs/subscribe", _subscribe),
    web.get("/internal/files/{folder}", _folder_files),
    web.get("/internal/folder_paths", _folder_paths),
)
