"""Whether what was kept of a log is believed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from comfymesh.bus import subjects
from comfymesh.bus.checkpoints import TRUSTED, Checkpoint, Kept, Reading, open_kept, problem
from comfymesh.bus.port import Entry
from comfymesh.bus.streams import TASKS
from comfymesh.bus.tasklog import Dropped, Stored, TaskLog, Unreadable
from comfymesh.runtime import supervisor
from comfymesh.tasks.record import Key
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import queued
from comfymesh.testkit.waiting import take, until
from comfymesh.wire.v1 import spec_pb2

LAYOUT = "CREATE TABLE things (n INTEGER)"
SPEC = spec_pb2.Spec()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def bus(clock: ManualClock) -> MemoryBus:
    return MemoryBus(clock)


async def read(bus: MemoryBus, kept: Kept, count: int) -> None:
    """Read so much of the log, and note it."""
    for event in await take(TaskLog(bus).events(kept.reading.start), count):
        assert isinstance(event, Stored | Dropped | Unreadable)
        kept.reading.take(event)
    with kept.database.transaction(kept.reading.note()):
        pass


async def keep(bus: MemoryBus, folder: Path, count: int) -> Checkpoint:
    kept = await open_kept(bus, str(folder), "test", LAYOUT)
    await read(bus, kept, count)
    kept.database.close()
    checkpoint = kept.reading.checkpoint()
    assert checkpoint is not None
    return checkpoint


async def found(bus: MemoryBus, folder: Path) -> Checkpoint | None:
    kept = await open_kept(bus, str(folder), "test", LAYOUT)
    kept.database.close()
    return kept.reading.start


async def write(bus: MemoryBus, *task_ids: str) -> None:
    for task_id in task_ids:
        await TaskLog(bus).create(queued(task_id), SPEC)


async def test_who_comes_back_goes_on_where_he_left_off(bus: MemoryBus, tmp_path: Path) -> None:
    await write(bus, "one", "two")
    left = await keep(bus, tmp_path, 2)
    assert left.sequence == 2
    assert await found(bus, tmp_path) == left


async def test_who_reads_nothing_new_keeps_his_place(bus: MemoryBus, tmp_path: Path) -> None:
    await write(bus, "one")
    left = await keep(bus, tmp_path, 1)
    assert await keep(bus, tmp_path, 0) == left


async def test_a_log_that_was_made_anew_is_read_as_a_whole(bus: MemoryBus, clock: ManualClock, tmp_path: Path) -> None:
    await write(bus, "one")
    await keep(bus, tmp_path, 1)
    clock.advance(1.0)
    another = MemoryBus(clock)
    await write(another, "one")
    assert await found(another, tmp_path) is None


async def test_a_log_that_lost_its_tail_is_read_as_a_whole(bus: MemoryBus, tmp_path: Path) -> None:
    await write(bus, "one", "two")
    await keep(bus, tmp_path, 2)
    bus.lose(TASKS, after=1)
    assert await found(bus, tmp_path) is None


async def test_a_log_that_lost_its_tail_and_got_another_is_read_as_a_whole(
    bus: MemoryBus, clock: ManualClock, tmp_path: Path
) -> None:
    await write(bus, "one", "two")
    await keep(bus, tmp_path, 2)
    bus.lose(TASKS, after=0)
    # The very same bytes at the same place: the time tells them apart.
    clock.advance(1.0)
    await write(bus, "one", "two")
    assert await found(bus, tmp_path) is None


async def test_a_log_whose_last_known_message_is_gone_is_read_as_a_whole(bus: MemoryBus, tmp_path: Path) -> None:
    await write(bus, "one", "two")
    await keep(bus, tmp_path, 2)
    await bus.purge(TASKS, "task.default.two", 2)
    await write(bus, "three")
    assert await found(bus, tmp_path) is None


async def test_what_is_so_old_that_marks_may_be_gone_is_not_believed(
    bus: MemoryBus, clock: ManualClock, tmp_path: Path
) -> None:
    await write(bus, "one")
    await keep(bus, tmp_path, 1)
    clock.advance(TRUSTED.total_seconds())
    assert await found(bus, tmp_path) is not None
    clock.advance(1.0)
    assert await found(bus, tmp_path) is None


async def test_what_could_not_be_read_is_read_again(bus: MemoryBus, tmp_path: Path) -> None:
    await write(bus, "bad")
    (sequence,) = await bus.append([Entry("task.default.bad", b"\xff\xff")])
    await write(bus, "good")
    left = await keep(bus, tmp_path, 2)
    assert left.unreadable == (Key("default", "bad"),)
    events = TaskLog(bus).events(await found(bus, tmp_path))
    assert await take(events, 1) == [Unreadable(Key("default", "bad"), sequence)]
    # As an operator does; the record before it is the task again.
    kept = bus._kept[TASKS.name]
    kept.remove(kept.messages[sequence])
    (event,) = await take(TaskLog(bus).events(left), 1)
    assert isinstance(event, Stored)
    assert event.sequence == 1
    again = await keep(bus, tmp_path, 1)
    assert again == replace(left, unreadable=())


async def test_a_task_of_which_nothing_is_left_counts_as_dropped(bus: MemoryBus, tmp_path: Path) -> None:
    await bus.append([Entry("task.default.bad", b"\xff\xff")])
    await write(bus, "good")
    left = await keep(bus, tmp_path, 2)
    await bus.purge(TASKS, "task.default.bad", 1)
    assert await take(TaskLog(bus).events(left), 1) == [Dropped(Key("default", "bad"), left.sequence)]


def test_where_too_much_could_not_be_read_nothing_is_kept() -> None:
    reading = Reading("made")
    reading.take(Stored(Key("t", "good"), 1, b""))
    for n in range(100):
        reading.take(Unreadable(Key("t", f"t{n}"), n + 2))
    assert reading.checkpoint() is not None
    reading.take(Unreadable(Key("t", "one too many"), 200))
    assert reading.checkpoint() is None
    assert reading.note() == ""


async def test_it_waits_for_a_bus_that_is_away(bus: MemoryBus, tmp_path: Path) -> None:
    with bus.away():
        opening = asyncio.ensure_future(open_kept(bus, str(tmp_path), "test", LAYOUT))
        done, _ = await asyncio.wait({opening}, timeout=0.05)
        assert not done
    kept = await opening
    kept.database.close()


async def test_times_of_different_precision_are_the_same(bus: MemoryBus) -> None:
    await write(bus, "one")
    message = await bus.at(TASKS, 1)
    assert message is not None
    reading = Reading((await bus.state(TASKS)).created)
    reading.take(Stored(subjects.parse_task(message.subject), 1, message.data, message.time + 4e-7))
    checkpoint = reading.checkpoint()
    assert checkpoint is not None
    assert problem(checkpoint, await bus.state(TASKS), message) == ""


async def test_a_log_that_takes_long_to_read_is_told_about(
    bus: MemoryBus, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    statuses = list[str]()
    monkeypatch.setattr(supervisor, "status", statuses.append)
    await write(bus, "one", "two", "three")
    kept = await open_kept(bus, str(tmp_path), "test", LAYOUT)
    kept.database.close()
    assert caplog.messages == ["the task log is read from its beginning to 3"]
    telling = asyncio.ensure_future(kept.tell(lambda: 2, every=0.0))
    await until(lambda: len(caplog.messages) > 1, "a word of it")
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    assert caplog.messages[1] == "the task log has been read up to 2 of 3"
    assert set(statuses) == {"reads the task log: 2 of 3"}, "it may end since the process stops, and then does not run"
