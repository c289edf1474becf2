"""Serving an instance on a port."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import cast

from aiohttp import web

from comfymesh.emulator.application import make_application
from comfymesh.emulator.emulator import Emulator
from comfymesh.emulator.faults import Fault
from comfymesh.emulator.front import Answered, Front
from comfymesh.emulator.quick import answer
from comfymesh.emulator.settings import Settings


class Server:
    """An instance that listens.

    Args:
        settings: Settings.
        crash: Ends the whole process; None ends only this server, as its clients would see it.
    """

    def __init__(self, settings: Settings, crash: Callable[[int], None] | None = None) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._crash_with = crash or self._crash
        self._port = settings.port
        self._restarting: asyncio.Task[None] | None = None
        self._make()

    def _make(self) -> None:
        self.emulator = Emulator(self._settings, self._crash_with, self._restart)
        application = make_application(self.emulator)
        self._runner = web.AppRunner(application, access_log_class=Answered, shutdown_timeout=0.1)
        self._listener: asyncio.Server | None = None

    async def start(self) -> str:
        """Starts listening and returns the address."""
        faults = self._settings.faults
        await asyncio.sleep(faults.get(Fault.SLOW_START, 0) + faults.get(Fault.CRASH_AT_START, 0))
        if Fault.CRASH_AT_START in faults:
            self._crash_with(1)
        return await self._listen()

    async def _listen(self) -> str:
        await self._runner.setup()
        self.emulator.start()
        make, quick = cast("web.Server", self._runner.server), partial(answer, self.emulator)
        self._listener = await self._loop.create_server(
            lambda: Front(make(), quick), self._settings.listen, self._port, backlog=1024
        )
        host, self._port = self._listener.sockets[0].getsockname()[:2]
        return f"http://{host}:{self._port}"

    async def stop(self) -> None:
        """Stops listening and ends the instance."""
        if self._restarting is not None:
            self._restarting.cancel()
            await asyncio.gather(self._restarting, return_exceptions=True)
        await self._end()

    async def _end(self) -> None:
        await self.emulator.stop()
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()

    def _restart(self, seconds: float) -> None:
        """What a supervisor does with a process that has died: nothing of what it held in memory comes back."""
        self._crash(1)
        self._restarting = asyncio.create_task(self._come_back(seconds))

    async def _come_back(self, seconds: float) -> None:
        await self._end()
        await asyncio.sleep(seconds)
        self._make()
        await self._listen()

    def _crash(self, _status: int) -> None:
        self.emulator.instance.stopping.set()
        self.emulator.queue.close()
        self._loop.call_soon_threadsafe(self._vanish)

    def _vanish(self) -> None:
        """Cuts every connection without a word and refuses new ones."""
        server = self._runner.server
        if self._listener is not None and server is not None:
            self._listener.close()
            for connection in list(server.connections):
                if connection.transport is not None:
                    connection.transport.abort()


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[str]:
    """Serves an instance inside this process, on a free port, and yields its base URL.

    Faults that end the process end only this server here, as its clients would see it.
    """
    server = Server(replace(settings, port=0))
    try:
        yield await server.start()
    finally:
        await server.stop()


async def serve_until(settings: Settings, stop: asyncio.Event, announce: Callable[[str], None]) -> None:
    """Serves an instance as this process, until an event is set.

    Args:
        settings: Settings.
        stop: Ends the service.
        announce: Told the address once the port is open.
    """
    server = Server(settings, os._exit)
    try:
        announce(await server.start())
        await stop.wait()
    finally:
        await server.stop()
        server.emulator.folders.wipe_temp()
