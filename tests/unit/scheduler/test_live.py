"""What a scheduler keeps for its next life."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

from comfymesh.bus.checkpoints import open_kept, temporary
from comfymesh.bus.port import CaughtUp
from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.scheduler import live
from comfymesh.scheduler.live import LAYOUT, LiveTasks
from comfymesh.tasks.events import CancelRequested
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import NOW, queued
from comfymesh.wire.v1 import spec_pb2


async def lived(bus: MemoryBus, folder: Path) -> LiveTasks:
    """A life that has read the log to its end; every task that has ended ran, it is told."""
    known = LiveTasks(await open_kept(bus, str(folder), "scheduler", LAYOUT))
    async for item in TaskLog(bus).changes(known.start):
        if isinstance(item, CaughtUp):
            known.complete()
            return known
        known.take(item, ran=isinstance(item, Stored) and item.is_final)
    raise AssertionError("the log never ends")


async def test_the_next_life_is_told_of_the_newest_runs_and_of_what_has_not_ended(tmp_path: Path) -> None:
    bus = MemoryBus()
    log, ended = TaskLog(bus), list[int]()
    waiting = await log.create(queued("waiting"), spec_pb2.Spec())
    with patch.object(live, "_MOST_RUNS", 3):
        for number in range(5):
            created = await log.create(queued(f"t{number}"), spec_pb2.Spec())
            ended.append((await log.change(created, CancelRequested(), NOW)).sequence)
            (await lived(bus, tmp_path)).close()
    known = await lived(bus, tmp_path)
    assert [stored.sequence for stored in known.ran()] == ended[-3:]
    assert [(stored.key, stored.sequence, stored.data) for stored in known.all()] == [
        (waiting.key, waiting.sequence, waiting.data)
    ]
    assert known.start is not None
    assert known.start.sequence == ended[-1]
    known.close()


async def test_what_goes_with_the_process_is_not_even_written() -> None:
    bus = MemoryBus()
    created = await TaskLog(bus).create(queued(), spec_pb2.Spec())
    known = LiveTasks(temporary(LAYOUT))
    known.take(created, ran=True)
    known.complete()
    assert [*known.all(), *known.ran()] == []
    known.close()
