"""What was kept and the tail make the same of a log as the whole log does, wherever the reader was cut off."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from comfymesh.api import taskrows
from comfymesh.api.hub import Hub
from comfymesh.api.query import Query
from comfymesh.api.readmodel import ReadModel
from comfymesh.bus import subjects
from comfymesh.bus.checkpoints import open_kept, temporary
from comfymesh.bus.port import CaughtUp, Entry
from comfymesh.bus.tasklog import Stored, TaskLog, Unreadable
from comfymesh.scheduler import live
from comfymesh.scheduler.live import LiveTasks
from comfymesh.tasks import events
from comfymesh.tasks.machine import IllegalTransitionError
from comfymesh.tasks.record import Key
from comfymesh.testkit import tasks
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import NOW
from comfymesh.wire.v1 import spec_pb2

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where a sync costs nothing."""

IDS = ["a", "b", "c"]
QUERIES = [
    Query("default"),
    Query("default", states=(1,)),
    Query("default", group="groups/odd"),
    Query("default", labels={"parity": "even"}),
    Query("default", unresolved=True),
    Query("default", graph_digest=tasks.DIGEST),
]
EVENTS: list[events.Event] = [
    tasks.assigned(),
    events.Started(),
    events.Succeeded(()),
    events.CancelRequested(),
    tasks.failed(),
]
STEP = st.one_of(
    st.tuples(st.just("create"), st.sampled_from(IDS), st.integers(0, 3)),
    st.tuples(st.just("change"), st.sampled_from(IDS), st.integers(0, len(EVENTS) - 1)),
    st.tuples(st.just("drop"), st.sampled_from(IDS), st.just(0)),
    st.tuples(st.just("spoil"), st.sampled_from(IDS), st.just(0)),
    st.tuples(st.just("mend"), st.sampled_from(IDS), st.just(0)),
    # Cut off, in order or as by SIGKILL; then read to the end, or not even that.
    st.tuples(st.sampled_from(["stop", "kill"]), st.just(""), st.integers(0, 12)),
)


class Mesh:
    """A log that is written, and two readers of it that live again and again."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.bus = MemoryBus()
        self.log = TaskLog(self.bus)
        self.spoilt: dict[str, int] = {}

    async def do(self, what: str, task_id: str, number: int) -> None:
        match what:
            case "create":
                await self.create(task_id, number)
            case "change":
                await self.change(task_id, EVENTS[number])
            case "drop":
                stored = await self.get(task_id)
                if stored is not None and stored.is_final:
                    await self.log.drop(stored)
            case "spoil":
                if task_id not in self.spoilt:
                    (self.spoilt[task_id],) = await self.bus.append([Entry(self.subject(task_id), b"\xff")])
            case "mend":
                kept = self.bus._kept["TASKS"]
                if (sequence := self.spoilt.pop(task_id, None)) is not None:
                    kept.remove(kept.messages[sequence])
            case _:
                await self.live_once(number, killed=what == "kill")

    def subject(self, task_id: str) -> str:
        return subjects.task(Key("default", task_id))

    async def get(self, task_id: str) -> Stored | None:
        return None if task_id in self.spoilt else await self.log.get(Key("default", task_id))

    async def create(self, task_id: str, number: int) -> None:
        if task_id in self.spoilt or await self.get(task_id) is not None:
            return
        fields: dict[str, Any] = {"group": "odd"} if number % 2 else {"labels": {"parity": "even"}}
        record = tasks.queued(task_id, create_time=NOW + number, priority=number, **fields)
        await self.log.create(record, spec_pb2.Spec())

    async def change(self, task_id: str, event: events.Event) -> None:
        stored = await self.get(task_id)
        try:
            if stored is not None:
                await self.log.change(stored, event, NOW)
        except IllegalTransitionError:
            return

    async def live_once(self, count: int, *, killed: bool) -> None:
        """Both readers read so much behind what there was when they began, and go."""
        model, known = await self.api(count), await self.scheduler(count)
        if killed:
            model._fresh.clear()
            known._fresh.clear()
        model.close()
        known.close()

    async def api(self, more: int = 1000) -> ReadModel:
        kept = await open_kept(self.bus, self.folder, "api", taskrows.LAYOUT)
        model = ReadModel(kept)
        await self.read(Hub(model), kept.reading.start, more)
        return model

    async def read(self, hub: Hub, start: Any, more: int) -> None:
        following = asyncio.ensure_future(hub.follow(limited(self.log.events(start), more)))
        await following

    async def scheduler(self, more: int = 1000) -> LiveTasks:
        kept = await open_kept(self.bus, self.folder, "scheduler", live.LAYOUT)
        known = LiveTasks(kept)
        async for item in limited(self.log.changes(kept.reading.start), more):
            if isinstance(item, CaughtUp):
                known.complete()
            else:
                known.take(item)
                if item.sequence % 3 == 0:
                    known.write()
        return known


async def limited(source: Any, most: int) -> Any:
    """What is there, up to `most` events of it. None comes later: the log does not change meanwhile."""
    taken = 0
    async for item in source:
        if taken >= most:
            break
        taken += 1
        yield item
        if isinstance(item, CaughtUp):
            break
    await source.aclose()


def listed(model: ReadModel) -> Any:
    pages = [[(s.key, s.sequence, s.data) for s in model.page(query, 100, None)[0]] for query in QUERIES]
    ahead = [model._line.before((-priority, NOW + 10.0)) for priority in range(5)]
    return pages, ahead, model.group("default", "groups/odd"), sorted(model._turns.items())


def alive(known: LiveTasks) -> list[tuple[Key, int]]:
    known.write()
    return [(stored.key, stored.sequence) for stored in known.all()]


async def alive_in_the_log(log: TaskLog) -> list[tuple[Key, int]]:
    """By reading the whole log."""
    found = dict[Key, int]()
    async for item in limited(log.changes(), 1000):
        if isinstance(item, Stored) and not item.is_final:
            found[item.key] = item.sequence
        elif not isinstance(item, CaughtUp | Unreadable):
            found.pop(item.key, None)
    return sorted(found.items(), key=lambda item: item[1])


async def play(steps: list[tuple[str, str, int]], folder: str) -> None:
    mesh = Mesh(folder)
    for step in steps:
        await mesh.do(*step)
    # Where a message can't be read, who was there before it remembers more than who comes later.
    for task_id in list(mesh.spoilt):
        await mesh.do("mend", task_id, 0)
    model, known = await mesh.api(), await mesh.scheduler()
    fresh = ReadModel(temporary(taskrows.LAYOUT))
    await mesh.read(Hub(fresh), None, 1000)
    try:
        assert listed(model) == listed(fresh)
        assert alive(known) == await alive_in_the_log(mesh.log)
    finally:
        for reader in (model, fresh, known):
            reader.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=40))
def test_what_was_kept_and_the_tail_are_the_whole_log(steps: list[tuple[str, str, int]]) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        asyncio.run(play(steps, folder))
