"""The ledger in tests: a keeper that is run for as long as there is something to take in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from comfymesh.bus import usage as ledger
from comfymesh.bus.port import Bus
from comfymesh.bus.streams import TASKS
from comfymesh.notifier.ledger import LedgerKeeper
from comfymesh.tasks.ledger import Sum
from comfymesh.testkit.waiting import until


async def keep(bus: Bus, clock: Callable[[], float], keepers: int = 1) -> None:
    """Let keepers run until everything that the log has is in the ledger, and stop them."""
    running = [asyncio.ensure_future(LedgerKeeper(bus, clock, interval=0.0).keep()) for _ in range(keepers)]
    try:
        await until(lambda: _is_complete(bus), "the ledger")
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _is_complete(bus: Bus) -> bool:
    position, _ = await ledger.position_of(bus)
    return position is not None and position.sequence >= (await bus.state(TASKS)).last


async def kept(bus: Bus, tenant: str = "*") -> Sum:
    """Everything that a tenant has used."""
    total = Sum()
    async for day in ledger.by_day(bus, tenant, FIRST, LAST):
        for each in (each for told in day for each in told.sums.sums.values()):
            total.add(each)
    return total


FIRST = 1_700_000_000 // 3600 * 3600
"""The hour of `testkit.tasks.NOW`."""
LAST = FIRST + 30 * 86400
