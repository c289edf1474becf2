"""Who asks for a task again and again is told how it stands, and it is read anew only when that has changed."""

from __future__ import annotations

from comfymesh.api import recent
from comfymesh.api.recent import Recent
from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.tasks.events import CancelRequested
from comfymesh.tasks.record import Key
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import NOW, queued
from comfymesh.wire.v1 import spec_pb2

SPEC = spec_pb2.Spec(graph_zlib=b"graph")


async def test_what_has_not_changed_is_not_read_again() -> None:
    log = TaskLog(MemoryBus())
    known = Recent(log)
    key = (await log.create(queued(), SPEC)).key
    first = await known.get(key)
    assert first is not None
    assert await known.get(key) is first


async def test_nobody_is_told_what_was() -> None:
    log = TaskLog(MemoryBus())
    known = Recent(log)
    created = await log.create(queued(), SPEC)
    assert await known.get(created.key) is not None
    changed = await log.change(created, CancelRequested(), NOW)
    found = await known.get(created.key)
    assert found is not None
    assert (found.sequence, found.data) == (changed.sequence, changed.data)


async def test_a_task_that_is_dropped_and_made_anew_is_another_one() -> None:
    log = TaskLog(MemoryBus())
    known = Recent(log)
    created = await log.create(queued(), SPEC)
    assert await known.get(created.key) is not None
    await log.drop(created)
    assert await known.get(created.key) is None
    again = await log.create(queued(display_name="again"), SPEC)
    found = await known.get(again.key)
    assert found is not None
    assert found.task.display_name == "again"


async def test_the_same_position_of_another_log_is_something_else() -> None:
    log, key = TaskLog(MemoryBus()), Key("default", "task")
    await log.create(queued("task", display_name="one"), SPEC)
    (first, other) = (await log.get(key), TaskLog(MemoryBus()))
    await other.create(queued("task", display_name="two"), SPEC)
    found = await other.get(key, first)
    assert found is not None
    assert found.task.display_name == "two"


async def test_only_so_many_are_kept_and_none_that_is_large() -> None:
    log = TaskLog(MemoryBus())
    known = Recent(log)
    records = [queued(f"t{number}") for number in range(recent._MOST + 1)]
    for record in records:
        await log.create(record, SPEC)
        await known.get(record.key)
    large = queued("large", display_name="x" * recent._LARGEST)
    await log.create(large, SPEC)
    await known.get(large.key)
    kept: dict[Key, Stored] = known._known
    assert len(kept) == recent._MOST
    assert records[0].key not in kept
    assert large.key not in kept
