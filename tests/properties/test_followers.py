"""A watcher of many tasks, however slow and however often cut off: every change that matters, once and in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from comfymesh.api import backlog, following
from comfymesh.api.bookmark import Bookmark, make_token, read_token
from comfymesh.api.following import Following, Told
from comfymesh.api.hub import Hub
from comfymesh.api.query import Query
from comfymesh.api.readmodel import Place, ReadModel
from comfymesh.bus.port import CaughtUp, Message
from comfymesh.bus.streams import Stream
from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.tasks import events
from comfymesh.testkit import tasks
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import NOW
from comfymesh.v1 import task_pb2
from comfymesh.wire.v1 import spec_pb2

LIFE = [tasks.assigned(), events.Started(), events.Succeeded(())]
QUERIES = [
    Query("default"),
    Query("default", states=(task_pb2.Task.STATE_SUCCEEDED, task_pb2.Task.STATE_RUNNING)),
    Query("default", group="groups/odd"),
    Query("default", labels={"parity": "even"}),
    Query("nobody"),
]
ACTIONS = ["create", "create", "change", "change", "change", "hub", "hub", "hub", "cut", "read", "read"]


class SlowBus(MemoryBus):
    """Answers with what was there when it was asked, and takes its time."""

    async def after(self, stream: Stream, subject: str, sequence: int, limit: int) -> list[Message]:
        found = await super().after(stream, subject, sequence, limit)
        for _ in range(20):
            await asyncio.sleep(0)
        return found


class Play:
    """Several tasks, one replica whose hub lags as the test wants, one watcher who reads when the test lets him."""

    def __init__(self, query: Query, *, include_existing: bool, most: int) -> None:
        self.query = query
        self.include_existing = include_existing
        self.most = most
        self.log = TaskLog(SlowBus())
        self.model = ReadModel()
        self.hub = Hub(self.model)
        self.following = Following(self.hub, self.log, self.model, 1000.0)
        self.tasks: list[Stored] = []
        self.every: list[Stored] = []
        self.behind: list[Stored] = []
        self.arrived: asyncio.Queue[Stored] = asyncio.Queue()
        self.told: list[Stored] = []
        self.token = ""
        self.began = asyncio.Event()
        self.may_read = asyncio.Semaphore(0)

    async def run(self, before: int, actions: list[str]) -> None:
        hub = asyncio.ensure_future(self.hub.follow(self.changes()))
        for _ in range(before):
            await self.create()
        self.first = self.every[-1].sequence if self.every else 0
        watcher = asyncio.ensure_future(self.watch())
        try:
            await self.begin()
            for action in actions:
                match action:
                    case "create":
                        await self.create()
                    case "change":
                        await self.change(len(self.told))
                    case "hub":
                        self.deliver()
                    case "cut":
                        watcher.cancel()
                        await asyncio.gather(watcher, return_exceptions=True)
                        watcher = asyncio.ensure_future(self.watch())
                    case _:
                        self.may_read.release()
                await self.breathe()
            await self.settle()
            assert not watcher.done(), watcher.exception()
        finally:
            for task in (hub, watcher):
                task.cancel()
            await asyncio.gather(hub, watcher, return_exceptions=True)
            self.model.close()

    async def changes(self) -> AsyncIterator[Stored | CaughtUp]:
        yield CaughtUp()
        while True:
            yield await self.arrived.get()

    async def create(self) -> None:
        number = len(self.tasks)
        fields = {"group": "odd"} if number % 2 else {"labels": {"parity": "even"}}
        record = tasks.queued(f"t{number}", create_time=NOW + number // 3, **fields)
        self.tasks.append(await self.log.create(record, spec_pb2.Spec()))
        self.every.append(self.tasks[-1])
        self.behind.append(self.tasks[-1])

    async def change(self, chosen: int) -> None:
        open_ones = [index for index, stored in enumerate(self.tasks) if not stored.record.is_final]
        if open_ones:
            index = open_ones[chosen % len(open_ones)]
            stored = self.tasks[index]
            step = ["QUEUED", "ASSIGNED", "RUNNING"].index(stored.record.state)
            self.tasks[index] = await self.log.change(stored, LIFE[step], NOW)
            self.every.append(self.tasks[index])
            self.behind.append(self.tasks[index])

    def deliver(self) -> None:
        if self.behind:
            self.arrived.put_nowait(self.behind.pop(0))

    async def begin(self) -> None:
        """The watcher is told the first thing, so that he has a token."""
        while self.behind:
            self.deliver()
        await self.began.wait()

    async def settle(self) -> None:
        """Everything reaches the hub, and the watcher reads as much as there is."""
        while self.behind:
            self.deliver()
        for _ in range(40 + 10 * len(self.every)):
            self.may_read.release()
            await self.breathe()
        self.may_read = asyncio.Semaphore(0)

    async def breathe(self) -> None:
        for _ in range(12):
            await asyncio.sleep(0)

    async def watch(self) -> None:
        at = read_token(self.token) if self.token else None
        messages = self.following.watch(self.query, at, include_existing=self.include_existing, most=self.most)
        async with contextlib.aclosing(messages):
            async for message in messages:
                assert len(message) <= self.most
                for told in message:
                    self.take(told)
                    await self.may_read.acquire()

    def take(self, told: Told) -> None:
        place, item = told
        self.token = make_token(place)
        self.began.set()
        if isinstance(item, Stored):
            self.told.append(item)


@settings(max_examples=200, deadline=None)
@given(
    query=st.sampled_from(QUERIES),
    existing=st.booleans(),
    before=st.integers(0, 9),
    actions=st.lists(st.sampled_from(ACTIONS), max_size=70),
    kept=st.integers(1, 4),
    most=st.integers(1, 5),
)
def test_every_change_that_matters_comes_once_and_in_order(
    *, query: Query, existing: bool, before: int, actions: list[str], kept: int, most: int
) -> None:
    play = Play(query, include_existing=existing, most=most)
    with (
        patch.object(following, "_PAGE", 3),
        patch.object(following, "_PACE_SECONDS", 0.0),
        patch.object(backlog.Backlog.__init__, "__defaults__", (kept,)),
    ):
        asyncio.run(play.run(before, actions))
    matching = [stored for stored in play.every if query.matches(stored)]
    changes = [stored.sequence for stored in play.told if stored.sequence > play.first]
    assert changes == [stored.sequence for stored in matching if stored.sequence > play.first]

    snapshot = [stored.key for stored in play.told if stored.sequence <= play.first]
    assert len(snapshot) == len(set(snapshot))
    were_there = {stored.key for stored in matching if stored.sequence <= play.first} if existing else set()
    assert set(snapshot) <= were_there
    # Who was not told as he stood has changed before his turn came, and that was told.
    changed = {stored.key for stored in play.every if stored.sequence > play.first}
    assert were_there - set(snapshot) <= changed


@given(
    st.integers(0, 2**64 - 1), st.none() | st.builds(Place, st.floats(allow_nan=False), st.from_regex(r"[a-z]{1,9}"))
)
def test_a_token_says_the_place_that_it_was_made_for(position: int, place: Place | None) -> None:
    assert read_token(make_token(Bookmark(position, place))) == Bookmark(position, place)
