"""Where the messages of one socket leave: several at once, in one write."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from aiohttp import web

_TEXT = 0x81
_BINARY = 0x82


@dataclass(frozen=True, slots=True)
class Outlet:
    """The sending half of a socket.

    aiohttp writes each message by itself, and each write is a call of the system that wakes the reader.

    Attributes:
        socket: The socket.
        transport: What it writes to.
        drain: Waits while the other end does not read.
    """

    socket: web.WebSocketResponse
    transport: asyncio.WriteTransport
    drain: Callable[[], Awaitable[None]]

    async def send(self, frames: Iterable[bytes]) -> None:
        """Sends messages that `frame` has made, in one write; a socket that is gone is no error."""
        if not self.socket.closed and not self.transport.is_closing():
            self.transport.write(b"".join(frames))
            with contextlib.suppress(ConnectionError):
                await self.drain()


def frame(message: bytes | str) -> bytes:
    """Returns a message as a server sends it: whole and without a mask (RFC 6455, section 5.2)."""
    kind, data = (_TEXT, message.encode()) if isinstance(message, str) else (_BINARY, message)
    size = len(data)
    if size < 126:
        return bytes((kind, size)) + data
    if size < 1 << 16:
        return bytes((kind, 126)) + size.to_bytes(2, "big") + data
    return bytes((kind, 127)) + size.to_bytes(8, "big") + data
