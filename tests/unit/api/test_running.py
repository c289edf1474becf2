"""What RunTask leaves behind."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import closing
from unittest.mock import AsyncMock, Mock

from comfymesh.api.artifacts import Artifacts
from comfymesh.api.creation import Creation, NewTask
from comfymesh.api.fleet import FleetView
from comfymesh.api.following import Following
from comfymesh.api.hub import Hub
from comfymesh.api.insight import Insight
from comfymesh.api.readmodel import ReadModel
from comfymesh.api.submitting import Submitting
from comfymesh.api.task_service import TaskService
from comfymesh.api.watch import Item, Mailbox
from comfymesh.api.watching import Heartbeat, Watching
from comfymesh.bus.tasklog import TaskLog
from comfymesh.tasks.record import Key
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import queued
from comfymesh.v1 import task_service_pb2
from comfymesh.wire.v1 import spec_pb2


class Attended(Watching):
    """Knows who is watching."""

    present = 0

    async def follow(
        self, mailbox: Mailbox, key: Key, *, previews: bool
    ) -> AsyncGenerator[tuple[int, Item | Heartbeat], None]:
        self.present += 1
        try:
            async for item in super().follow(mailbox, key, previews=previews):
                yield item
        finally:
            self.present -= 1


async def test_a_caller_who_goes_away_is_followed_no_longer() -> None:
    bus = MemoryBus()
    log = TaskLog(bus)
    creation = Mock(spec=Creation, prepare=AsyncMock(return_value=NewTask(queued(), spec_pb2.Spec())))
    with closing(ReadModel()) as model:
        hub = Hub(model)
        insight = Insight(bus, lambda: 0.0)
        watching = Attended(hub, log, bus, model, insight, 5.0)
        service = TaskService(
            log,
            Submitting(creation, log),
            watching,
            Following(hub, log, model, 5.0),
            Mock(spec=Artifacts),
            Mock(spec=FleetView),
            insight,
        )
        answers = service.RunTask(task_service_pb2.RunTaskRequest(), Mock())
        assert (await anext(answers)).task.name == "tasks/one"
        assert watching.present == 1
        await answers.aclose()
        assert watching.present == 0
