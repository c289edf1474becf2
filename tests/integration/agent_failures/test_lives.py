"""Slow starts, crash loops and growing memory, at one instance with a real process."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from comfymesh.agent.care import care_of
from comfymesh.agent.comfyui.outcome import Succeeded
from comfymesh.agent.comfyui.session import ComfySession
from comfymesh.agent.condition import Condition, InstanceState
from comfymesh.agent.domain.folders import Folders
from comfymesh.agent.instance import Instance
from comfymesh.agent.leftovers import Leftovers
from comfymesh.agent.runtimes.factory import build
from comfymesh.agent.runtimes.specs import ProcessSpec
from comfymesh.agent.settings import AgentSettings
from comfymesh.agent.workplace import Files, Workplace
from comfymesh.artifacts.bus_store import BusStore
from comfymesh.bus.tasklog import TaskLog
from comfymesh.testkit import graphs
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.waiting import until

PROMPT = "11111111-1111-4111-8111-{:012d}"


class Host:
    """An instance that is kept alive."""

    def __init__(self, directory: Path, faults: str, **settings: object) -> None:
        command = (sys.executable, "-m", "comfymesh.emulator", "--fault", faults)
        spec = ProcessSpec(name="x", command=command, recycle_memory_bytes=200 * 2**20)
        bus = MemoryBus()
        runtime = build(spec, node="a", state_directory=directory)
        self.told: list[Condition] = []

        def open_workplace(url: str) -> Workplace:
            session, log = ComfySession(url), TaskLog(bus)
            return Workplace(
                session,
                log,
                Files(BusStore(bus), 1000, Folders(b"x")),
                Leftovers(session, log, "a", "x"),
                runtime.log_tail,
            )

        care = care_of(spec, AgentSettings.model_validate(settings))
        self.instance = Instance("x", "process", runtime, BusStore(bus), open_workplace, self._changed, care)
        self.running = asyncio.create_task(self.instance.run())

    def _changed(self) -> None:
        self.told.append(self.instance.condition)

    async def is_(self, state: InstanceState) -> None:
        await until(lambda: self.instance.condition.state is state, f"an instance that is {state}")

    async def execute(self, number: int) -> None:
        """Have it execute a prompt."""
        assert self.instance.workplace is not None
        session = self.instance.workplace.session
        ended = await session.execute(PROMPT.format(number), graphs.picture(), observer=lambda _: None)
        assert isinstance(ended, Succeeded)

    async def close(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self.instance.close()


@pytest.fixture
async def hosts(tmp_path: Path) -> AsyncIterator[list[Host]]:
    made: list[Host] = []
    yield made
    for host in made:
        await host.instance.stop(timedelta(seconds=1))
        await host.close()


async def test_a_slow_start_is_waited_for(tmp_path: Path, hosts: list[Host]) -> None:
    host = Host(tmp_path, "slow_start=3", agent_unanswered_seconds=1, agent_grace_seconds=0.3)
    hosts.append(host)
    await host.is_(InstanceState.READY)
    assert [condition.state for condition in host.told] == [InstanceState.STARTING, InstanceState.READY]


async def test_a_crash_loop_ends_in_quarantine(tmp_path: Path, hosts: list[Host]) -> None:
    host = Host(tmp_path, "crash_at_start=0", agent_quarantine_faults=2)
    hosts.append(host)
    await host.is_(InstanceState.QUARANTINED)
    assert "it exited with 1" in host.instance.condition.reason
    assert "set aside for 300 s" in host.instance.condition.reason


async def test_memory_that_grows_ends_in_a_fresh_start(tmp_path: Path, hosts: list[Host]) -> None:
    host = Host(tmp_path, "memory_growth=150", agent_grace_seconds=0.3)
    hosts.append(host)
    await host.is_(InstanceState.READY)
    before = pid(tmp_path)
    await host.execute(1)
    await host.execute(2)
    await until(lambda: pid(tmp_path) != before, "a new process")
    await host.is_(InstanceState.READY)
    assert InstanceState.RETIRING in [condition.state for condition in host.told]
    await host.execute(3)


def pid(directory: Path) -> int:
    """The process of the instance; 0 while there is none."""
    try:
        record = json.loads((directory / "instances" / "x" / "process.json").read_text())
    except FileNotFoundError:
        return 0
    return int(record["process"]["pid"])
