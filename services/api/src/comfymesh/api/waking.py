"""Waits for news, or for the time to look at the clock."""

from __future__ import annotations

import asyncio


async def woken(wake: asyncio.Event, timeout: float) -> None:
    """Wait until `wake` is set; it is set after `timeout` seconds at the latest.

    asyncio's own time-outs are dearer, and every watcher passes here for everything that it is told.
    """
    if wake.is_set():
        return
    timer = asyncio.get_running_loop().call_later(timeout, wake.set)
    try:
        await wake.wait()
    finally:
        timer.cancel()
