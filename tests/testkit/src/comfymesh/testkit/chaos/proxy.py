"""A line between two processes that can be cut, slowed down, or left dead without anybody being told."""

from __future__ import annotations

import asyncio
import contextlib
from enum import Enum
from types import TracebackType
from typing import Self

from comfymesh.stack.mesh import free_port

_PIECE = 64 * 1024


class Line(Enum):
    """How a line is: as it should be, refusing and breaking every connection, or open and dead."""

    WELL = "well"
    CUT = "cut"
    DEAD = "dead"


class Proxy:
    """Passes TCP connections on to a port of this machine.

    Args:
        target: The port.

    Attributes:
        port: Where it listens.
        delay: Seconds that every piece is held back.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.delay = 0.0
        self._target = target
        self._alive = asyncio.Event()
        self._alive.set()
        self._line = Line.WELL
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._break()
        await self._server.wait_closed()

    async def become(self, line: Line) -> None:
        """From now on the line is so."""
        self._line = line
        if line is Line.DEAD:
            self._alive.clear()
        else:
            self._alive.set()
        if line is Line.CUT:
            await self._break()

    async def _break(self) -> None:
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._pass_on(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        # Even one that was broken before it began.
        connection.add_done_callback(lambda _: writer.transport.abort())

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._line is Line.CUT:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        ways = [asyncio.create_task(self._pump(reader, back)), asyncio.create_task(self._pump(there, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Before anything is waited for: whoever breaks the line twice interrupts that.
            back.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._alive.wait()
                writer.write(piece)
                await writer.drain()
