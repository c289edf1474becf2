"""Many changes in one call: few of them are under way at a time, so that others need not wait for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from comfymesh.api import batches, groups
from comfymesh.api.access.caller import DEFAULT_TENANT, Caller, acting
from comfymesh.api.dead_letter_service import DeadLetterService
from comfymesh.api.following import Following
from comfymesh.api.groups import Groups
from comfymesh.api.submitting import Submitting
from comfymesh.bus import bulk
from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.tasks import codec
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import queued
from comfymesh.v1 import dead_letter_service_pb2, task_pb2, task_service_pb2

MANY = 3 * bulk.AT_ONCE
NAMES = [f"tasks/t{number}" for number in range(MANY)]
TASK = Stored(queued().key, 1, codec.encode(queued()))


class Changes:
    """Changes of the log, each of which takes a while."""

    def __init__(self, answer: object = TASK) -> None:
        self.made = self.under_way = self.most = 0
        self._answer = answer

    async def __call__(self, *_: object, **__: object) -> Any:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.made, self.under_way = self.made + 1, self.under_way - 1
        return self._answer


async def create(monkeypatch: pytest.MonkeyPatch) -> Changes:
    del monkeypatch
    changes = Changes(task_pb2.Task())
    requests = [task_service_pb2.CreateTaskRequest()] * MANY
    await batches.create(
        Mock(spec=Submitting, submit=changes), task_service_pb2.BatchCreateTasksRequest(requests=requests), "default"
    )
    return changes


async def cancel(monkeypatch: pytest.MonkeyPatch) -> Changes:
    changes = Changes(Mock(changed=True))
    monkeypatch.setattr(groups, "cancel", changes)
    pages = Mock(page=Mock(side_effect=[([TASK] * MANY, None), ([], None)]))
    following = Mock(spec=Following, model=pages, current=AsyncMock())
    await Groups(following, TaskLog(MemoryBus()), MemoryBus()).cancel("default", "groups/g", "enough")
    return changes


async def requeue(monkeypatch: pytest.MonkeyPatch) -> Changes:
    return await resolve(monkeypatch, "Requeue")


async def drop(monkeypatch: pytest.MonkeyPatch) -> Changes:
    return await resolve(monkeypatch, "Drop")


async def resolve(monkeypatch: pytest.MonkeyPatch, verb: str) -> Changes:
    del monkeypatch
    changes = Changes()
    log, letters = Mock(get=AsyncMock(return_value=TASK)), Mock(requeue=changes, drop=changes)
    service = DeadLetterService(log, letters, Mock(spec=Following))
    request = getattr(dead_letter_service_pb2, f"{verb}DeadLettersRequest")(names=NAMES)
    with acting(Caller(DEFAULT_TENANT, "anonymous", frozenset())):
        answer = await getattr(service, f"{verb}DeadLetters")(request, Mock())
    assert [result.name for result in answer.results] == NAMES
    return changes


@pytest.mark.parametrize("ask", [create, cancel, requeue, drop])
async def test_whoever_changes_many_has_few_under_way(
    ask: Callable[[pytest.MonkeyPatch], Coroutine[Any, Any, Changes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = await ask(monkeypatch)
    assert (changes.made, changes.most) == (MANY, bulk.AT_ONCE)


async def test_answers_come_in_the_order_of_what_was_asked() -> None:
    async def change(number: int) -> int:
        await asyncio.sleep(0.001 * (MANY - number))
        return -number

    assert await bulk.each(range(MANY), change) == [-number for number in range(MANY)]
    assert await bulk.each([], change) == []


async def test_what_waits_for_its_turn_costs_no_task_of_the_event_loop() -> None:
    async def change(_: int) -> int:
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert max(await bulk.each(range(MANY), change)) <= bulk.AT_ONCE + 1


async def test_where_one_fails_the_others_are_stopped() -> None:
    made = list[int]()

    async def change(number: int) -> None:
        if number == 3:
            raise ValueError("three")
        await asyncio.sleep(0.001)
        made.append(number)

    with pytest.raises(ValueError, match="three"):
        await bulk.each(range(MANY), change)
    assert made == []
