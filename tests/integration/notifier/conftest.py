"""A notifier in a process of its own, on a real NATS server, with receivers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.tasklog import TaskLog
from comfymesh.stack.mesh import module
from comfymesh.tasks.events import Event
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import TaskRecord
from comfymesh.testkit.nats import NatsServer
from comfymesh.testkit.receivers import Receiver, receiver
from comfymesh.testkit.tasks import after, assigned, failed, queued
from comfymesh.testkit.waiting import until
from comfymesh.wire.v1.spec_pb2 import Spec

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class NotifierProcess:
    """A notifier that a test starts, kills and starts again."""

    def __init__(self, directory: Path, nats_url: str) -> None:
        self.directory = directory
        self.rules = directory / "rules.yaml"
        self.log = directory / "notifier.log"
        self.alert_log = directory / "alerts" / "alerts.jsonl"
        self.environment = {
            "COMFYMESH_NATS_URL": nats_url,
            "COMFYMESH_NOTIFIER_RULES": str(self.rules),
            "COMFYMESH_NOTIFIER_LOG": str(self.alert_log),
            "COMFYMESH_EGRESS_ALLOW": "127.0.0.0/8",
            "COMFYMESH_NOTIFIER_WEBHOOK_SECRETS": SECRET,
        }
        self._process: asyncio.subprocess.Process | None = None

    def rule(self, *rules: dict[str, Any], channels: dict[str, str]) -> None:
        """Write the rules file. `channels` are addresses by name."""
        content = {
            "version": 1,
            "channels": [{"name": name, "url": url} for name, url in channels.items()],
            "rules": list(rules),
        }
        self.rules.write_text(yaml.safe_dump(content))

    async def start(self) -> None:
        """Start it; answers once it has begun to listen."""
        before = self.output().count("listening to the mesh")
        self._process = await self._run()
        await until(lambda: self.output().count("listening to the mesh") > before, "a notifier that listens")

    async def runs_to_its_end(self) -> int:
        """Start it where it can't begin; answers its exit code."""
        async with asyncio.timeout(30):
            return await (await self._run()).wait()

    async def _run(self) -> asyncio.subprocess.Process:
        with self.log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *module("comfymesh.notifier.main"),
                stdout=output,
                stderr=output,
                env={**os.environ, **self.environment},
            )

    async def kill(self) -> None:
        """Kill it with SIGKILL."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):  # It may have ended by itself.
                self._process.kill()
            await self._process.wait()
            self._process = None

    async def stop(self) -> int:
        """Ask it to end; answers its exit code."""
        assert self._process is not None
        self._process.terminate()
        async with asyncio.timeout(30):
            code = await self._process.wait()
        self._process = None
        return code

    def output(self) -> str:
        """What it wrote."""
        return self.log.read_text() if self.log.exists() else ""


class Tasks:
    """Writes tasks into the log, as api and agent would."""

    def __init__(self, bus: JetStreamBus) -> None:
        self._log = TaskLog(bus)

    async def happen(self, task_id: str, *events: Event, **definition: Any) -> TaskRecord:
        """Create a task and let something happen to it."""
        record = queued(task_id, **definition)
        stored = await self._log.create(record, Spec())
        for event in events:
            stored = await self._log.append(after(stored.record, event), stored.sequence)
        return stored.record

    async def fail(self, task_id: str, message: str = "it broke", **definition: Any) -> TaskRecord:
        """Create a task that fails."""
        return await self.happen(task_id, assigned(), failed(FailureClass.NODE_EXCEPTION, message), **definition)


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with NatsServer(tmp_path) as server:
        yield server


@pytest.fixture
async def bus(nats: NatsServer) -> AsyncIterator[JetStreamBus]:
    async with await JetStreamBus.open(nats.url, "test") as opened:
        yield opened


@pytest.fixture
def tasks(bus: JetStreamBus) -> Tasks:
    return Tasks(bus)


@pytest.fixture
async def ops() -> AsyncIterator[Receiver]:
    async with receiver() as running:
        yield running


@pytest.fixture
async def notifier(tmp_path: Path, nats: NatsServer) -> AsyncIterator[NotifierProcess]:
    process = NotifierProcess(tmp_path, nats.url)
    yield process
    await process.kill()
