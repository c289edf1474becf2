"""What the hub hands on: to the model, to watchers, and to watchers who come too late."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from comfymesh.api.backlog import Backlog
from comfymesh.api.hub import Hub
from comfymesh.api.query import Query
from comfymesh.api.readmodel import ReadModel
from comfymesh.bus.port import CaughtUp
from comfymesh.bus.tasklog import Dropped, Stored
from comfymesh.tasks import codec
from comfymesh.testkit.tasks import queued

KEY = queued("one").key


@pytest.fixture
def model() -> Iterator[ReadModel]:
    made = ReadModel()
    yield made
    made.close()


async def events(*items: Stored | Dropped | CaughtUp) -> AsyncIterator[Stored | Dropped | CaughtUp]:
    for item in items:
        yield item


def stored(task_id: str, sequence: int) -> Stored:
    record = queued(task_id)
    return Stored(record.key, sequence, codec.encode(record))


def listed(model: ReadModel) -> list[str]:
    return sorted(found.key.task_id for found in model.page(Query("default"), 10, None)[0])


async def test_it_is_ready_once_it_has_caught_up(model: ReadModel) -> None:
    hub = Hub(model)
    await hub.follow(events(stored("one", 1)))
    assert not hub.ready.is_set()
    await hub.follow(events(CaughtUp()))
    assert hub.ready.is_set()


async def test_a_task_that_left_the_log_is_listed_no_more(model: ReadModel) -> None:
    await Hub(model).follow(events(stored("one", 1), stored("two", 2), Dropped(KEY, 3)))
    assert listed(model) == ["two"]


async def test_a_task_that_came_again_is_listed(model: ReadModel) -> None:
    await Hub(model).follow(events(stored("one", 1), Dropped(KEY, 2), stored("one", 3)))
    assert listed(model) == ["one"]


def test_those_who_watch_when_it_drains_are_told_and_those_who_come_later_too(model: ReadModel) -> None:
    hub = Hub(model)
    with hub.mailbox(KEY) as early:
        assert not early.closed
        hub.drain()
        assert early.closed
    with hub.mailbox(KEY) as late:
        assert late.closed


def test_those_who_follow_many_when_it_drains_are_told_and_those_who_come_later_too(model: ReadModel) -> None:
    hub = Hub(model)
    early, late = Backlog(Query("default"), 0), Backlog(Query("default"), 0)
    with hub.feeding(early):
        assert not early.closed
        hub.drain()
        assert early.closed
    with hub.feeding(late):
        assert late.closed
