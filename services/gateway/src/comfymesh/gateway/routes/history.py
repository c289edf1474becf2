"""Reading the history."""

from __future__ import annotations

from aiohttp import web

from comfymesh.gateway.bodies import read_object
from comfymesh.gateway.domain import history
from comfymesh.gateway.domain.history import ENDED
from comfymesh.gateway.domain.jobs import integer
from comfymesh.gateway.domain.submission import ShapelessError
from comfymesh.gateway.state import GATEWAY

_MOST = 10_000
"""As many as ComfyUI remembers."""


async def _history(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    asked, offset = integer(request.query.get("max_items")), integer(request.query.get("offset", "-1"))
    if offset is None or (asked is None and "max_items" in request.query):
        raise ShapelessError
    most = gateway.settings.gateway_history_items if asked is None else min(max(asked, 0), _MOST)
    # By position only all of them can be counted; else the newest are enough, and some that are not shown.
    found = await gateway.mesh.tasks(ENDED, _MOST if offset >= 0 else 2 * most + 50)
    shown = [task for task in reversed(found) if history.is_shown(task)]
    chosen = shown[offset : offset + most] if offset >= 0 else shown[max(len(shown) - most, 0) :]
    prompts = await gateway.mesh.prompts(chosen)
    return web.json_response({prompt.id: history.entry(prompt) for prompt in prompts})


async def _entry(request: web.Request) -> web.Response:
    mesh, prompt_id = request.app[GATEWAY].mesh, request.match_info["prompt_id"]
    task = await mesh.task(prompt_id)
    prompt = await mesh.prompt(task) if task and history.is_shown(task) else None
    return web.json_response({prompt.id: history.entry(prompt)} if prompt else {})


async def _change_history(request: web.Request) -> web.Response:
    # History is the mesh's records, which go when their time is over: nobody's to delete.
    await read_object(request)
    return web.Response()


HISTORY_ROUTES = (
    web.get("/history", _history),
    web.get("/history/{prompt_id}", _entry),
    web.post("/history", _change_history),
)
