"""The sockets, and who gets what (ComfyUI protocol notes, section 7)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from comfymesh.emulator.faults import Fault, Faults
from comfymesh.graphs import JsonValue

_log = logging.getLogger(__name__)

Payload = bytes | tuple[str, object]


@dataclass(slots=True)
class _Client:
    socket: web.WebSocketResponse
    wants_metadata: bool = False


class Hub:
    """All sockets of an instance and the one loop that sends to them, in order, awaiting each.

    As on a real server, one reader that stopped reading stops everybody's events, and a socket that took over the
    client id of an older one goes deaf when the older one ends.

    Args:
        faults: How the instance misbehaves.
        crash: Ends the instance at once; called when a message cannot be written as JSON.
    """

    def __init__(self, faults: Faults, crash: Callable[[int], None]) -> None:
        self._faults = faults
        self._crash = crash
        self._clients: dict[str, _Client] = {}
        self._waiting: asyncio.Queue[tuple[Payload, str | None]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self.log_subscribers: set[str] = set()
        self.current_client: str | None = None
        self.current_node: str | None = None

    def join(self, client_id: str, socket: web.WebSocketResponse) -> None:
        """Makes a socket the one that gets the events of a client id."""
        self._clients[client_id] = _Client(socket)

    def leave(self, client_id: str) -> None:
        """Drops a client id, whichever socket holds it by now."""
        self._clients.pop(client_id, None)
        self.log_subscribers.discard(client_id)

    def deafen(self) -> None:
        """Drops every client id; the sockets stay open."""
        self._clients.clear()

    def set_wants_metadata(self, client_id: str, *, wanted: bool) -> None:
        """Notes whether a client takes previews with metadata."""
        if client_id in self._clients:
            self._clients[client_id].wants_metadata = wanted

    def wants_metadata(self, client_id: str | None) -> bool:
        """Tells whether a client takes previews with metadata."""
        client = self._clients.get(client_id) if client_id is not None else None
        return client is not None and client.wants_metadata

    def has_receiver(self, client_id: str | None) -> bool:
        """Tells whether anybody would get a message to this client id, or to all when it is None."""
        return bool(self._clients) if client_id is None else client_id in self._clients

    def send(self, event: str, data: JsonValue | object, client_id: str | None) -> None:
        """Puts an event on the list of what is to be sent; to all when the client id is None. Any thread."""
        self._put((event, data), client_id)

    def send_frame(self, frame: bytes, client_id: str | None) -> None:
        """Puts a binary message on the list; to all when the client id is None. Any thread."""
        self._put(frame, client_id)

    def _put(self, payload: Payload, client_id: str | None) -> None:
        self._loop.call_soon_threadsafe(self._waiting.put_nowait, (payload, client_id))

    async def run(self) -> None:
        """Sends what is on the list, for ever."""
        while True:
            payload, client_id = await self._waiting.get()
            if stuck := self._faults.take(Fault.STUCK_READER):
                await asyncio.sleep(stuck)
            try:
                message = payload if isinstance(payload, bytes) else dump_event(*payload)
            except (TypeError, ValueError):
                _log.warning("An event cannot be written as JSON; the instance ends, as a real one does")
                self._crash(1)
                return
            await self._deliver(message, client_id)

    async def _deliver(self, message: bytes | str, client_id: str | None) -> None:
        if self._faults.is_on(Fault.SILENT_SOCKET):
            return
        receivers = [*self._clients] if client_id is None else [client_id]
        for receiver in receivers:
            client = self._clients.get(receiver)
            if client is not None:
                await send_quietly(client.socket, message)


async def send_quietly(socket: web.WebSocketResponse, message: bytes | str) -> None:
    """Sends a message; a socket that is gone is no error."""
    try:
        if isinstance(message, bytes):
            await socket.send_bytes(message)
        else:
            await socket.send_str(message)
    except (ConnectionError, RuntimeError):
        _log.debug("A socket went away while something was sent to it")


def dump_event(event: str, data: object) -> str:
    """Writes an event as the text of a socket message.

    Raises:
        TypeError: The data cannot be written as JSON.
    """
    return json.dumps({"type": event, "data": data})
