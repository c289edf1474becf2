"""What a bus does by itself when its connection comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

from comfymesh.bus.connection import Connection
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.port import BusUnavailableError


class Waiting(JetStreamBus):
    """Its server is connected to, and never ready."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.asked = asyncio.Queue[None]()

    async def ensure_streams(self) -> None:
        self.asked.put_nowait(None)
        raise BusUnavailableError("it is not ready")


async def test_a_bus_that_is_closed_leaves_nothing_behind_however_often_its_connection_was_lost() -> None:
    reconnected = list[Callable[[], None]]()

    def on_reconnect(callback: Callable[[], None]) -> Callable[[], None]:
        reconnected.append(callback)
        return reconnected.clear

    connection = Mock(spec=Connection, on_reconnect=on_reconnect)
    bus = Waiting(connection, plan=())
    before = asyncio.all_tasks()
    for _ in range(3):
        reconnected[0]()
        await asyncio.wait_for(bus.asked.get(), 40)
    await bus.close()
    assert asyncio.all_tasks() == before
