"""How far the read model must be before it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest.mock import MagicMock, Mock

import pytest

from comfymesh.api import following
from comfymesh.api.access.audit import Audit
from comfymesh.api.access.caller import acting
from comfymesh.api.access.directory import Directory
from comfymesh.api.access.quotas import Quotas
from comfymesh.api.bookmark import Bookmark
from comfymesh.api.errors import RefusedError
from comfymesh.api.following import Following
from comfymesh.api.hub import Hub
from comfymesh.api.query import Query
from comfymesh.api.readmodel import ReadModel
from comfymesh.api.tenant_service import TenantService
from comfymesh.bus.port import CaughtUp, Entry
from comfymesh.bus.tasklog import Dropped, Stored, TaskLog
from comfymesh.tasks.record import Key
from comfymesh.testkit.callers import ANYBODY
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import queued
from comfymesh.v1.tenant_service_pb2 import GetTenantRequest
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


async def test_a_token_is_good_at_a_replica_that_has_not_read_as_far_as_the_one_that_gave_it() -> None:
    """What other tenants do moves a watcher on, and replicas hear of it one after the other."""
    log = TaskLog(MemoryBus())
    await log.create(queued("mine"), spec_pb2.Spec())
    for number in range(TASKS):
        last = await log.create(queued(f"t{number}", key=Key("other", f"t{number}")), spec_pb2.Spec())
    async with replica(log) as follower:
        watch = follower.watch(Query("default"), Bookmark(last.sequence), include_existing=False)
        ((_, item),) = await anext(watch)
        assert follower.hub.position < last.sequence, "it has not read as far yet"
        assert isinstance(item, CaughtUp)
        more = await log.create(queued("more"), spec_pb2.Spec())
        ((place, item),) = await anext(watch)
        assert (place.position, isinstance(item, Stored)) == (more.sequence, True)
        await watch.aclose()
        ahead = follower.watch(Query("default"), Bookmark(more.sequence + 1), include_existing=False)
        with pytest.raises(RefusedError, match=f"which ends at {more.sequence}"):
            await anext(ahead)


async def test_what_a_watcher_was_told_from_the_log_is_listed() -> None:
    bus = MemoryBus()
    log, elsewhere = TaskLog(bus), TaskLog(bus)
    for number in range(TASKS):
        await elsewhere.create(queued(f"t{number}"), spec_pb2.Spec())
    async with replica(log) as follower:
        watch = follower.watch(Query("default"), None, include_existing=False)
        await follower.current("default")
        beginning = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        stored = await elsewhere.create(queued("new"), spec_pb2.Spec())
        ((_, item),) = await beginning
        assert isinstance(item, Stored), "it is read from the log, which is ahead of what is handed out"
        assert follower.hub.position < stored.sequence
        await follower.told()
        found, _ = follower.model.page(Query("default"), TASKS + 1, None)
        assert item.key in {each.key for each in found}
        await watch.aclose()


async def test_what_a_tenant_uses_has_the_task_that_was_just_answered() -> None:
    bus = MemoryBus()
    log, directory, clock = TaskLog(bus), Directory(bus, ManualClock()), ManualClock()
    async with replica(log) as follower:
        stored = MagicMock(bytes_of=lambda _: 0, count=lambda _: 0)
        quotas = Quotas(directory, follower.model, follower.hub, stored, stored, clock)
        service = TenantService(directory, quotas, Mock(spec=Audit), follower.told)
        await log.create(queued("new"), spec_pb2.Spec())
        with acting(ANYBODY):
            answer = await service.GetTenant(GetTenantRequest(), Mock())
    assert answer.usage.waiting_tasks == 1
