"""Reading and clearing the history."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from comfymesh.emulator.emulator import EMULATOR, Emulator
from comfymesh.emulator.routes.bodies import ids_in, read_object


async def _history(request: web.Request) -> web.Response:
    asked = request.query.get("max_items")
    max_items = None if asked is None else int(asked)
    offset = int(request.query.get("offset", -1))
    return web.json_response(request.app[EMULATOR].queue.history(max_items, offset))


async def _entry(request: web.Request) -> web.Response:
    return web.json_response(entry(request.app[EMULATOR], request.match_info["prompt_id"]))


def entry(emulator: Emulator, prompt_id: str) -> Mapping[str, object]:
    """Returns what is answered to a question for one prompt: empty while it waits or runs."""
    found = emulator.queue.entry(prompt_id)
    return {} if found is None else {prompt_id: found}


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
