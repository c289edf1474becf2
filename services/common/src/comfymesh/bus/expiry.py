"""Waiting no longer than so long, for what every request passes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any


def expire(futures: Iterable[asyncio.Future[Any]], seconds: float) -> asyncio.TimerHandle:
    """Have those that are not done by then fail with TimeoutError. Whoever has waited cancels the timer.

    It does what `asyncio.timeout` does around an await, for half of the CPU (benchmarks/history.md).
    """
    return asyncio.get_running_loop().call_later(seconds, _expire, futures)


def _expire(futures: Iterable[asyncio.Future[Any]]) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(TimeoutError())
