"""The socket (ComfyUI protocol notes, section 7.1)."""

from __future__ import annotations

import json
import uuid

from aiohttp import WSMsgType, web

from comfymesh.emulator.emulator import EMULATOR, Emulator
from comfymesh.emulator.faults import Fault
from comfymesh.emulator.hub import dump_event, send_quietly
from comfymesh.emulator.outlet import Outlet
from comfymesh.graphs import JsonValue


def features(emulator: Emulator) -> dict[str, JsonValue]:
    """Returns what the server can do, as the socket and ``/features`` tell it."""
    return {
        "supports_preview_metadata": True,
        "supports_model_type_tags": True,
        "max_upload_size": emulator.settings.max_upload_bytes,
        "extension": {"manager": {"supports_v4": True}},
        "node_replacements": True,
        "assets": False,
    }


async def _socket(request: web.Request) -> web.StreamResponse:
    emulator = request.app[EMULATOR]
    if emulator.faults.is_on(Fault.REFUSE_WS):
        return web.Response(status=503)
    socket = web.WebSocketResponse()
    writer, transport = await socket.prepare(request), request.transport
    if transport is None:
        return socket  # It is gone already.
    client_id = request.query.get("clientId") or uuid.uuid4().hex
    emulator.hub.join(client_id, Outlet(socket, transport, writer.drain))
    try:
        await _greet(emulator, socket, client_id)
        await _listen(emulator, socket, client_id)
    finally:
        # Also when a newer socket took the client id over by now: that one goes deaf (section 13.2).
        emulator.hub.leave(client_id)
    return socket


async def _greet(emulator: Emulator, socket: web.WebSocketResponse, client_id: str) -> None:
    await send_quietly(socket, dump_event("status", {**emulator.status(), "sid": client_id}))
    node = emulator.hub.current_node
    if node is not None and emulator.hub.current_client == client_id:
        await send_quietly(socket, dump_event("executing", {"node": node}))


async def _listen(emulator: Emulator, socket: web.WebSocketResponse, client_id: str) -> None:
    is_first = True
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            continue
        try:
            said = json.loads(message.data)
        except ValueError:
            emulator.log_line(f"Invalid JSON received from client {client_id}\n")
            continue
        if is_first and isinstance(said, dict) and said.get("type") == "feature_flags":
            asked = said.get("data")
            wanted = isinstance(asked, dict) and bool(asked.get("supports_preview_metadata"))
            emulator.hub.set_wants_metadata(client_id, wanted=wanted)
            await send_quietly(socket, dump_event("feature_flags", features(emulator)))
        is_first = False


SOCKET_ROUTES = (web.get("/ws", _socket),)
