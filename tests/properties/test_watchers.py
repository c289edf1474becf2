"""A watcher, however often it is cut off: every state once and in order, and progress never goes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from comfymesh.api.hub import Hub
from comfymesh.api.insight import Insight
from comfymesh.api.readmodel import ReadModel
from comfymesh.api.watching import Changes, Told, Watching
from comfymesh.bus import subjects
from comfymesh.bus.port import CaughtUp
from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.tasks import events
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import Resolution
from comfymesh.testkit import tasks
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import NOW
from comfymesh.testkit.waiting import DEADLINE
from comfymesh.v1 import task_pb2
from comfymesh.wire.v1 import spec_pb2

LIVES = [
    [tasks.assigned(), events.Started(), events.Succeeded(())],
    [
        tasks.assigned(),
        events.Released("x"),
        tasks.assigned(),
        events.Started(),
        events.CancelRequested(),
        events.Cancelled(),
    ],
    [tasks.assigned(), events.Started(), tasks.failed(FailureClass.NODE_LOST)] * 2
    + [tasks.assigned(), events.Started(), events.Succeeded(())],
    [events.CancelRequested()],
    [tasks.assigned(), tasks.failed(), events.Resolved(Resolution.DROPPED)],
]
ACTIONS = ["write", "write", "hub", "hub", "progress", "cut", "read"]


class Play:
    """One task, one replica whose hub lags as the test wants, one watcher who is cut off again and again."""

    def __init__(self, life: list[events.Event]) -> None:
        self.bus = MemoryBus()
        self.log = TaskLog(self.bus)
        self.model = ReadModel()
        self.hub = Hub(self.model)
        self.watching = Watching(
            self.hub, self.log, self.bus, self.model, Insight(self.bus, lambda: 0.0), heartbeat=1000.0
        )
        self.life = list(life)
        self.arrived: asyncio.Queue[Stored] = asyncio.Queue()
        self.behind: list[Stored] = []
        self.told: list[Stored] = []
        self.progress: list[task_pb2.TaskProgress] = []
        self.position = 0
        self.fraction = 0.0

    async def run(self, actions: list[str]) -> None:
        self.record = tasks.queued()
        self.stored = await self.log.create(self.record, spec_pb2.Spec())
        self.behind.append(self.stored)
        hub = asyncio.ensure_future(self.hub.follow(self.changes()))
        watcher = asyncio.ensure_future(self.watch())
        try:
            for action in actions:
                match action:
                    case "write":
                        await self.write()
                    case "hub":
                        self.deliver()
                    case "progress":
                        await self.make_progress()
                    case "cut":
                        watcher = await self.cut(watcher)
                    case _:
                        await self.breathe()
            while self.life or self.behind:
                await self.write()
                self.deliver()
                await self.breathe()
            async with asyncio.timeout(DEADLINE):
                await watcher
        finally:
            for task in (hub, watcher):
                task.cancel()
            await asyncio.gather(hub, watcher, return_exceptions=True)
            self.model.close()

    async def changes(self) -> AsyncIterator[Stored | CaughtUp]:
        yield CaughtUp()
        while True:
            yield await self.arrived.get()

    async def write(self) -> None:
        if self.life:
            self.stored = await self.log.change(self.stored, self.life.pop(0), NOW)
            self.behind.append(self.stored)
            self.fraction = 0.0

    def deliver(self) -> None:
        if self.behind:
            self.arrived.put_nowait(self.behind.pop(0))

    async def make_progress(self) -> None:
        self.fraction = min(1.0, self.fraction + 0.1)
        message = task_pb2.TaskProgress(attempt=self.stored.record.attempt, fraction=self.fraction)
        await self.bus.publish(subjects.progress(self.stored.key), message.SerializeToString())

    async def breathe(self) -> None:
        for _ in range(30):
            await asyncio.sleep(0)

    async def cut(self, watcher: asyncio.Task[None]) -> asyncio.Task[None]:
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher
        if self.told and self.told[-1].record.is_final:
            return watcher
        return asyncio.ensure_future(self.watch())

    async def watched(self) -> AsyncGenerator[tuple[int, Told], None]:
        with self.watching.listening(self.stored.key) as mailbox:
            await self.watching.begin(mailbox, self.stored.key, self.position)
            async with contextlib.aclosing(self.watching.follow(mailbox, self.stored.key, previews=False)) as items:
                async for item in items:
                    yield item

    async def watch(self) -> None:
        items = self.watched()
        async with contextlib.aclosing(items):
            async for position, item in items:
                assert position >= self.position
                self.position = position
                if isinstance(item, Changes):
                    assert position == item.last.sequence
                    self.told += [*item.before, item.last]
                elif isinstance(item, task_pb2.TaskProgress) and item.phase != task_pb2.TaskProgress.PHASE_WAITING:
                    self.progress.append(item)
                    assert item.attempt == self.told[-1].record.attempt
                    assert not self.told[-1].record.is_final


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(LIVES), st.lists(st.sampled_from(ACTIONS), max_size=60))
def test_every_cut_and_resume_tells_every_state_once_and_in_order(life: list[events.Event], actions: list[str]) -> None:
    play = Play(life)
    asyncio.run(play.run(actions))
    every = [message.sequence for message in play.bus.stored(subjects.task(play.stored.key))]
    told = [stored.sequence for stored in play.told]
    # Behind the end there is only the resolution of a dead letter, which nobody who was told the end is told too.
    assert told == every[every.index(told[0]) :][: len(told)]
    assert [stored.record.is_final for stored in play.told] == [False] * (len(told) - 1) + [True]
    for earlier, later in pairwise(play.progress):
        assert (later.attempt, later.fraction) >= (earlier.attempt, earlier.fraction)
