"""How far a follower is behind the log."""

from __future__ import annotations

from comfymesh.bus import subjects
from comfymesh.bus.lag import Lag
from comfymesh.bus.port import Entry
from comfymesh.bus.tasklog import TaskLog
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import queued
from comfymesh.wire.v1 import spec_pb2


async def test_who_has_taken_in_everything_is_not_behind() -> None:
    clock = ManualClock()
    bus = MemoryBus(clock)
    stored = await TaskLog(bus).create(queued(), spec_pb2.Spec())
    lag = Lag(bus)
    clock.advance(5)
    assert await lag.measure() == 5
    lag.took(stored.sequence)
    assert await lag.measure() == 0


async def test_an_empty_log_leaves_nobody_behind() -> None:
    assert await Lag(MemoryBus()).measure() == 0


async def test_a_graph_that_lies_behind_the_last_record_is_nothing_to_be_taken_in() -> None:
    bus = MemoryBus()
    stored = await TaskLog(bus).create(queued(), spec_pb2.Spec())
    lag = Lag(bus, stored.sequence)
    await bus.append([Entry(subjects.spec(stored.key, "digest"), b"a graph")])
    assert await lag.measure() == 0
