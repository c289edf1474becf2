"""The janitor on a bus in memory and a clock that the test moves."""

from __future__ import annotations

import asyncio

import pytest

from comfymesh.bus import subjects
from comfymesh.bus.port import BusUnavailableError, Entry
from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.scheduler.janitor import Janitor
from comfymesh.tasks.events import CancelRequested, Resolved
from comfymesh.tasks.record import Resolution
from comfymesh.tasks.retention import Retention
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import assigned, failed, queued
from comfymesh.testkit.waiting import until
from comfymesh.wire.v1 import spec_pb2

DAY = 86400.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def bus(clock: ManualClock) -> MemoryBus:
    return MemoryBus(clock)


@pytest.fixture
def log(bus: MemoryBus) -> TaskLog:
    return TaskLog(bus)


@pytest.fixture
def janitor(log: TaskLog, clock: ManualClock) -> Janitor:
    return Janitor(log, Retention(DAY), clock, every=0)


async def create(log: TaskLog, clock: ManualClock, task_id: str) -> Stored:
    return await log.create(queued(task_id, create_time=clock()), spec_pb2.Spec())


async def end(log: TaskLog, clock: ManualClock, task_id: str) -> Stored:
    return await log.change(await create(log, clock, task_id), CancelRequested(), clock())


def left(bus: MemoryBus) -> set[str]:
    return {message.subject.split(".")[2] for message in bus.stored(">") if message.data}


async def test_what_ended_long_ago_goes_with_its_graph_and_the_rest_stays(
    bus: MemoryBus, log: TaskLog, clock: ManualClock, janitor: Janitor
) -> None:
    await end(log, clock, "old")
    await create(log, clock, "waiting")
    clock.advance(DAY / 2)
    await end(log, clock, "recent")
    assert await janitor.sweep() == 0
    clock.advance(DAY / 2)
    assert await janitor.sweep() == 1
    assert left(bus) == {"waiting", "recent"}
    clock.advance(100 * DAY)
    assert await janitor.sweep() == 1
    assert left(bus) == {"waiting"}


async def test_a_task_that_lived_long_is_kept_as_long_after_its_end_as_any_other(
    bus: MemoryBus, log: TaskLog, clock: ManualClock, janitor: Janitor
) -> None:
    waiting = await create(log, clock, "slow")
    clock.advance(10 * DAY)
    running = await log.change(waiting, assigned(), clock())
    clock.advance(10 * DAY)
    await log.change(running, CancelRequested(), clock())
    clock.advance(DAY)
    assert await janitor.sweep() == 0
    assert left(bus) == {"slow"}


async def test_many_go_in_one_sweep(bus: MemoryBus, log: TaskLog, clock: ManualClock, janitor: Janitor) -> None:
    for n in range(300):
        await end(log, clock, f"t{n}")
    clock.advance(DAY)
    assert await janitor.sweep() == 300
    assert left(bus) == set()


async def test_a_record_that_cannot_be_read_is_left_alone_and_stops_nothing(
    bus: MemoryBus, log: TaskLog, clock: ManualClock, janitor: Janitor
) -> None:
    await bus.append([Entry("task.default.bad", b"\xff\xff")])
    await end(log, clock, "old")
    clock.advance(DAY)
    assert await janitor.sweep() == 1
    assert left(bus) == {"bad"}


async def test_a_drop_that_was_cut_short_is_completed(
    bus: MemoryBus, log: TaskLog, clock: ManualClock, janitor: Janitor
) -> None:
    ended = await end(log, clock, "old")
    clock.advance(DAY)
    await bus.append([Entry(subjects.task(ended.key), b"", ended.sequence)])
    assert await janitor.sweep() == 1
    assert left(bus) == set()


async def test_two_at_once_do_no_harm(bus: MemoryBus, log: TaskLog, clock: ManualClock, janitor: Janitor) -> None:
    for n in range(20):
        await end(log, clock, f"t{n}")
    clock.advance(DAY)
    other = Janitor(TaskLog(bus), Retention(DAY), clock)
    await asyncio.gather(janitor.sweep(), other.sweep())
    assert left(bus) == set()


async def test_it_goes_on_after_an_outage(bus: MemoryBus, log: TaskLog, clock: ManualClock, janitor: Janitor) -> None:
    await end(log, clock, "old")
    clock.advance(DAY)
    with bus.away(), pytest.raises(BusUnavailableError):
        await janitor.sweep()
    bus.unreachable = True
    running = asyncio.ensure_future(janitor.run())
    for _ in range(10):
        await asyncio.sleep(0)
    bus.unreachable = False
    await until(lambda: left(bus) == set(), "the drop")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("between", [0, 400])
async def test_a_dead_letter_goes_with_its_resolution_as_long_after_its_end_as_any_other_task(
    bus: MemoryBus, log: TaskLog, clock: ManualClock, janitor: Janitor, between: int
) -> None:
    letter = await create(log, clock, "letter")
    for event in (assigned(), failed()):
        letter = await log.change(letter, event, clock())
    for number in range(between):
        await create(log, clock, f"t{number}")
    clock.advance(DAY / 2)
    await log.change(letter, Resolved(Resolution.DROPPED), clock())
    assert await janitor.sweep() == 0
    clock.advance(DAY / 2)
    assert await janitor.sweep() == 1
    assert "letter" not in left(bus)
    assert len(left(bus)) == between


async def test_a_task_that_cannot_be_read_holds_no_other_up(
    janitor: Janitor, log: TaskLog, bus: MemoryBus, clock: ManualClock
) -> None:
    spoilt, ended = await end(log, clock, "spoilt"), await end(log, clock, "ended")
    await bus.publish(subjects.task(spoilt.key), b"\xff\xfe no record")
    clock.advance(DAY + 1)
    await janitor.sweep()
    assert await log.get(ended.key) is None
