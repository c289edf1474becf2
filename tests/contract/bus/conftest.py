"""The buses that keep the contract: the one on JetStream with a real server, and the one in memory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import pytest

from comfymesh.bus import monitor
from comfymesh.bus.connection import Connection
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.port import Bus
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.nats import NatsServer
from comfymesh.testkit.waiting import DEADLINE, until


class World(Protocol):
    """A bus, a second user of it, and what happens to its server."""

    bus: Bus
    other: Bus

    async def restart(self) -> None:
        """Kill the server and start it again; answers once it can be used."""

    async def down(self) -> None:
        """Kill the server."""

    def let_pass(self, seconds: float) -> None:
        """Let time pass."""


class MemoryWorld:
    """Both users share one object."""

    def __init__(self) -> None:
        self._clock = ManualClock()
        self.bus = self.other = MemoryBus(self._clock)

    async def restart(self) -> None:
        self.bus.restart()

    async def down(self) -> None:
        self.bus.unreachable = True

    def let_pass(self, seconds: float) -> None:
        self._clock.advance(seconds)


class JetStreamWorld:
    """Both users have connections of their own."""

    def __init__(self, server: NatsServer, bus: JetStreamBus, other: JetStreamBus) -> None:
        self.server = server
        self.bus = bus
        self.other = other

    async def restart(self) -> None:
        await self.server.restart()
        await until(lambda: self.bus.connected and self.other.connected, "a connection to the new server")

    async def down(self) -> None:
        await self.server.kill()
        await until(lambda: not self.bus.connected and not self.other.connected, "the loss of the connections")

    def let_pass(self, seconds: float) -> None:
        time.sleep(seconds)


@pytest.fixture(autouse=True)
def patient_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stands still is asked for as long as only a defect takes."""
    monkeypatch.setattr(monitor, "_TIMEOUT", DEADLINE)


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with NatsServer(tmp_path) as server:
        yield server


@pytest.fixture
async def jetstream(nats: NatsServer) -> AsyncIterator[JetStreamWorld]:
    async with await patient(nats.url, "one") as bus, await patient(nats.url, "other") as other:
        yield JetStreamWorld(nats, bus, other)


async def patient(url: str, name: str) -> JetStreamBus:
    """A bus that waits for as long as only a defect takes: a server syncs each message, and disks may be slow."""
    bus = JetStreamBus(await Connection.open(url, name), timeout=DEADLINE)
    await bus.ensure_streams()
    return bus


@pytest.fixture(params=["memory", "jetstream"])
def world(request: pytest.FixtureRequest) -> World:
    made: Callable[[], World] = MemoryWorld
    return made() if request.param == "memory" else request.getfixturevalue("jetstream")
