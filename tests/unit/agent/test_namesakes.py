"""Two agents under one node name: the one that came later ends, and no other."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from comfymesh.agent.namesakes import Namesakes
from comfymesh.bus import subjects
from comfymesh.bus.port import BusUnavailableError
from comfymesh.runtime.background import Background
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.wire.v1 import node_namesake_pb2


class Agent:
    """Says hello for as long as it is there."""

    def __init__(self, bus: MemoryBus, node: str = "a") -> None:
        self.background = Background()
        namesakes = Namesakes(bus, node, self.background.failed)
        self.background.spawn(namesakes.run(self.background), "namesakes")

    @property
    def ends(self) -> bool:
        return self.background.failed.is_set()


@pytest.fixture
async def bus(clock: SimpleNamespace) -> MemoryBus:
    return MemoryBus()


async def test_the_one_that_comes_later_ends(bus: MemoryBus, caplog: pytest.LogCaptureFixture) -> None:
    first = Agent(bus)
    await asyncio.sleep(100)
    second = Agent(bus)
    await asyncio.sleep(1)
    assert (first.ends, second.ends) == (False, True)
    assert "is node a already, and this one ends; set another COMFYMESH_AGENT_NODE" in caplog.text
    for agent in (first, second):
        await agent.background.close()


async def test_two_that_come_at_once_leave_one(bus: MemoryBus) -> None:
    agents = [Agent(bus), Agent(bus)]
    await asyncio.sleep(30)
    assert sorted(agent.ends for agent in agents) == [False, True]
    for agent in agents:
        await agent.background.close()


async def test_those_that_were_cut_off_from_each_other_find_out_later(
    bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut(*_: object) -> None:
        raise BusUnavailableError("cut off")

    first = Agent(bus)
    await asyncio.sleep(5)
    with monkeypatch.context() as patches:
        patches.setattr(bus, "publish", cut)
        second = Agent(bus)
        await asyncio.sleep(60)
        assert not second.ends
    await asyncio.sleep(11)
    assert (first.ends, second.ends) == (False, True)
    for agent in (first, second):
        await agent.background.close()


async def test_what_an_earlier_life_said_ends_nobody(bus: MemoryBus) -> None:
    agent = Agent(bus)
    await asyncio.sleep(1)
    for to in ("", "somebody else"):
        old = node_namesake_pb2.NodeNamesake(life="before", to=to, age_seconds=1e6)
        await bus.publish(subjects.namesake("a"), old.SerializeToString())
    await bus.publish(subjects.namesake("a"), b"\xff")
    other = Agent(bus, "b")
    await asyncio.sleep(30)
    assert (agent.ends, other.ends) == (False, False)
    for each in (agent, other):
        await each.background.close()
