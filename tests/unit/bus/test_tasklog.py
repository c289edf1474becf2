"""The task log on a bus that can be made to fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from comfymesh.bus import guards, subjects
from comfymesh.bus.port import BusUnavailableError, CaughtUp, Entry, Message
from comfymesh.bus.streams import TASKS, Stream
from comfymesh.bus.tasklog import MadeElsewhereError, SpecMissingError, StaleRecordError, Stored, TaskLog
from comfymesh.tasks.events import CancelRequested, Started
from comfymesh.tasks.machine import IllegalTransitionError
from comfymesh.tasks.record import SMALL_BYTES, Key, State
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.memory_bus import ClusterBus, MemoryBus
from comfymesh.testkit.tasks import NOW, after, assigned, queued
from comfymesh.testkit.waiting import take
from comfymesh.wire.v1 import spec_pb2

SPEC = spec_pb2.Spec(graph_zlib=b"graph")


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
def log(bus: MemoryBus) -> TaskLog:
    return TaskLog(bus)


async def test_a_binding_leaves_after_a_day_though_nothing_came_of_it() -> None:
    clock = ManualClock()
    log, derived = TaskLog(MemoryBus(clock)), Key("default", "derived")
    await log.bind(derived, "one")
    clock.advance(23 * 3600)
    with pytest.raises(MadeElsewhereError):
        await log.bind(derived, "two")
    clock.advance(2 * 3600)
    await log.bind(derived, "two")


LARGE = spec_pb2.Spec(graph_zlib=bytes(SMALL_BYTES + 1))


@pytest.mark.parametrize(("spec", "messages"), [(SPEC, 1), (LARGE, 2)], ids=["small", "large"])
async def test_a_task_is_stored_with_its_graph(
    log: TaskLog, bus: MemoryBus, spec: spec_pb2.Spec, messages: int
) -> None:
    stored = await log.create(queued(), spec)
    found = await log.get(stored.key)
    assert found is not None
    assert (found.sequence, found.data) == (stored.sequence, stored.data)
    assert found.record.state is State.QUEUED
    assert found.sequence == messages
    assert await log.spec(found.record) == spec
    # Through every later record the graph can be had.
    later = await log.change(found, assigned(), NOW)
    assert await log.spec(later.record) == spec


async def test_a_second_task_of_that_id_is_refused_and_leaves_the_first_alone(log: TaskLog) -> None:
    first = await log.create(queued(), SPEC)
    with pytest.raises(StaleRecordError) as refused:
        await log.create(queued(priority=9), spec_pb2.Spec(graph_zlib=b"other"))
    assert refused.value.last is not None
    assert refused.value.last.sequence == first.sequence


class BusyBus(MemoryBus):
    """Something happens, once, after an append was refused, or after somebody has looked for the last message."""

    after_refusal: Callable[[], Awaitable[object]] | None = None
    after_look: Callable[[], Awaitable[object]] | None = None

    async def propose(self, entries: Sequence[Entry]) -> list[int | None]:
        stored = await super().propose(entries)
        if None in stored and (happening := self.after_refusal):
            self.after_refusal = None
            await happening()
        return stored

    async def last(self, stream: Stream, subject: str) -> Message | None:
        found = await super().last(stream, subject)
        if happening := self.after_look:
            self.after_look = None
            await happening()
        return found


class TestCreatingWhileATaskOfThatIdIsDropped:
    @pytest.fixture
    def bus(self) -> BusyBus:
        return BusyBus()

    @pytest.fixture
    async def old(self, log: TaskLog) -> Stored:
        return await log.change(await log.create(queued(), LARGE), CancelRequested(), NOW)

    async def mark(self, bus: BusyBus, old: Stored) -> int:
        (sequence,) = await bus.append([Entry(subjects.task(old.key), b"", old.sequence)])
        return sequence

    async def test_it_is_created_where_the_old_one_is_gone_by_then(
        self, log: TaskLog, bus: BusyBus, old: Stored
    ) -> None:
        bus.after_refusal = lambda: log.drop(old)
        new = await log.create(queued(), LARGE)
        assert [message.sequence for message in bus.stored(subjects.task(new.key)) if message.data] == [new.sequence]
        assert await log.spec(new.record) == LARGE

    async def test_it_is_created_where_the_mark_goes_after_it_was_seen(
        self, log: TaskLog, bus: BusyBus, old: Stored
    ) -> None:
        await self.mark(bus, old)
        bus.after_look = lambda: log.drop(old)
        new = await log.create(queued(), LARGE)
        assert [message.sequence for message in bus.stored(subjects.task(new.key)) if message.data] == [new.sequence]
        assert await log.spec(new.record) == LARGE

    async def test_it_keeps_its_graph_where_the_mark_comes_between_graph_and_record(
        self, log: TaskLog, bus: BusyBus, old: Stored
    ) -> None:
        bus.after_refusal = lambda: self.mark(bus, old)
        new = await log.create(queued(), LARGE)
        mark = new.sequence - 2
        await bus.purge(TASKS, subjects.specs(new.key), mark)
        await bus.purge(TASKS, subjects.task(new.key), mark)
        assert await log.get(new.key) is not None
        assert await log.spec(new.record) == LARGE


async def test_of_two_changes_on_the_same_record_the_second_is_refused_and_told_of_the_first(log: TaskLog) -> None:
    stored = await log.create(queued(), SPEC)
    await log.change(stored, CancelRequested(), NOW)
    with pytest.raises(StaleRecordError) as refused:
        await log.change(stored, assigned(), NOW)
    assert refused.value.last is not None
    assert refused.value.last.record.state is State.CANCELLED


async def test_who_is_refused_since_another_change_is_on_its_way_is_told_of_that() -> None:
    log = TaskLog(ClusterBus())
    stored = await log.create(queued(), SPEC)
    first = asyncio.ensure_future(log.change(stored, CancelRequested(), NOW))
    await asyncio.sleep(0)
    with pytest.raises(StaleRecordError) as refused:
        await log.change(stored, assigned(), NOW)
    assert refused.value.last is not None
    assert refused.value.last.data == (await first).data


async def test_where_a_change_that_was_on_its_way_comes_to_nothing_the_next_is_stored() -> None:
    log = TaskLog(ClusterBus())
    stored = await log.create(queued(), SPEC)
    first = asyncio.ensure_future(log.change(stored, CancelRequested(), NOW))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(log.change(stored, assigned(), NOW))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).record.state is State.ASSIGNED


@pytest.mark.parametrize("change", ["create", "bind", "change", "drop"])
async def test_where_nobody_confirms_a_change_that_is_on_its_way_no_other_is_confirmed_either(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "_LOOK_SECONDS", 0.0)
    bus = ClusterBus()
    log = TaskLog(bus)
    stored, new = await log.create(queued(), SPEC), Key("default", "new")
    bus.on_their_way |= {subjects.task(stored.key), subjects.task(new)}
    changes: dict[str, Callable[[], Awaitable[object]]] = {
        "create": lambda: log.create(queued(new.task_id), SPEC),
        "bind": lambda: log.bind(new, "other"),
        "change": lambda: log.change(stored, assigned(), NOW),
        "drop": lambda: log.drop(stored),
    }
    with pytest.raises(BusUnavailableError, match="is being changed"):
        await changes[change]()


async def test_who_makes_a_task_while_another_makes_it_is_told_of_that_one() -> None:
    log = TaskLog(ClusterBus())
    first = asyncio.ensure_future(log.create(queued(), SPEC))
    await asyncio.sleep(0)
    with pytest.raises(StaleRecordError) as refused:
        await log.create(queued(), SPEC)
    assert refused.value.last is not None
    assert refused.value.last.sequence == (await first).sequence


async def test_a_change_that_the_table_does_not_have_is_not_even_sent(log: TaskLog, bus: MemoryBus) -> None:
    stored = await log.create(queued(), SPEC)
    with pytest.raises(IllegalTransitionError):
        await log.change(stored, Started(), NOW)
    assert len(bus.stored(subjects.task(stored.key))) == 1


async def test_an_append_whose_confirmation_was_lost_can_be_repeated(log: TaskLog, bus: MemoryBus) -> None:
    stored = await log.create(queued(), SPEC)
    record = after(stored.record, assigned())
    bus.lose_confirmations = True
    with pytest.raises(BusUnavailableError):
        await log.append(record, stored.sequence)
    bus.lose_confirmations = False
    again = await log.append(record, stored.sequence)
    assert again.record == record
    assert len(bus.stored(subjects.task(stored.key))) == 2


async def test_who_insists_gets_through_in_the_end(log: TaskLog, bus: MemoryBus) -> None:
    stored = await log.create(queued(), SPEC)
    with bus.away():
        insisting = asyncio.ensure_future(log.insist(after(stored.record, assigned()), stored.sequence))
        done, _ = await asyncio.wait({insisting}, timeout=0.05)
        assert not done
    assert (await insisting).record.state is State.ASSIGNED


async def test_history_is_what_came_after(log: TaskLog) -> None:
    first = await log.create(queued(), SPEC)
    second = await log.change(first, assigned(), NOW)
    third = await log.change(second, Started(), NOW)
    assert [s.sequence for s in await log.history(first.key, first.sequence)] == [second.sequence, third.sequence]


async def test_changes_begin_with_every_task_as_it_stands(log: TaskLog) -> None:
    one = await log.create(queued("one"), SPEC)
    two = await log.create(queued("two"), SPEC)
    one = await log.change(one, assigned(), NOW)
    changes = log.changes()
    begun = await take(changes, 3)
    assert [item if isinstance(item, CaughtUp) else item.sequence for item in begun] == [
        two.sequence,
        one.sequence,
        CaughtUp(),
    ]
    later = await log.change(two, CancelRequested(), NOW)
    (item,) = await take(changes, 1)
    assert not isinstance(item, CaughtUp)
    assert item.sequence == later.sequence


async def test_a_graph_that_is_not_there_is_missed(log: TaskLog) -> None:
    with pytest.raises(SpecMissingError, match="one"):
        await log.spec(queued())
