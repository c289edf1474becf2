"""A connection that is dead and stays open, as when a cable is pulled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def swallowing(target: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A way to a server that, once the event is cleared, passes nothing on and closes nothing."""
    host, _, port = target.partition(":")
    passing = asyncio.Event()
    passing.set()
    writers: list[asyncio.StreamWriter] = []
    pumps: list[asyncio.Task[None]] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if passing.is_set():
                writer.write(data)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writers.extend((writer, far_writer))
        pumps.extend(asyncio.create_task(pump(*ends)) for ends in ((reader, far_writer), (far_reader, writer)))

    way = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{way.sockets[0].getsockname()[1]}", passing
    finally:
        way.close()
        for writer in writers:
            writer.close()
        await asyncio.gather(*pumps, *(writer.wait_closed() for writer in writers), return_exceptions=True)
