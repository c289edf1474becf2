"""An agent's start: what it waits for, and what it lets go of wherever the start comes to its end."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from comfymesh.agent import main, sources
from comfymesh.agent.services import Services
from comfymesh.agent.settings import AgentSettings
from comfymesh.bus import subjects
from comfymesh.bus.port import BusUnavailableError, Entry, Message
from comfymesh.bus.streams import INTENTS, Stream
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.waiting import until
from comfymesh.v1.node_pb2 import Node
from comfymesh.wire.v1 import node_intent_pb2
from comfymesh.wire.v1.node_report_pb2 import NodeReport

if TYPE_CHECKING:
    from pathlib import Path

    from comfymesh.bus.port import Handler


class Deaf(MemoryBus):
    """Takes the first two subscriptions of an agent."""

    async def subscribe(self, subject: str, handler: Handler) -> Any:
        if subject == subjects.demand("a"):
            raise BusUnavailableError("it is away")
        return await super().subscribe(subject, handler)


async def _opened(bus: MemoryBus, _: AgentSettings) -> AbstractAsyncContextManager[MemoryBus]:
    return nullcontext(bus)


class LateIntents(MemoryBus):
    """Answers what is wanted of nodes once `come` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.come = asyncio.Event()

    async def last(self, stream: Stream, subject: str) -> Message | None:
        if stream is INTENTS:
            await self.come.wait()
        return await super().last(stream, subject)


async def test_a_node_is_not_open_before_it_has_read_what_is_wanted_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bus, stop, shown = LateIntents(), asyncio.Event(), list[int]()

    def see(message: Message) -> None:
        shown.append(NodeReport.FromString(message.data).node.availability)

    wanted = node_intent_pb2.NodeIntent(availability=Node.AVAILABILITY_CORDONED)
    await bus.append([Entry(subjects.intent("a"), wanted.SerializeToString())])
    await bus.subscribe(subjects.report("a"), see)
    monkeypatch.setattr(sources, "open_bus", partial(_opened, bus))
    serving = asyncio.create_task(main.serve(AgentSettings(agent_node="a", agent_state_directory=tmp_path), stop))
    await until(lambda: shown)
    bus.come.set()
    await until(lambda: Node.AVAILABILITY_CORDONED in shown)
    stop.set()
    await serving
    assert Node.AVAILABILITY_OPEN not in shown


async def test_an_agent_that_can_not_listen_lets_go_of_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bus, closed = Deaf(), asyncio.Event()

    async def close(services: Services) -> None:
        closed.set()
        await closing(services)

    closing = Services.close
    monkeypatch.setattr(Services, "close", close)
    monkeypatch.setattr(sources, "open_bus", partial(_opened, bus))
    with pytest.raises(BusUnavailableError):
        await main.serve(AgentSettings(agent_node="a", agent_state_directory=tmp_path), asyncio.Event())
    assert closed.is_set()
    assert not bus._listeners
