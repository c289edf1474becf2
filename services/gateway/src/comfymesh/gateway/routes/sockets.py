"""The socket."""

from __future__ import annotations

import uuid

from aiohttp import web

from comfymesh.gateway.domain.refusals import refused
from comfymesh.gateway.mesh import current_caller
from comfymesh.gateway.socket import MOST_SAID_BYTES, Socket
from comfymesh.gateway.state import GATEWAY, Gateway

_LONGEST_ID = 1024


async def _socket(request: web.Request) -> web.StreamResponse:
    gateway, caller = request.app[GATEWAY], current_caller()
    client_id = request.query.get("clientId") or uuid.uuid4().hex
    _check(gateway, client_id)
    audience = gateway.audiences.of(caller)
    try:
        if len(audience.sockets) >= gateway.settings.gateway_max_key_sockets:
            raise refused("too_many_sockets", "This key has too many sockets open", status=429)
        # Who has no business here is told so by HTTP, before there is a socket.
        await audience.ready()
        connection = web.WebSocketResponse(max_msg_size=MOST_SAID_BYTES, timeout=5.0)
        await connection.prepare(request)
        socket = Socket(connection, client_id, gateway.features)
        audience.join(socket)
        try:
            await socket.serve()
        finally:
            audience.leave(socket)
    finally:
        gateway.audiences.left(caller)
    return connection


def _check(gateway: Gateway, client_id: str) -> None:
    if gateway.audiences.sockets >= gateway.settings.gateway_max_sockets:
        raise refused("too_many_sockets", "The gateway has too many sockets open", status=503)
    if len(client_id) > _LONGEST_ID:
        raise refused("client_id_too_long", f"clientId has more than {_LONGEST_ID} characters")


async def _features(request: web.Request) -> web.Response:
    return web.json_response(request.app[GATEWAY].features)


SOCKET_ROUTES = (web.get("/ws", _socket), web.get("/features", _features))
