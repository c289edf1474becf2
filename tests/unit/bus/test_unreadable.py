"""A message that is no record stops nobody, and is told of once."""

from __future__ import annotations

import logging

import pytest

from comfymesh.bus import records, subjects
from comfymesh.bus.port import CaughtUp, Entry, Message
from comfymesh.bus.tasklog import Dropped, Stored, TaskLog, Unreadable, UnreadableRecordError
from comfymesh.tasks import codec
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import after, assigned, failed, queued
from comfymesh.testkit.waiting import take
from comfymesh.wire.v1 import spec_pb2, task_record_pb2

BAD = queued("bad").key
GOOD = queued("good")


def of_unknown_state() -> bytes:
    message = codec.to_message(queued("bad"))
    message.task.state = 77  # type: ignore[assignment]  # what a later version may write
    return message.SerializeToString()


def of_unknown_failure() -> bytes:
    message = codec.to_message(after(queued("bad", max_retries=3), assigned(), failed()))
    message.failures[0].reason = 9999  # type: ignore[assignment]  # what a later version may write
    return message.SerializeToString()


def of_bad_node() -> bytes:
    message = codec.to_message(after(queued("bad"), assigned()))
    message.task.node = "not a node"
    return message.SerializeToString()


GARBAGE = {
    "no message": b"\xff\xff\xff\xff",
    "cut off": codec.encode(queued("bad"))[:-3],
    "another task's": codec.encode(queued("other")),
    "nobody's": task_record_pb2.TaskRecord().SerializeToString() + b"\x4a\x00",
    "of an unknown state": of_unknown_state(),
    "of an unknown failure": of_unknown_failure(),
    "of a malformed node": of_bad_node(),
}


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
def log(bus: MemoryBus) -> TaskLog:
    return TaskLog(bus)


async def put(bus: MemoryBus, data: bytes) -> int:
    (sequence,) = await bus.append([Entry(subjects.task(BAD), data)])
    return sequence


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
async def test_changes_pass_over_it_and_tell_of_it_once(
    bus: MemoryBus, log: TaskLog, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    sequence = await put(bus, data)
    good = await log.create(GOOD, spec_pb2.Spec())
    bad, first, second = await take(log.changes(), 3)
    assert isinstance(first, Stored)
    assert (bad, first.sequence, second) == (Unreadable(BAD, sequence), good.sequence, CaughtUp())
    (told,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert vars(told)["action"] == "record_unreadable"
    assert (vars(told)["subject"], vars(told)["sequence"]) == (subjects.task(BAD), sequence)


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
async def test_asking_for_the_task_itself_says_what_is_wrong(bus: MemoryBus, log: TaskLog, data: bytes) -> None:
    sequence = await put(bus, data)
    with pytest.raises(UnreadableRecordError, match="nats stream rmm TASKS") as refused:
        await log.get(BAD)
    assert (refused.value.subject, refused.value.sequence) == (subjects.task(BAD), sequence)


async def test_a_history_leaves_it_out(bus: MemoryBus, log: TaskLog) -> None:
    created = await log.create(queued("bad"), spec_pb2.Spec())
    await put(bus, GARBAGE["no message"])
    last = await put(bus, codec.encode(queued("bad")))
    assert [stored.sequence for stored in await log.history(BAD, 0)] == [created.sequence, last]


async def test_events_take_what_only_a_later_version_understands(bus: MemoryBus, log: TaskLog) -> None:
    sequence = await put(bus, of_unknown_failure())
    item, _ = await take(log.events(), 2)
    assert isinstance(item, Stored)
    assert item.sequence == sequence


async def test_changes_take_the_end_of_a_task_whatever_a_later_version_says_of_it(bus: MemoryBus, log: TaskLog) -> None:
    ended = codec.to_message(after(queued("bad"), assigned(), failed()))
    ended.failures[0].reason = 9999  # type: ignore[assignment]  # what a later version may write
    sequence = await put(bus, ended.SerializeToString())
    item, _ = await take(log.changes(), 2)
    assert isinstance(item, Stored)
    assert (item.sequence, item.is_final) == (sequence, True)


async def test_a_subject_that_names_no_task_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    assert records.try_to_read(Message("task.too.many.tokens", b"", 7)) is None
    assert [vars(record)["sequence"] for record in caplog.records] == [7]


async def test_the_mark_of_a_dropped_task_is_no_defect(
    bus: MemoryBus, log: TaskLog, caplog: pytest.LogCaptureFixture
) -> None:
    sequence = await put(bus, b"")
    assert await take(log.changes(), 2) == [Dropped(BAD, sequence), CaughtUp()]
    assert await take(log.events(), 2) == [Dropped(BAD, sequence), CaughtUp()]
    assert await log.get(BAD) is None
    assert caplog.records == []
