"""Groups on a bus in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from unittest.mock import Mock

import pytest

from comfymesh.api import group_service
from comfymesh.api.access.caller import DEFAULT_TENANT, Caller, acting
from comfymesh.api.bookmark import Bookmark
from comfymesh.api.following import Following, Message
from comfymesh.api.group_service import GroupService
from comfymesh.api.groups import Groups
from comfymesh.api.hub import Hub
from comfymesh.api.readmodel import ReadModel
from comfymesh.api.watching import Heartbeat
from comfymesh.bus import subjects
from comfymesh.bus.port import Entry
from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.tasks import codec
from comfymesh.tasks.record import State
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import after, assigned, failed, queued
from comfymesh.v1 import group_service_pb2, task_pb2
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


async def once(stored: Stored) -> AsyncIterator[Stored]:
    yield stored


async def test_a_group_is_told_to_have_ended_though_a_watcher_heard_of_the_last_end_before_this_replica(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever comes is told from the log what this replica has yet to count."""
    monkeypatch.setattr(group_service, "_LOOK_SECONDS", 0.0)
    bus, model = MemoryBus(), ReadModel()
    hub, waiting = Hub(model), queued("one", group="g")
    following = Following(hub, TaskLog(bus), model, 5.0)
    begun, ended = (
        Stored(record.key, sequence, codec.encode(record))
        for sequence, record in ((1, waiting), (2, after(waiting, assigned(), failed())))
    )

    async def watch(*_: object, **__: object) -> AsyncIterator[Message]:
        yield [(Bookmark(2), ended)]
        await hub.follow(once(ended))
        yield [(Bookmark(2), Heartbeat())]

    await hub.follow(once(begun))
    service = GroupService(Groups(following, TaskLog(bus), bus), Mock(spec=Following, watch=watch, heartbeat=5.0))
    request = group_service_pb2.WatchGroupRequest(name="groups/g", task_count=1)
    with acting(Caller(DEFAULT_TENANT, "anonymous", frozenset())):
        told = [message async for message in service.WatchGroup(request, Mock())]
    model.close()
    assert group_service_pb2.WatchGroupResponse.FromString(told[-1]).group.failed_count == 1
