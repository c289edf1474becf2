"""What RunTask tells in which messages, and what it leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from unittest.mock import AsyncMock, Mock

import pytest

from comfymesh.api import watching
from comfymesh.api.access.caller import acting
from comfymesh.api.access.directory import Directory
from comfymesh.api.access.quotas import Quotas
from comfymesh.api.access.stored import StoredAssets
from comfymesh.api.artifacts import Artifacts
from comfymesh.api.creation import Creation, NewTask
from comfymesh.api.fleet import FleetView
from comfymesh.api.following import Following
from comfymesh.api.hub import Hub
from comfymesh.api.insight import Insight
from comfymesh.api.readmodel import ReadModel
from comfymesh.api.submitting import Submitting
from comfymesh.api.task_service import TaskService
from comfymesh.api.watch import Mailbox
from comfymesh.api.watching import Told, Watching
from comfymesh.api.workflows.shelf import Shelf
from comfymesh.bus.tasklog import TaskLog
from comfymesh.tasks.events import Event, Started, Succeeded
from comfymesh.tasks.record import Key
from comfymesh.testkit.callers import ANYBODY
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import NOW, assigned, queued
from comfymesh.v1 import task_pb2, task_service_pb2
from comfymesh.wire.v1 import spec_pb2


class Attended(Watching):
    """Knows who is watching."""

    present = 0

    async def follow(
        self, mailbox: Mailbox, key: Key, *, previews: bool, together: bool = False
    ) -> AsyncGenerator[tuple[int, Told], None]:
        self.present += 1
        try:
            async for item in super().follow(mailbox, key, previews=previews, together=together):
                yield item
        finally:
            self.present -= 1


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes wait for others for ever, but for those that nothing follows at once."""
    monkeypatch.setattr(watching, "_TOGETHER_SECONDS", 3600.0)


@dataclass
class Running:
    """A RunTask call, and the log that it follows."""

    log: TaskLog
    attended: Attended
    answers: AsyncGenerator[task_service_pb2.RunTaskResponse, None]

    async def happen(self, *events: Event) -> None:
        """Something happens to the task."""
        for event in events:
            stored = await self.log.get(Key("default", "one"))
            assert stored is not None
            await self.log.change(stored, event, NOW)

    async def stored(self) -> None:
        """Wait until the task is in the log."""
        while await self.log.get(Key("default", "one")) is None:  # noqa: ASYNC110  # it is in memory, and soon
            await asyncio.sleep(0)

    async def told(self) -> list[str]:
        """The states in the next message."""
        message = await anext(self.answers)
        tasks = (*message.passed, message.task)
        return [task_pb2.Task.State.Name(task.state).removeprefix("STATE_") for task in tasks]


@asynccontextmanager
async def running() -> AsyncIterator[Running]:
    bus = MemoryBus()
    log = TaskLog(bus)
    new, sealed = NewTask(queued(), b"{}", spec_pb2.Spec()), (queued(), spec_pb2.Spec())
    creation = Mock(spec=Creation, prepare=AsyncMock(return_value=new), seal=AsyncMock(return_value=sealed))
    model = ReadModel()
    hub = Hub(model)
    following = asyncio.create_task(hub.follow(log.events()))
    clock = ManualClock()
    quotas = Quotas(Directory(bus, clock), model, hub, StoredAssets(bus, clock), Shelf(bus), clock)
    insight = Insight(bus, lambda: 0.0)
    attended = Attended(hub, log, bus, model, insight, 5.0)
    parts = (Submitting(creation, log, quotas), attended, Following(hub, log, model, 5.0), Mock(spec=Artifacts))
    service = TaskService(log, *parts, Mock(spec=FleetView), insight)
    with acting(ANYBODY):
        async with aclosing(service.RunTask(task_service_pb2.RunTaskRequest(), Mock())) as answers:
            yield Running(log, attended, answers)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    model.close()


async def test_a_caller_who_goes_away_is_followed_no_longer() -> None:
    async with running() as call:
        assert (await anext(call.answers)).task.name == "tasks/one"
        assert call.attended.present == 1
        await call.answers.aclose()
        assert call.attended.present == 0


async def test_a_task_that_waits_is_told_as_such() -> None:
    async with running() as call:
        assert await call.told() == ["QUEUED"]
        await call.happen(assigned())
        assert await call.told() == ["ASSIGNED"]


@pytest.mark.usefixtures("patience")
async def test_a_short_task_is_told_in_one_message() -> None:
    async with running() as call:
        first = asyncio.create_task(call.told())
        await call.stored()
        await call.happen(assigned(), Succeeded(()))
        assert await first == ["QUEUED", "ASSIGNED", "SUCCEEDED"]
        assert [message async for message in call.answers] == []


@pytest.mark.usefixtures("patience")
async def test_an_attempt_that_runs_is_told_at_once() -> None:
    async with running() as call:
        first = asyncio.create_task(call.told())
        await call.stored()
        await call.happen(assigned(), Started())
        assert await first == ["QUEUED", "ASSIGNED", "RUNNING"]
