"""Routes that only the emulator has: its faults, and what it holds in memory."""

from __future__ import annotations

import asyncio

from aiohttp import web

from comfymesh.emulator.emulator import EMULATOR
from comfymesh.emulator.faults import Fault, hold_interpreter
from comfymesh.emulator.routes.bodies import read_object

_ANSWER_FIRST_SECONDS = 0.05


async def _faults(request: web.Request) -> web.Response:
    return web.json_response(request.app[EMULATOR].faults.as_json())


async def _set_faults(request: web.Request) -> web.Response:
    """Switches on exactly the faults of the body, ``{name: value}``; an empty object switches all off."""
    body = await read_object(request)
    try:
        active = {Fault(name): float(str(value)) for name, value in body.items()}
    except ValueError as error:
        known = ", ".join(Fault)
        return web.json_response({"error": f"{error}; give {{name: number}} with {known}"}, status=400)
    stall = active.pop(Fault.HTTP_STALL, None)
    faults = request.app[EMULATOR].faults
    faults.replace(active)
    if stall is not None:
        # After this answer is on its way: from then on every request waits.
        asyncio.get_running_loop().call_later(_ANSWER_FIRST_SECONDS, hold_interpreter, stall)
    return web.json_response(faults.as_json())


async def _resident(request: web.Request) -> web.Response:
    return web.json_response(request.app[EMULATOR].instance.resident.names())


CONTROL_ROUTES = (
    web.get("/emulator/faults", _faults),
    web.post("/emulator/faults", _set_faults),
    web.get("/emulator/resident", _resident),
)
