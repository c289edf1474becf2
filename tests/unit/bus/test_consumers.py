"""Waiting for the next delivery of a consumer."""

from __future__ import annotations

import asyncio

from comfymesh.bus.client import Delivery
from comfymesh.bus.consumers import _next

DELIVERY = Delivery("a", "", b"")
LONG = 3600.0


async def test_what_is_there_is_taken_though_the_server_is_silent_by_now() -> None:
    queue: asyncio.Queue[Delivery | None] = asyncio.Queue()
    queue.put_nowait(DELIVERY)
    assert await _next(queue, 0.0) is DELIVERY
    assert queue.empty()


async def test_what_comes_is_taken_and_silence_is_not_told_later() -> None:
    queue: asyncio.Queue[Delivery | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.call_soon(queue.put_nowait, DELIVERY)
    assert await _next(queue, LONG) is DELIVERY
    assert queue.empty()


async def test_silence_is_none() -> None:
    queue: asyncio.Queue[Delivery | None] = asyncio.Queue()
    assert await _next(queue, 0.0) is None
    assert queue.empty()
