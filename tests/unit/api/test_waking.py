"""Waiting for news or for a moment, on the event loop that the services run on."""

from __future__ import annotations

import asyncio

import uvloop

from comfymesh.api.waking import Wake


def test_a_timer_that_is_due_and_has_not_rung_does_not_break_the_next_wait() -> None:
    async def wait() -> None:
        wake = Wake()
        for _ in range(2):
            waiting = wake.wait(0.0)
            waiting.send(None)
            waiting.close()
        wake.rest()

    uvloop.run(wait())


def test_news_comes_before_the_moment() -> None:
    async def wait() -> None:
        wake = Wake()
        waiting = asyncio.ensure_future(wake.wait(60.0))
        await asyncio.sleep(0)
        wake.set()
        await waiting
        wake.rest()

    uvloop.run(wait())
