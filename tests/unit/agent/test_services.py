"""What an agent has opened is let go of, wherever its start comes to its end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from comfymesh.agent import main, sources
from comfymesh.agent.services import Services
from comfymesh.agent.settings import AgentSettings
from comfymesh.bus import subjects
from comfymesh.bus.port import BusUnavailableError
from comfymesh.testkit.memory_bus import MemoryBus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from comfymesh.bus.port import Handler


class Deaf(MemoryBus):
    """Takes the first two subscriptions of an agent."""

    async def subscribe(self, subject: str, handler: Handler) -> Any:
        if subject == subjects.demand("a"):
            raise BusUnavailableError("it is away")
        return await super().subscribe(subject, handler)


async def test_an_agent_that_can_not_listen_lets_go_of_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bus, closed = Deaf(), asyncio.Event()

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Deaf]:
        yield bus

    async def open_bus(_: AgentSettings) -> object:
        return opened()

    async def close(services: Services) -> None:
        closed.set()
        await closing(services)

    closing = Services.close
    monkeypatch.setattr(Services, "close", close)
    monkeypatch.setattr(sources, "open_bus", open_bus)
    with pytest.raises(BusUnavailableError):
        await main.serve(AgentSettings(agent_node="a", agent_state_directory=tmp_path), asyncio.Event())
    assert closed.is_set()
    assert not bus._listeners
