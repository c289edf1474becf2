"""Finds out whether the event socket has gone deaf (ComfyUI protocol notes, sections 13.2 and 13.3)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from comfymesh.agent.comfyui.errors import ComfyError, ComfyUnreachable

if TYPE_CHECKING:
    from comfymesh.agent.comfyui.http import ComfyHttp
    from comfymesh.agent.comfyui.socket import EventSocket
    from comfymesh.agent.comfyui.timings import SessionTimings


class Suspicion:
    """Replaces a socket that says nothing where there was something to say.

    Args:
        http: The server.
        socket: Its event socket.
        timings: How long it may be silent.
    """

    def __init__(self, http: ComfyHttp, socket: EventSocket, timings: SessionTimings) -> None:
        self._http = http
        self._socket = socket
        self._timings = timings
        self._task: asyncio.Task[None] | None = None
        self._since = float("-inf")

    def arise(self, since: float) -> None:
        """Something has happened since a moment, in seconds of `time.monotonic`, that every socket is told of."""
        self._since = since
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._examine())

    async def close(self) -> None:
        """Suspect nobody any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _examine(self) -> None:
        since = None
        while since != self._since:
            since = self._since
            await self._replace_if_deaf(self._socket.client_id, since)

    async def _replace_if_deaf(self, client_id: str | None, since: float) -> None:
        await asyncio.sleep(self._timings.deaf)
        if not self._is_deaf(client_id, since):
            return
        try:
            await self._http.features()  # A server that stands still answers nobody: then it is not the socket.
        except (ComfyUnreachable, ComfyError):
            return
        await asyncio.sleep(self._timings.recheck)
        if self._is_deaf(client_id, since):
            self._socket.reconnect("something has happened and it did not say so")

    def _is_deaf(self, client_id: str | None, since: float) -> bool:
        return client_id is not None and self._socket.client_id == client_id and self._socket.heard < since
