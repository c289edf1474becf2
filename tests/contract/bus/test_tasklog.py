"""The task log on both buses: what is bad in it, and how tasks leave it."""

from __future__ import annotations

import logging

import pytest

from comfymesh.bus import subjects
from comfymesh.bus.checkpoints import Reading, problem
from comfymesh.bus.port import CaughtUp, Entry
from comfymesh.bus.streams import TASKS
from comfymesh.bus.tasklog import (
    Dropped,
    MadeElsewhereError,
    StaleRecordError,
    Stored,
    TaskLog,
    Unreadable,
    UnreadableRecordError,
)
from comfymesh.tasks.events import CancelRequested
from comfymesh.tasks.record import SMALL_BYTES, Key
from comfymesh.testkit.tasks import NOW, queued
from comfymesh.testkit.waiting import take
from comfymesh.wire.v1 import spec_pb2

from .conftest import World

SPEC = spec_pb2.Spec(graph_zlib=bytes(SMALL_BYTES + 1))
CORRUPT = b"\xff\xff\xff\xff"


async def cancelled(log: TaskLog, task_id: str) -> Stored:
    return await log.change(await log.create(queued(task_id), SPEC), CancelRequested(), NOW)


async def left(world: World) -> list[str]:
    """Subjects of everything but the marks of tasks that are gone."""
    return [message.subject for message in await world.bus.after(TASKS, ">", 0, 100) if message.data]


async def test_a_corrupt_message_is_told_of_and_passed_over(world: World, caplog: pytest.LogCaptureFixture) -> None:
    log, key = TaskLog(world.bus), queued("bad").key
    (sequence,) = await world.other.append([Entry(subjects.task(key), CORRUPT)])
    changes = log.changes()
    assert await take(changes, 2) == [Unreadable(key, sequence), CaughtUp()]
    (told,) = [vars(record) for record in caplog.records if record.levelno == logging.ERROR]
    assert (told["action"], told["subject"], told["sequence"]) == ("record_unreadable", subjects.task(key), sequence)
    good = await log.create(queued("good"), SPEC)
    (item,) = await take(changes, 1)
    assert isinstance(item, Stored)
    assert item.sequence == good.sequence
    with pytest.raises(UnreadableRecordError):
        await log.get(key)


async def test_a_dropped_task_leaves_nothing_and_those_who_follow_hear_of_it(world: World) -> None:
    log = TaskLog(world.bus)
    ended = await cancelled(log, "ended")
    kept = await log.create(queued("kept"), SPEC)
    events = TaskLog(world.other).events()
    await take(events, 3)
    await log.drop(ended)
    (item,) = await take(events, 1)
    assert isinstance(item, Dropped)
    assert item.key == ended.key
    assert item.sequence > kept.sequence
    assert await log.get(ended.key) is None
    assert await log.history(ended.key, 0) == []
    assert await left(world) == [f"spec.default.kept.{queued().definition.spec.digest}", "task.default.kept"]


async def test_a_request_id_makes_one_task_whoever_comes_first(world: World) -> None:
    log, theirs, derived = TaskLog(world.bus), TaskLog(world.other), Key("default", "derived")
    events = theirs.events()
    await take(events, 1)
    for _ in range(2):
        await log.bind(derived, "mine")
    for attempt in (log.bind(derived, "another"), theirs.create(queued("derived"), SPEC)):
        with pytest.raises(MadeElsewhereError) as refused:
            await attempt
        assert refused.value.task_id == "mine"
    assert await log.get(derived) is None
    (item,) = await take(events, 1)
    assert isinstance(item, Dropped)  # Who follows the log sees that there is no task.


async def test_a_request_id_that_has_made_a_task_makes_no_other(world: World) -> None:
    log = TaskLog(world.bus)
    created = await log.create(queued("derived"), SPEC)
    with pytest.raises(StaleRecordError):
        await log.bind(created.key, "mine")
    await log.drop(await log.change(created, CancelRequested(), NOW))
    await log.bind(created.key, "mine")


