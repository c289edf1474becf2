"""The sockets, and who gets what (ComfyUI protocol notes, section 7)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from comfymesh.emulator.faults import Fault, Faults
from comfymesh.emulator.outlet import Outlet, frame
from comfymesh.graphs import JsonValue

_log = logging.getLogger(__name__)

Payload = bytes | tuple[str, object]


@dataclass(slots=True)
class _Client:
    outlet: Outlet
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
        self._waiting: deque[tuple[Payload, str | None]] = deque()
        self._loop = asyncio.get_running_loop()
        self._awake = asyncio.Event()
        self._is_waking = False
        self.log_subscribers: set[str] = set()
        self.current_client: str | None = None
        self.current_node: str | None = None

    def join(self, client_id: str, outlet: Outlet) -> None:
        """Makes a socket the one that gets the events of a client id."""
        self._clients[client_id] = _Client(outlet)

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
        self._waiting.append((payload, client_id))
        # One wake-up for all that comes until the loop looks: a prompt of a few milliseconds tells a dozen events.
        if not self._is_waking:
            self._is_waking = True
            self._loop.call_soon_threadsafe(self._awake.set)

    async def run(self) -> None:
        """Sends what is on the list, for ever; what waits together leaves together."""
        while True:
            await self._awake.wait()
            self._awake.clear()
            self._is_waking = False  # Before the list is looked at: what comes from here on wakes us again.
            if stuck := self._faults.take(Fault.STUCK_READER):
                await asyncio.sleep(stuck)
            frames, is_well = self._frames()
            await self._deliver(frames)
            if not is_well:
                _log.warning("An event cannot be written as JSON; the instance ends, as a real one does")
                self._crash(1)
                return

    def _frames(self) -> tuple[Mapping[str, list[bytes]], bool]:
        """Takes what is on the list, by client id, up to what can't be written; and whether there was nothing such."""
        frames: defaultdict[str, list[bytes]] = defaultdict(list)
        while self._waiting:
            payload, client_id = self._waiting.popleft()
            try:
                framed = frame(payload if isinstance(payload, bytes) else dump_event(*payload))
            except (TypeError, ValueError):
                return frames, False
            for receiver in self._clients if client_id is None else (client_id,):
                frames[receiver].append(framed)
        return frames, True

    async def _deliver(self, frames: Mapping[str, list[bytes]]) -> None:
        if self._faults.is_on(Fault.SILENT_SOCKET):
            return
        for receiver, messages in frames.items():
            client = self._clients.get(receiver)
            if client is not None:
                await client.outlet.send(messages)


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
