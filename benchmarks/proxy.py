"""Stands between the mesh and a ComfyUI and notes when each event passes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from comfymesh.stack.mesh import free_port

Note = Callable[[str, float], None]
"""Takes the text of an event and the time.perf_counter() at which it was about to be passed on."""

_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length", "content-encoding", "host", "keep-alive"})
_ANY_SIZE = 1 << 30


@asynccontextmanager
async def recording(url: str, note: Note) -> AsyncIterator[str]:
    """Pass everything on to the ComfyUI at `url`; answers the address to use in its place."""
    async with aiohttp.ClientSession(url, auto_decompress=False) as http:
        proxy = _Proxy(http, note)
        app = web.Application(client_max_size=_ANY_SIZE)
        app.router.add_get("/ws", proxy.socket)
        app.router.add_route("*", "/{path:.*}", proxy.request)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        port = free_port()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            yield f"http://127.0.0.1:{port}"
        finally:
            await runner.cleanup()


class _Proxy:
    def __init__(self, http: aiohttp.ClientSession, note: Note) -> None:
        self._http = http
        self._note = note

    async def request(self, request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        body = await request.read()
        async with self._http.request(request.method, request.rel_url, headers=headers, data=body) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            if "Content-Encoding" in answer.headers:
                kept["Content-Encoding"] = answer.headers["Content-Encoding"]
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        inner = web.WebSocketResponse(max_msg_size=0)
        await inner.prepare(request)
        async with self._http.ws_connect(request.rel_url, max_msg_size=0) as outer:
            inward = asyncio.create_task(self._inward(outer, inner))
            try:
                async for message in inner:
                    await outer.send_str(message.data)
            finally:
                inward.cancel()
                await asyncio.gather(inward, return_exceptions=True)
        return inner

    async def _inward(self, outer: aiohttp.ClientWebSocketResponse, inner: web.WebSocketResponse) -> None:
        async for message in outer:
            if message.type is aiohttp.WSMsgType.TEXT:
                self._note(message.data, time.perf_counter())
                await inner.send_str(message.data)
            else:
                await inner.send_bytes(message.data)
        await inner.close()
