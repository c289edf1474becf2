"""What the ledger tells is what the slots were busy, whatever became of the attempts and of whoever keeps it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from comfymesh.bus import records
from comfymesh.bus.records import Stored
from comfymesh.bus.tasklog import TaskLog
from comfymesh.tasks import codec, events, usage
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import State, TaskError, TaskRecord, Timing
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import NOW, queued
from comfymesh.testkit.usage import keep, kept
from comfymesh.wire.v1.spec_pb2 import Spec

SLOTS = [("a", "x"), ("a", "y"), ("b", "x")]
_micros = st.integers(0, 5_000_000_000).map(lambda micros: micros / 1e6)


@dataclass(frozen=True)
class Try:
    """An attempt that somebody makes: where, for how long, how it ends, and whether the agent lives to tell."""

    task: int
    slot: int
    load: float
    run: float
    end: str
    told: bool
    shown: bool


tries = st.builds(
    Try,
    task=st.integers(0, 5),
    slot=st.integers(0, len(SLOTS) - 1),
    load=_micros,
    run=_micros,
    end=st.sampled_from(["SUCCEEDED", "CANCELLED", "LATE", "RELEASED", *FailureClass]),
    told=st.booleans(),
    shown=st.booleans(),
)


@dataclass
class World:
    """Slots that execute attempts, and a log that hears of them. Time only passes while one executes."""

    now: float = NOW
    busy: Counter[tuple[str, str]] = field(default_factory=Counter)
    charged: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.bus = MemoryBus(lambda: self.now)
        self.log = TaskLog(self.bus)

    async def make(self, each: Try) -> None:
        """One attempt, where its task may have one."""
        task_id = f"t{each.task}"
        stored = await self.log.get(queued(task_id).key) or await self.log.create(
            queued(task_id, max_retries=9), Spec()
        )
        if stored.record.state is not State.QUEUED:
            return
        stored = await self.append(stored, events.Assigned(*SLOTS[each.slot]))
        if each.end == "RELEASED":
            await self.append(stored, events.Released("handed back"))
            return
        if each.shown or not each.told:
            stored = await self.append(stored, events.Started(self.now))
        micros = round(each.load * 1e6) + round(each.run * 1e6)
        # Whole microseconds, as records have them: else sums of times would be off by one.
        self.now = (round(self.now * 1e6) + micros) / 1e6
        self.busy[SLOTS[each.slot]] += micros
        await self.end(stored, each, Timing(each.load, each.run) if each.told else None)
        if each.end not in usage.UNCHARGED:
            self.charged[task_id] += micros

    async def end(self, stored: Stored, each: Try, timing: Timing | None) -> None:
        """It ends. LATE: it succeeds, and somebody has cancelled it."""
        if each.end in {"CANCELLED", "LATE"}:
            stored = await self.append(stored, events.CancelRequested())
            await self.append(stored, events.Cancelled(timing))
        elif each.end == "SUCCEEDED":
            await self.append(stored, events.Succeeded((), timing=timing))
        else:
            await self.append(stored, events.AttemptFailed(TaskError(FailureClass(each.end), "broke"), timing))

    async def append(self, stored: Stored, event: events.Event) -> Stored:
        return await self.log.change(stored, event, self.now)

    def records(self) -> list[TaskRecord]:
        return [records.read(message).record for message in self.bus.stored("task.>")]


def total(world: World) -> int:
    return sum(world.busy.values())


@given(st.lists(tries, max_size=25), st.sets(st.integers(0, 24)), st.integers(1, 2))
@settings(deadline=None, max_examples=60)
def test_the_sums_are_the_busy_time_of_the_slots(story: list[Try], stops: set[int], keepers: int) -> None:
    async def run() -> None:
        world = World()
        for number, each in enumerate(story):
            await world.make(each)
            if number in stops:
                await keep(world.bus, lambda: world.now, keepers)
        if not story:
            return
        await keep(world.bus, lambda: world.now, keepers)
        found = await kept(world.bus)
        assert found.load_micros + found.run_micros == total(world)
        by_slot = Counter[tuple[str, str]]()
        for record in world.records():
            if (used := usage.of_record(record)) is not None:
                by_slot[used.node, used.instance] += round(used.load_seconds * 1e6) + round(used.run_seconds * 1e6)
        assert by_slot + Counter() == world.busy + Counter()

    asyncio.run(run())


@given(st.lists(tries, max_size=25))
@settings(deadline=None, max_examples=60)
def test_the_last_record_of_a_task_knows_what_it_was_charged_with(story: list[Try]) -> None:
    async def run() -> None:
        world = World()
        for each in story:
            await world.make(each)
        last = {record.key.task_id: record for record in world.records()}
        found = {task_id: round(usage.charged_seconds(record) * 1e6) for task_id, record in last.items()}
        assert found == {task_id: world.charged[task_id] for task_id in last}
        for record in world.records():
            message = codec.to_message(record)
            whole = usage.of_record(codec.from_message(message))
            assert usage.of_record(codec.ending_of(message)) == whole

    asyncio.run(run())
