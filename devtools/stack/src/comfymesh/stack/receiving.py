"""A small HTTP server of one's own, for what services send out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

_SHUTDOWN_SECONDS = 0.1
"""For a request that is never answered. aiohttp takes 0 for ever."""

Take = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def receiving(take: Take) -> AsyncIterator[int]:
    """Hand every request on a free port of loopback to `take`; answers the port."""
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", take)
    runner = web.AppRunner(application, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
