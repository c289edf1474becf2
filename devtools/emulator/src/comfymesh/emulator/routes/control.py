"""Routes that only the emulator has: its faults, and what it holds in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import web

from comfymesh.emulator.emulator import EMULATOR, Emulator
from comfymesh.emulator.faults import Fault, hold_interpreter
from comfymesh.emulator.routes.bodies import read_object

_ANSWER_FIRST_SECONDS = 0.05
_AT_ONCE: Mapping[Fault, Callable[[Emulator, float], None]] = {
    Fault.DEAF_SOCKET: lambda emulator, _: emulator.hub.deafen(),
}
"""What happens once, and has happened when it is answered."""
_AFTERWARDS: Mapping[Fault, Callable[[Emulator, float], None]] = {
    Fault.HTTP_STALL: lambda _, seconds: hold_interpreter(seconds),
    Fault.FORGETFUL_RESTART: lambda emulator, seconds: emulator.restart(seconds),
}
"""What happens once, and would keep the answer from being sent."""


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
    emulator = request.app[EMULATOR]
    for fault in active.keys() & _AT_ONCE:
        _AT_ONCE[fault](emulator, active.pop(fault))
    later = {fault: active.pop(fault) for fault in _AFTERWARDS if fault in active}
    emulator.faults.replace(active)
    for fault, value in later.items():
        # After this answer is on its way: from then on every request waits, or finds nobody.
        asyncio.get_running_loop().call_later(_ANSWER_FIRST_SECONDS, _AFTERWARDS[fault], emulator, value)
    return web.json_response(emulator.faults.as_json())


async def _resident(request: web.Request) -> web.Response:
    return web.json_response(request.app[EMULATOR].instance.resident.names())


CONTROL_ROUTES = (
    web.get("/emulator/faults", _faults),
    web.post("/emulator/faults", _set_faults),
    web.get("/emulator/resident", _resident),
)
