"""Groups on a bus in memory."""

from __future__ import annotations

import asyncio

from comfymesh.api.following import Following
from comfymesh.api.groups import Groups
from comfymesh.api.hub import Hub
from comfymesh.api.readmodel import ReadModel
from comfymesh.bus import subjects
from comfymesh.bus.port import Entry
from comfymesh.bus.tasklog import TaskLog
from comfymesh.tasks import codec
from comfymesh.tasks.record import State
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import after, assigned, failed, queued
from comfymesh.v1 import task_pb2
from comfymesh.wire.v1 import spec_pb2


async def test_a_record_of_a_later_version_does_not_keep_the_others_of_its_group_from_being_cancelled() -> None:
    bus = MemoryBus()
    log, model = TaskLog(bus), ReadModel()
    hub = Hub(model)
    hearing = asyncio.ensure_future(hub.follow(log.events()))
    for task_id in ("one", "two"):
        await log.create(queued(task_id, group="g"), spec_pb2.Spec())
    later = codec.to_message(after(queued("later", group="g", max_retries=1), assigned(), failed()))
    assert later.task.state == task_pb2.Task.STATE_QUEUED
    later.failures[0].reason = 9999  # type: ignore[assignment]  # what a later version may write
    await bus.append([Entry(subjects.task(queued("later").key), later.SerializeToString())])
    try:
        assert await Groups(Following(hub, log, model, 5.0), log, bus).cancel("default", "groups/g", "enough") == 2
    finally:
        hearing.cancel()
        model.close()
    for task_id in ("one", "two"):
        stored = await log.get(queued(task_id).key)
        assert stored is not None
        assert stored.record.state is State.CANCELLED
