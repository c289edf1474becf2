"""The ledger's keeper: doubts are met by reading again, and what is replaced is not counted twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from comfymesh.bus import records, subjects
from comfymesh.bus import usage as ledger
from comfymesh.bus.port import Entry
from comfymesh.bus.streams import TASKS
from comfymesh.bus.tasklog import TaskLog
from comfymesh.notifier.ledger import LedgerKeeper
from comfymesh.tasks.events import Assigned, Started, Succeeded
from comfymesh.tasks.ledger import MOST_SUMS, OTHERS, Booking, Hour, Kind, Sum
from comfymesh.tasks.record import Timing
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import NOW, queued
from comfymesh.testkit.usage import FIRST, keep, kept
from comfymesh.testkit.waiting import until
from comfymesh.wire.v1.spec_pb2 import Spec


class Bench:
    def __init__(self) -> None:
        self.now = NOW
        self.bus = MemoryBus(lambda: self.now)

    async def run(self, *task_ids: str) -> None:
        """Tasks of a second each."""
        log = TaskLog(self.bus)
        for task_id in task_ids:
            stored = await log.create(queued(task_id), Spec())
            for event in (Assigned("a", "x"), Started(), Succeeded((), timing=Timing(0.25, 0.75))):
                stored = await log.change(stored, event, self.now)
            self.now += 1

    async def keep(self) -> None:
        await keep(self.bus, lambda: self.now)

    async def attempts(self) -> int:
        return (await kept(self.bus)).attempts


async def test_what_was_used_before_the_first_keeper_began_is_counted_and_nothing_twice() -> None:
    bench = Bench()
    await bench.run("one", "two")
    await bench.keep()
    await bench.keep()
    await bench.run("three")
    await bench.keep()
    assert await kept(bench.bus) == Sum(3, 750_000, 2_250_000)


async def test_a_confirmation_that_is_lost_counts_nothing_twice() -> None:
    bench = Bench()
    await bench.run("one", "two")
    bench.bus.lose_confirmations = True
    keeper = asyncio.ensure_future(LedgerKeeper(bench.bus, lambda: bench.now, interval=0.0).keep())
    await until(lambda: bench.bus.stored("usage.>"))
    bench.bus.lose_confirmations = False
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    await bench.keep()
    assert await bench.attempts() == 2


@pytest.mark.parametrize("later", range(12))
async def test_a_keeper_that_is_cancelled_while_it_is_refused_ends(later: int) -> None:
    """In whichever of its steps: in some, what it waits for has just failed."""
    bench = Bench()
    await bench.run("one")
    keepers = [asyncio.ensure_future(LedgerKeeper(bench.bus, lambda: bench.now, interval=0.0).keep()) for _ in "ab"]
    await until(lambda: bench.bus.stored("usage.>"))
    for _ in range(later):
        await asyncio.sleep(0)
    for keeper in keepers:
        keeper.cancel()
    assert all(
        isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*keepers, return_exceptions=True)
    )


async def test_of_a_log_that_went_back_only_what_is_new_is_counted() -> None:
    bench = Bench()
    await bench.run("one", "two")
    await bench.keep()
    # As after a backup was restored: the log has fewer messages than were taken in, and others follow.
    bench.bus.lose(TASKS, after=max(m.sequence for m in bench.bus.stored("task.>") if m.subject.endswith(".one")))
    bench.now += 10
    await bench.run("three", "four")
    await bench.keep()
    await bench.keep()
    assert await bench.attempts() == 4


async def test_an_hour_that_cannot_be_read_holds_nothing_up() -> None:
    bench = Bench()
    await bench.run("one")
    await bench.bus.append([Entry(ledger.subject("default", FIRST), b"\xff")])
    assert await bench.attempts() == 0
    await bench.keep()
    assert await bench.attempts() == 1


async def test_a_defect_while_it_keeps_is_told_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    await bench.run("one")
    whole = records.is_whole

    def broken_once(*arguments: Any) -> bool:
        monkeypatch.setattr(records, "is_whole", whole)
        raise KeyError("a record that nobody thought of")

    monkeypatch.setattr(records, "is_whole", broken_once)
    keeper = asyncio.ensure_future(LedgerKeeper(bench.bus, lambda: bench.now, interval=0.0).keep())
    await until(lambda: bench.bus.stored("usage.>"))
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    assert await bench.attempts() == 1
    assert [vars(told)["action"] for told in caplog.records if told.levelname == "ERROR"] == ["ledger_defect"]


async def test_hours_follow_the_clock_of_the_server() -> None:
    bench = Bench()
    await bench.run("one")
    bench.now += 3600
    await bench.run("two")
    await bench.keep()
    assert [message.subject for message in bench.bus.stored("usage.>")] == [
        ledger.subject("default", FIRST),
        ledger.subject("default", FIRST + 3600),
    ]
    assert len(bench.bus.stored(subjects.LEDGER_POSITION)) == 1


def test_kinds_of_work_are_bounded_and_no_second_is_lost() -> None:
    hour = Hour()
    for number in range(2 * MOST_SUMS):
        kind = Kind(f"workflows/w{number}", (), "", "SUCCEEDED")
        assert hour.take(Booking("t", FIRST, "log", number + 1, kind, Sum(1, 0, 10)))
    assert len(hour.sums) == MOST_SUMS + 1
    assert hour.sums[Kind(OTHERS, (), "", "SUCCEEDED")] == Sum(MOST_SUMS, 0, 10 * MOST_SUMS)
    assert sum(each.run_micros for each in hour.sums.values()) == 20 * MOST_SUMS