async def test_a_task_that_changed_meanwhile_is_not_dropped(world: World) -> None:
    log = TaskLog(world.bus)
    first = await log.create(queued(), SPEC)
    second = await log.change(first, CancelRequested(), NOW)
    with pytest.raises(StaleRecordError) as refused:
        await log.drop(first)
    assert refused.value.last is not None
    assert refused.value.last.sequence == second.sequence
    assert await log.spec(first.record) == SPEC


async def test_a_drop_that_was_begun_is_completed_by_the_next_try(world: World) -> None:
    log = TaskLog(world.bus)
    ended = await cancelled(log, "one")
    await world.bus.append([Entry(subjects.task(ended.key), b"", ended.sequence)])
    await TaskLog(world.other).drop(ended)
    assert await left(world) == []
    await log.drop(ended)
    assert await left(world) == []
    assert await log.get(ended.key) is None


async def test_who_left_off_before_a_task_was_dropped_hears_of_it_later(world: World) -> None:
    log = TaskLog(world.bus)
    ended = await cancelled(log, "one")
    kept = await log.create(queued("kept"), SPEC)
    reading = Reading((await world.bus.state(TASKS)).created)
    for event in await take(log.events(), 2):
        assert not isinstance(event, CaughtUp)
        reading.take(event)
    start = reading.checkpoint()
    assert start is not None
    assert start.sequence == kept.sequence
    assert problem(start, await world.bus.state(TASKS), await world.bus.at(TASKS, start.sequence)) == ""
    await log.drop(ended)
    later = await log.create(queued("later"), SPEC)
    gone, new, end = await take(TaskLog(world.other).events(start), 3)
    assert isinstance(gone, Dropped)
    assert isinstance(new, Stored)
    assert (gone.key, new.sequence, end) == (ended.key, later.sequence, CaughtUp())


async def test_a_dropped_task_can_be_created_again_before_its_messages_are_gone(world: World) -> None:
    log = TaskLog(world.bus)
    ended = await cancelled(log, "one")
    (mark,) = await world.bus.append([Entry(subjects.task(ended.key), b"", ended.sequence)])
    again = await TaskLog(world.other).create(queued("one"), SPEC)
    # What the one who began the drop does next.
    await world.bus.purge(TASKS, subjects.specs(ended.key), mark)
    await world.bus.purge(TASKS, subjects.task(ended.key), mark)
    stored = await log.get(ended.key)
    assert stored is not None
    assert stored.sequence == again.sequence
    assert await log.spec(stored.record) == SPEC
    with pytest.raises(StaleRecordError):
        await log.drop(ended)


async def test_pages_lead_through_the_whole_log_once(world: World) -> None:
    log = TaskLog(world.bus)
    stored = [await log.create(queued(f"t{n}"), SPEC) for n in range(5)]
    await world.bus.append([Entry("task.default.bad", CORRUPT)])
    stored.append(await log.change(stored[0], CancelRequested(), NOW))
    await world.bus.append([Entry(subjects.task(stored[1].key), b"", stored[1].sequence)])
    seen: list[int] = []
    place, end = -1, 0
    while place != end:
        place = end
        items, end = await log.page(place, 2)
        seen += [item.sequence for item in items]
    assert seen == [item.sequence for item in stored]


async def test_since_passes_over_what_cannot_be_read_and_answers_less_than_asked_at_the_end_only(world: World) -> None:
    log = TaskLog(world.bus)
    first = await log.create(queued("first"), SPEC)
    await world.bus.append([Entry(f"task.default.bad{n}", CORRUPT) for n in range(3)])
    second = await log.create(queued("second"), SPEC)
    await world.bus.append([Entry(f"task.default.worse{n}", CORRUPT) for n in range(2)])
    last = await log.create(queued("last"), SPEC)

    async def since(after: int, limit: int) -> list[int]:
        return [stored.sequence for stored in await log.since("default", after, limit)]

    assert await since(first.sequence, 1) == [second.sequence]
    assert await since(first.sequence, 2) == [second.sequence, last.sequence]
    assert await since(first.sequence, 3) == [second.sequence, last.sequence]
    assert await since(last.sequence, 2) == []
