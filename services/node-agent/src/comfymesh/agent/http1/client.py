"""Asks one server, over a few connections that are kept open."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

import aiohappyeyeballs

from comfymesh.agent.http1.address import Address
from comfymesh.agent.http1.connection import Connection, Patience
from comfymesh.agent.http1.errors import BrokenError, ConnectError

if TYPE_CHECKING:
    from comfymesh.agent.http1.request import Request

_MOST_KEPT = 8
_NEXT_ADDRESS_S = 0.25


class HttpClient:
    """One server. As many requests at a time as there are callers: none waits for another.

    A GET on a connection that ends without a word of an answer is sent once more, on a new one. Nothing else ever is.

    Args:
        url: The server, with a path in front of all routes if there is one.
        connect_seconds: How long a connection may take to open.
        idle_seconds: How long a connection is good for another request. Below what the server allows, so that no
            request goes out on one that is just being closed.

    Raises:
        ValueError: The URL is none of HTTP.
    """

    def __init__(self, url: str, *, connect_seconds: float, idle_seconds: float) -> None:
        self._address = Address.of(url)
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._loop = asyncio.get_running_loop()
        self._kept: list[Connection] = []
        self._open: set[Connection] = set()
        self._none_open = asyncio.Event()
        self._closed = False
        self._tls: ssl.SSLContext | None = None

    async def close(self) -> None:
        """Close all connections. Requests that are on their way fail."""
        self._closed = True
        for connection in tuple(self._open):
            connection.abort()
        while self._open:
            self._none_open.clear()
            await self._none_open.wait()

    def within(self, seconds: float) -> Patience:
        """That all has to be over in so many seconds from now."""
        return Patience(end=self._loop.time() + seconds)

    async def ask(self, request: Request, patience: Patience) -> Connection:
        """Send a request, and wait for the head of its answer. Its body can be read then; `leave` has to follow.

        Raises:
            ConnectError: No connection came about.
            BrokenError: The connection ended before the answer did.
            TimeoutError: It took too long.
        """
        connection = self._idle() or await self._connect(patience)
        try:
            await connection.ask(request.pieces(self._address), patience)
        except BrokenError:
            if connection.answered or not request.repeatable:
                raise
        except BaseException:
            connection.abort()
            raise
        else:
            return connection
        return await self._repeat(request, patience)

    def leave(self, connection: Connection) -> None:
        """The answer is done with, whether it was read to its end or not."""
        if connection.leave():
            self._kept.append(connection)
        if len(self._kept) > _MOST_KEPT:
            self._kept.pop(0).abort()

    async def _repeat(self, request: Request, patience: Patience) -> Connection:
        connection = await self._connect(patience)
        try:
            await connection.ask(request.pieces(self._address), patience)
        except BaseException:
            connection.abort()
            raise
        return connection

    def _idle(self) -> Connection | None:
        """The connection that was used last, if one is still good."""
        while self._kept:
            connection = self._kept.pop()
            if connection.open and self._loop.time() - connection.since < self._idle_seconds:
                return connection
            connection.abort()
        return None

    async def _connect(self, patience: Patience) -> Connection:
        until = min(patience.end, self._loop.time() + self._connect_seconds)
        try:
            async with asyncio.timeout_at(until):
                connection = await self._connected()
        except (OSError, UnicodeError) as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                raise TimeoutError("no connection in time") from None
            raise ConnectError(f"{type(error).__name__} {error}") from error
        if self._closed:
            connection.abort()
        if connection.open:
            self._open.add(connection)
        return connection

    async def _connected(self) -> Connection:
        host, tls = self._address.host, self._tls_context()
        found = await self._loop.getaddrinfo(host, self._address.port, type=socket.SOCK_STREAM)
        plain = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS_S, interleave=1)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await self._loop.create_connection(
                lambda: Connection(self._loop, self._lost), sock=plain, ssl=tls, server_hostname=host if tls else None
            )
        except BaseException:
            plain.close()
            raise
        return connection

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if not self._open:
            self._none_open.set()

    def _tls_context(self) -> ssl.SSLContext | None:
        if self._address.tls and self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls
