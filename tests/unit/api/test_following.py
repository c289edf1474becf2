"""How far the read model must be before it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from comfymesh.api import following
from comfymesh.api.errors import RefusedError
from comfymesh.api.following import Following
from comfymesh.api.hub import Hub
from comfymesh.api.query import Query
from comfymesh.api.readmodel import ReadModel
from comfymesh.bus.port import CaughtUp, Entry
from comfymesh.bus.tasklog import Dropped, Stored, TaskLog
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import queued
from comfymesh.wire.v1 import spec_pb2

TASKS = 10


async def slowly(events: AsyncIterator[Stored | Dropped | CaughtUp]) -> AsyncIterator[Stored | Dropped | CaughtUp]:
    async for event in events:
        yield event
        for _ in range(20):
            await asyncio.sleep(0)


@asynccontextmanager
async def replica(log: TaskLog) -> AsyncIterator[Following]:
    """One whose hub lags."""
    model = ReadModel()
    hub = Hub(model)
    taking_in = asyncio.ensure_future(hub.follow(slowly(log.events())))
    try:
        yield Following(hub, log, model, 5.0)
    finally:
        taking_in.cancel()
        await asyncio.gather(taking_in, return_exceptions=True)
        model.close()


@pytest.mark.parametrize("bad", [0, 3], ids=["whole log", "log with messages that are none"])
async def test_it_is_current_when_it_knows_every_task_that_was_stored_before(
    monkeypatch: pytest.MonkeyPatch, bad: int
) -> None:
    monkeypatch.setattr(following, "_PAGE", 4)
    bus = MemoryBus()
    log = TaskLog(bus)
    await log.create(queued("first"), spec_pb2.Spec())
    await bus.append([Entry(f"task.default.bad{n}", b"\xff\xff") for n in range(bad)])
    for number in range(TASKS):
        last = await log.create(queued(f"t{number}"), spec_pb2.Spec())
    async with replica(log) as follower:
        assert follower.hub.position < last.sequence
        assert await follower.current("default") >= last.sequence


@pytest.mark.parametrize("told_before", [0, 4], ids=["before anything was told", "in the middle"])
async def test_a_server_that_stops_tells_nobody_that_this_is_all(
    monkeypatch: pytest.MonkeyPatch, told_before: int
) -> None:
    """Who goes on elsewhere behind "caught up" would never hear of what was left out."""
    monkeypatch.setattr(following, "_PAGE", 4)
    log = TaskLog(MemoryBus())
    for number in range(TASKS):
        await log.create(queued(f"t{number}"), spec_pb2.Spec())
    told = list[object]()

    async def watch(follower: Following) -> None:
        async for ((_, item),) in follower.watch(Query("default"), None, include_existing=True):
            told.append(item)
            if len(told) == told_before:
                follower.hub.drain()

    async with replica(log) as follower:
        if not told_before:
            follower.hub.drain()
        with pytest.raises(RefusedError) as refused:
            await watch(follower)
    assert refused.value.reason == "SERVER_DRAINING"
    assert all(isinstance(item, Stored) for item in told)
    assert len(told) == told_before


async def test_a_message_tells_as_many_changes_as_fit_into_it(monkeypatch: pytest.MonkeyPatch) -> None:
    log = TaskLog(MemoryBus())
    for number in range(TASKS):
        stored = await log.create(queued(f"t{number}"), spec_pb2.Spec())
    monkeypatch.setattr(following, "_MOST_BYTES", 3 * len(stored.data) + 1)
    async with replica(log) as follower:
        told = follower.watch(Query("default"), None, include_existing=True, most=64)
        sizes = [len(await anext(told)) for _ in range(5)]
        await told.aclose()
    assert sizes == [3, 3, 3, 1, 1]  # The last is "caught up".
    monkeypatch.setattr(following, "_MOST_BYTES", 1)
    async with replica(log) as follower:
        told = follower.watch(Query("default"), None, include_existing=True, most=64)
        assert len(await anext(told)) == 1
        await told.aclose()
