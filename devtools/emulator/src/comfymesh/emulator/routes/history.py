"""Reading and clearing the history."""

from __future__ import annotations

from aiohttp import web

from comfymesh.emulator.emulator import EMULATOR
from comfymesh.emulator.routes.bodies import ids_in, read_object


async def _history(request: web.Request) -> web.Response:
    asked = request.query.get("max_items")
    max_items = None if asked is None else int(asked)
    offset = int(request.query.get("offset", -1))
    return web.json_response(request.app[EMULATOR].queue.history(max_items, offset))


async def _entry(request: web.Request) -> web.Response:
    prompt_id = request.match_info["prompt_id"]
    entry = request.app[EMULATOR].queue.entry(prompt_id)
    return web.json_response({} if entry is None else {prompt_id: entry})


async def _change_history(request: web.Request) -> web.Response:
    body = await read_object(request)
    queue = request.app[EMULATOR].queue
    if body.get("clear"):
        queue.forget(None)
    queue.forget(ids_in(body, "delete"))
    return web.Response()


HISTORY_ROUTES = (
    web.get("/history", _history),
    web.get("/history/{prompt_id}", _entry),
    web.post("/history", _change_history),
)
