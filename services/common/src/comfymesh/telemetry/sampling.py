"""Looks every few seconds at how things stand: of this process, and of whatever its service tells.

It is done by the event loop, which owns what is looked at, so that collectors never touch it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from comfymesh.telemetry import catalogue
from comfymesh.telemetry.metrics import METRICS, Metrics

Sampler = Callable[[], Awaitable[None]]
"""Looks once, and sets gauges."""

_TICK_SECONDS = 0.25
_PROC = Path("/proc/self")


async def sample(seconds: float, *samplers: Sampler, metrics: Metrics = METRICS) -> None:
    """Look every so many seconds, for ever; return at once where nobody collects."""
    while metrics.enabled:
        for look in samplers:
            await look()
        await asyncio.sleep(seconds)


async def sample_process(seconds: float, metrics: Metrics = METRICS) -> None:
    """Look at this process every so many seconds, for ever, and at how late its event loop is."""
    process = Process(metrics)
    while metrics.enabled:
        late, until = 0.0, time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            await asyncio.sleep(_TICK_SECONDS)
            late = max(late, time.monotonic() - now - _TICK_SECONDS)
        metrics.set(catalogue.LOOP_DELAY, {(): late})
        process.look()


class Process:
    """What the operating system says of this process.

    Args:
        metrics: Where it is told.
        proc: The kernel's folder of this process.
    """

    def __init__(self, metrics: Metrics, proc: Path = _PROC) -> None:
        self._metrics = metrics
        self._proc = proc
        self._began = time.monotonic()
        self._spent = (0.0, 0.0)

    def look(self) -> None:
        """Look once. What this system does not tell is left out."""
        times = os.times()
        for mode, spent, before in zip(("user", "system"), times[:2], self._spent, strict=True):
            self._metrics.add(catalogue.CPU_TIME, spent - before, mode)
        self._spent = times[:2]
        self._metrics.set(catalogue.UPTIME, {(): time.monotonic() - self._began})
        try:
            pages = int((self._proc / "statm").read_text().split()[1])
            files, threads = (sum(1 for _ in (self._proc / part).iterdir()) for part in ("fd", "task"))
        except (OSError, ValueError, IndexError):
            return
        self._metrics.set(catalogue.MEMORY, {(): float(pages * os.sysconf("SC_PAGE_SIZE"))})
        self._metrics.set(catalogue.FILES, {(): float(files)})
        self._metrics.set(catalogue.THREADS, {(): float(threads)})
