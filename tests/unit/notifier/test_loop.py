"""The notifier on a bus in memory: what is told becomes true in one step, whatever happens to the bus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from comfymesh.bus import subjects
from comfymesh.bus.port import Entry, StreamState
from comfymesh.bus.streams import ALERTING, Stream
from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.notifier import loop, memory
from comfymesh.notifier.domain.core import Core
from comfymesh.notifier.domain.rules import Rules
from comfymesh.notifier.loop import Notifier
from comfymesh.notifier.main import begin
from comfymesh.notifier.memory import Memory
from comfymesh.tasks.events import Started
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import Key, TaskRecord
from comfymesh.testkit.alerting import rules_of
from comfymesh.testkit.late_bus import LateBus
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import NOW, after, assigned, failed, queued
from comfymesh.testkit.waiting import until
from comfymesh.v1.alert_pb2 import AlertNotice, Silence
from comfymesh.v1.node_pb2 import Host, Node
from comfymesh.wire.v1.node_report_pb2 import NodeReport
from comfymesh.wire.v1.spec_pb2 import Spec

RULES = rules_of({"kind": "task_failed", "wait": 0, "group_by": ["task"]}, {"kind": "silent", "for": 3600})


class SlowToTell(LateBus):
    """Counts how often the notifier has looked at the clock."""

    looks = 0

    async def state(self, stream: Stream) -> StreamState:
        self.looks += stream is ALERTING
        return await super().state(stream)


class Bench:
    def __init__(self, bus: MemoryBus | None = None, rules: Rules = RULES) -> None:
        self.now = NOW
        self.bus = bus or MemoryBus(lambda: NOW)
        self.rules = rules
        self.called: list[Stored] = []
        self.at_once: list[AlertNotice] = []
        self.logged: list[AlertNotice] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Notifier]:
        store = Memory(self.bus)
        state = await begin(self.bus, store)
        notifier = Notifier(
            Core(self.rules, state, NOW),
            self.rules,
            self.bus,
            store,
            call=self._call,
            tell_now=self.at_once.append,
            log=self.logged.append,
            clock=lambda: self.now,
            tick=0.01,
        )
        async with notifier:
            yield notifier
            assert notifier.superseded or not notifier.failed.is_set()

    async def _call(self, stored: Stored) -> None:
        self.called.append(stored)

    async def fail(self, task_id: str, **definition: str) -> TaskRecord:
        log = TaskLog(self.bus)
        stored = await log.create(queued(task_id, **definition), Spec())
        record = after(stored.record, assigned(), failed(FailureClass.NODE_EXCEPTION))
        return (await log.append(record, stored.sequence)).record

    def notices(self) -> list[AlertNotice]:
        return [AlertNotice.FromString(message.data) for message in self.bus.stored(subjects.ALL_NOTICES)]

    def told(self) -> list[str]:
        return [notice.alert.labels["task"] for notice in self.notices()]


async def test_what_fails_is_told_once_and_written_down() -> None:
    bench = Bench()
    async with bench.running():
        await bench.fail("one")
        await until(lambda: bench.logged)
    assert bench.told() == ["one"]
    async with bench.running():
        await bench.fail("two")
        await until(lambda: len(bench.logged) == 2)
    assert bench.told() == ["one", "two"]


async def test_what_failed_while_it_was_away_is_told_and_nothing_from_before_its_first_start() -> None:
    bench = Bench()
    await bench.fail("before")
    async with bench.running():
        await bench.fail("one")
        await until(lambda: bench.told() == ["one"])
    await bench.fail("two")
    async with bench.running():
        await until(lambda: bench.told() == ["one", "two"])


async def test_a_notifier_that_is_killed_as_soon_as_it_has_begun_forgets_nothing() -> None:
    bench = Bench()
    await begin(bench.bus, Memory(bench.bus))
    await bench.fail("one")
    async with bench.running():
        await until(lambda: bench.told() == ["one"])


async def test_what_was_counted_before_an_end_counts_in_the_next_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_LONGEST_UNSTORED", 0.01)
    bench = Bench(rules=rules_of({"kind": "task_failed", "wait": 0, "count": 2}))

    def counts() -> bool:
        (kept,) = bench.bus.stored(subjects.NOTIFIER_STATE)
        return bool(memory.decode(kept.data).alerts)

    async with bench.running():
        await bench.fail("one")
        await until(counts)
    async with bench.running():
        await bench.fail("two")
        await until(bench.notices)
    assert [notice.new_count for notice in bench.notices()] == [2]


async def test_what_is_in_the_outbox_is_told_by_the_next_life_and_not_twice() -> None:
    bench = Bench()
    async with bench.running():
        await bench.fail("one")
        await until(lambda: bench.logged)
    # The state as it was stored before the notice left the outbox.
    (kept,) = bench.bus.stored(subjects.NOTIFIER_STATE)
    assert [notice.alert.signal.labels["task"] for notice in memory.decode(kept.data).outbox] == ["one"]
    stored = bench.notices()
    async with bench.running():
        await bench.fail("two")
        await until(lambda: bench.told() == ["one", "two"])
    assert bench.notices()[0] == stored[0]


async def test_while_the_bus_is_away_people_are_told_directly_and_the_history_later() -> None:
    rules = rules_of({"kind": "silent", "roles": ["nats"], "for": 0, "clear_for": 0})
    bench = Bench(rules=rules)
    clock = [NOW]
    store = Memory(bench.bus)
    state = await begin(bench.bus, store)
    notifier = Notifier(
        Core(rules, state, NOW),
        rules,
        bench.bus,
        store,
        call=bench._call,
        tell_now=bench.at_once.append,
        log=bench.logged.append,
        clock=lambda: clock[0],
        tick=0.01,
    )
    async with notifier:
        await until(lambda: bench.bus.stored(subjects.NOTIFIER_STATE))
        with bench.bus.away():
            await until(lambda: clock.__setitem__(0, clock[0] + 1) or bench.at_once)
            assert bench.notices() == []
        await until(lambda: len(bench.notices()) == 2)
    assert [notice.name for notice in bench.at_once] == [bench.notices()[0].name]


async def test_records_that_want_to_be_called_for_are_handed_on_before_they_are_passed() -> None:
    bench = Bench()
    async with bench.running():
        await bench.fail("one", callback_url="https://example.org")
        await bench.fail("two")
        await until(lambda: bench.told() == ["one", "two"])
    assert [stored.key.task_id for stored in bench.called] == ["one", "one"]


async def test_silences_come_and_go() -> None:
    bench = Bench()
    async with bench.running() as notifier:
        silence = Silence(name="silences/a", rules=["task-*"])
        silence.end_time.FromSeconds(int(NOW) + 100)
        await bench.bus.append([Entry(subjects.silence("a"), silence.SerializeToString())])
        await until(lambda: notifier._core.silences)
        await bench.fail("one")
        await until(lambda: notifier._core.state.alerts)
        await bench.bus.append([Entry(subjects.silence("a"), b"")])
        await until(lambda: not notifier._core.silences)
        await bench.fail("two")
        await until(lambda: bench.told() == ["two"])


@pytest.mark.parametrize("late", [subjects.SILENCES, subjects.ACKNOWLEDGEMENTS])
async def test_nothing_is_told_before_it_is_known_what_nobody_is_to_be_told_of(late: str) -> None:
    bench = Bench(bus := SlowToTell(late, lambda: NOW))
    async with bench.running() as notifier:
        await bench.fail("one")
        looks = bus.looks
        await until(lambda: bus.looks > looks + 3)
        assert notifier._core.state.alerts == {}
        silence = Silence(name="silences/a", rules=["task-*"])
        silence.end_time.FromSeconds(int(NOW) + 100)
        await bench.bus.append([Entry(subjects.silence("a"), silence.SerializeToString())])
        bus.come.set()
        await until(lambda: notifier._core.state.alerts)
        assert notifier._core.state.outbox == []
    assert bench.told() == []


@pytest.mark.parametrize("late", [subjects.ALL_TASKS, subjects.ALL_REPORTS])
async def test_what_lasts_has_not_ended_while_a_notifier_that_has_just_started_still_reads(late: str) -> None:
    rules = rules_of(
        {"kind": "queue_length", "above": 1, "clear_for": 0}, {"kind": "disk_low", "below": 9, "clear_for": 0}
    )
    bench = Bench(bus := SlowToTell(clock=lambda: NOW), rules)
    for task_id in ("one", "two"):
        await TaskLog(bus).create(queued(task_id), Spec())
    node = Node(name="nodes/a", host=Host(disk_bytes=10, disk_free_bytes=1))
    await bus.publish(subjects.report("a"), NodeReport(node=node).SerializeToString())
    async with bench.running():
        await until(lambda: len(bench.notices()) == 2)
    bus.late = late
    async with bench.running() as notifier:
        for _ in range(2):
            looks = bus.looks
            await until(lambda: bus.looks > looks + 3)  # noqa: B023  # it ends within this round
            assert len(notifier._core.state.alerts) == 2
            bus.come.set()
            await until(lambda: notifier._core.complete)
    assert {notice.kind for notice in bench.notices()} == {AlertNotice.KIND_FIRING}


async def test_a_task_that_told_of_its_progress_before_anybody_listened_is_not_stalled() -> None:
    bench = Bench(rules=rules_of({"kind": "stalled_task", "above": 60}))
    log = TaskLog(bench.bus)
    for task_id in ("busy", "quiet"):
        stored = await log.create(queued(task_id), Spec())
        await log.append(after(stored.record, assigned(), Started(NOW - 100), now=NOW - 100), stored.sequence)
    await bench.bus.publish(subjects.progress(Key("default", "busy")), b"")
    async with bench.running():
        await until(bench.notices)
    assert bench.told() == ["quiet"]


async def test_while_the_bus_is_away_no_task_is_quiet() -> None:
    bench = Bench(rules=rules_of({"kind": "stalled_task", "above": 60}))
    log = TaskLog(bench.bus)
    stored = await log.create(queued("busy"), Spec())
    await log.append(after(stored.record, assigned(), Started(NOW)), stored.sequence)
    async with bench.running() as notifier:
        await until(lambda: notifier._core.complete)
        with bench.bus.away():
            await until(lambda: notifier._deaf)
            bench.now += 1000
            await until(lambda: notifier._core.state.time == bench.now)
        await until(lambda: notifier._core._view.deaf_since is None)
        assert notifier._core.state.alerts == {}
        bench.now += 61
        await until(lambda: notifier._core.state.alerts)


async def test_an_unreadable_record_and_report_stop_nothing() -> None:
    bench = Bench()
    async with bench.running():
        await bench.bus.append([Entry("task.default.bad", b"\xff\xff\xff")])
        await bench.bus.publish(subjects.report("a"), b"\xff\xff\xff")
        await bench.bus.append([Entry(subjects.acknowledgement("0" * 16), b"\xff\xff")])
        await bench.fail("one")
        await until(lambda: bench.told() == ["one"])


async def test_an_acknowledgement_that_can_not_be_read_stops_nothing() -> None:
    bench = Bench()
    async with bench.running() as notifier:
        await bench.fail("one")
        await until(lambda: bench.told() == ["one"])
        for alert_id in notifier._core.state.alerts:
            await bench.bus.append([Entry(subjects.acknowledgement(alert_id), b"\xff\xff")])
        await bench.fail("two")
        await until(lambda: bench.told() == ["one", "two"])


async def test_a_log_that_was_replaced_is_followed_from_its_end() -> None:
    bench = Bench()
    async with bench.running():
        await bench.fail("one")
        await until(lambda: bench.told() == ["one"])
    (kept,) = bench.bus.stored(subjects.NOTIFIER_STATE)
    other = Bench()
    await other.bus.append([Entry(subjects.NOTIFIER_STATE, kept.data)])
    async with other.running():
        await other.fail("two")
        await until(lambda: "two" in other.told())


async def test_the_second_of_two_ends() -> None:
    bench = Bench()
    async with bench.running() as one:
        await until(lambda: bench.bus.stored(subjects.NOTIFIER_STATE))
        async with bench.running() as two:
            await bench.fail("one")
            await until(lambda: one.superseded or two.superseded)
    assert bench.told() == ["one"]


@pytest.mark.parametrize("lost", [False, True])
async def test_confirmations_that_are_lost_double_nothing(*, lost: bool) -> None:
    bench = Bench()
    async with bench.running():
        await until(lambda: bench.bus.stored(subjects.NOTIFIER_STATE))
        await bench.fail("one")
        bench.bus.lose_confirmations = lost
        await until(lambda: bench.bus.stored(subjects.NOTIFIER_STATE))
        bench.bus.lose_confirmations = False
        await until(lambda: bench.told() == ["one"])
    assert bench.told() == ["one"]
