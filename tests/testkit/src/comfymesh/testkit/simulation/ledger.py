"""What of the notifier the simulation has: who keeps the ledger, and what has become of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from comfymesh.bus import usage
from comfymesh.bus.port import Bus
from comfymesh.bus.streams import TASKS
from comfymesh.notifier.ledger import LedgerKeeper
from comfymesh.runtime import service
from comfymesh.runtime.background import Background
from comfymesh.tasks.ledger import Sum
from comfymesh.testkit.simulation.bus import SimulatedServer

_INTERVAL = 1.0
_PATIENCE_SECONDS = 60.0


async def serve(open_bus: Callable[[], Coroutine[Any, Any, Bus]], stop: asyncio.Event) -> None:
    """Keep the ledger until `stop` is set."""
    bus = await service.unless_stopped(stop, open_bus())
    async with Background() as background:
        background.spawn(LedgerKeeper(bus, time.time, _INTERVAL).keep(), "ledger")
        await service.until(stop, background.failed)


async def total(server: SimulatedServer) -> Sum:
    """Everything in the ledger, once it has taken in the whole log."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not await _is_complete(server):  # noqa: ASYNC110  # time is virtual: looking again costs nothing
            await asyncio.sleep(_INTERVAL)
    found = Sum()
    for message in server.stored("usage.>"):
        for each in usage.decode(message.data).sums.values():
            found.add(each)
    return found


async def _is_complete(server: SimulatedServer) -> bool:
    position, _ = await usage.position_of(server)
    return position is not None and position.sequence >= (await server.state(TASKS)).last
