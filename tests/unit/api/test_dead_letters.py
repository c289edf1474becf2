"""Requeueing and dropping, by several at once and cut short at any step."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from comfymesh.api import readmodel
from comfymesh.api.access.directory import Directory
from comfymesh.api.access.quotas import Quotas
from comfymesh.api.access.stored import StoredAssets
from comfymesh.api.dead_letters import DeadLetters
from comfymesh.api.errors import RefusedError
from comfymesh.api.hub import Hub
from comfymesh.api.query import Query
from comfymesh.api.workflows.shelf import Shelf
from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.tasks import codec
from comfymesh.tasks.dead_letters import successor, successor_key
from comfymesh.tasks.events import CancelRequested, Event, Released, Resolved
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import Key, Resolution, State, TaskRecord
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.memory_bus import ClusterBus, MemoryBus
from comfymesh.testkit.tasks import NOW, after, assigned, failed, queued
from comfymesh.v1 import error_reason_pb2, task_pb2
from comfymesh.wire.v1 import spec_pb2

ONE = Key("default", "one")
SPEC = spec_pb2.Spec(graph_zlib=b"graph")
LARGE = spec_pb2.Spec(graph_zlib=bytes(5000))


@pytest.fixture
def log() -> TaskLog:
    return TaskLog(MemoryBus())


@pytest.fixture
def letters(log: TaskLog) -> Iterator[DeadLetters]:
    bus, clock = MemoryBus(), ManualClock(NOW + 10)
    directory = Directory(bus, clock)
    with closing(readmodel.ReadModel()) as model:
        quotas = Quotas(directory, model, Hub(model), StoredAssets(bus, clock), Shelf(bus), clock)
        yield DeadLetters(log, clock, directory, quotas)


async def put(log: TaskLog, *happened: Event, spec: spec_pb2.Spec = SPEC, task_id: str = "one") -> Stored:
    stored = await log.create(queued(task_id), spec)
    for event in happened:
        stored = await log.change(stored, event, NOW)
    return stored


async def dead(log: TaskLog, spec: spec_pb2.Spec = SPEC) -> Stored:
    return await put(log, assigned(), failed(), spec=spec)


async def now(log: TaskLog, key: Key = ONE) -> TaskRecord:
    stored = await log.get(key)
    assert stored is not None
    return stored.record


@pytest.mark.parametrize("spec", [SPEC, LARGE], ids=["small", "large"])
async def test_what_is_requeued_is_a_new_task_of_the_same_graph(
    log: TaskLog, letters: DeadLetters, spec: spec_pb2.Spec
) -> None:
    new = await letters.requeue(await dead(log, spec))
    assert (new.key, new.record.state, new.record.definition.requeued_from) == (
        successor_key(ONE),
        State.QUEUED,
        "one",
    )
    assert await log.spec(new.record) == spec
    old = await now(log)
    assert (old.state, old.resolution, old.requeued_as) == (State.FAILED, Resolution.REQUEUED, new.key.task_id)


async def test_who_asks_again_gets_the_same_task(log: TaskLog, letters: DeadLetters) -> None:
    letter = await dead(log)
    first = await letters.requeue(letter)
    for known in (letter, await log.get(ONE)):
        assert known is not None
        assert (await letters.requeue(known)).sequence == first.sequence


async def test_many_at_once_make_one_task(log: TaskLog, letters: DeadLetters) -> None:
    letter = await dead(log)
    made = await asyncio.gather(*(letters.requeue(letter) for _ in range(10)))
    assert len({new.sequence for new in made}) == 1
    assert [stored.record.event for stored in await log.history(ONE, 0)].count("Resolved") == 1


async def test_on_a_cluster_too_a_letter_is_requeued_or_dropped_and_never_both(letters: DeadLetters) -> None:
    """Who is refused may ask before the other change can be read (found by chaos on a cluster, seed 71833)."""
    log = TaskLog(ClusterBus())
    letters = replace(letters, log=log)
    letter = await dead(log)
    requeueing = asyncio.ensure_future(letters.requeue(letter))
    await asyncio.sleep(0.005)
    answers = await asyncio.gather(requeueing, letters.drop(letter), return_exceptions=True)
    assert [type(answer) for answer in answers].count(RefusedError) == 1


async def test_what_was_cut_short_is_completed_by_who_asks_again(log: TaskLog, letters: DeadLetters) -> None:
    letter = await dead(log)
    new = await log.create(successor(letter.record, NOW, ""), SPEC)
    assert (await letters.requeue(letter)).sequence == new.sequence
    assert (await now(log)).resolution is Resolution.REQUEUED


async def test_what_was_cut_short_is_not_dropped_but_completed(log: TaskLog, letters: DeadLetters) -> None:
    letter = await dead(log)
    new = await log.create(successor(letter.record, NOW, ""), SPEC)
    with pytest.raises(RefusedError) as refused:
        await letters.drop(letter)
    assert refused.value.metadata["requeued_as"] == f"tasks/{new.key.task_id}"
    assert (await now(log)).resolution is Resolution.REQUEUED


async def test_what_is_dropped_stays_failed_and_is_requeued_by_nobody(log: TaskLog, letters: DeadLetters) -> None:
    letter = await dead(log)
    dropped = await letters.drop(letter)
    assert (dropped.record.state, dropped.record.resolution) == (State.FAILED, Resolution.DROPPED)
    assert (await letters.drop(dropped)).sequence == dropped.sequence
    assert (await letters.drop(letter)).sequence == dropped.sequence
    with pytest.raises(RefusedError) as refused:
        await letters.requeue(dropped)
    assert (refused.value.reason, refused.value.metadata["resolution"]) == ("DEAD_LETTER_RESOLVED", "DROPPED")
    assert await log.get(successor_key(ONE)) is None


async def test_a_task_that_was_made_while_its_dead_letter_was_dropped_is_cancelled(
    log: TaskLog, letters: DeadLetters
) -> None:
    letter = await dead(log)
    await log.change(letter, Resolved(Resolution.DROPPED), NOW)
    with pytest.raises(RefusedError) as refused:
        await letters.requeue(letter)  # It was read before it was dropped.
    assert refused.value.reason == "DEAD_LETTER_RESOLVED"
    assert (await now(log, successor_key(ONE))).state is State.CANCELLED


async def test_a_letter_that_leaves_the_log_meanwhile_is_requeued_all_the_same(
    log: TaskLog, letters: DeadLetters
) -> None:
    letter = await dead(log)
    new = await log.create(successor(letter.record, NOW, ""), SPEC)
    await log.drop(letter)
    assert (await letters.requeue(letter)).sequence == new.sequence
    with pytest.raises(RefusedError) as refused:
        await letters.drop(letter)
    assert refused.value.reason == "TASK_NOT_FOUND"


async def test_a_graph_that_is_gone_can_not_be_requeued(log: TaskLog, letters: DeadLetters) -> None:
    letter = await dead(log, LARGE)
    await log.drop(letter)
    with pytest.raises(RefusedError) as refused:
        await letters.requeue(letter)
    assert refused.value.reason == "TASK_NOT_FOUND"


async def test_a_name_that_somebody_gave_to_another_task_is_left_to_it(log: TaskLog, letters: DeadLetters) -> None:
    letter = await dead(log)
    await put(log, task_id=successor_key(ONE).task_id)
    with pytest.raises(RefusedError) as refused:
        await letters.requeue(letter)
    assert refused.value.reason == "TASK_ALREADY_EXISTS"
    assert (await now(log)).is_dead_letter
    assert (await letters.drop(letter)).record.resolution is Resolution.DROPPED


@pytest.mark.parametrize("happened", [[], [assigned()], [CancelRequested()], [assigned(), Released("x")]])
async def test_what_has_not_failed_is_no_dead_letter(log: TaskLog, letters: DeadLetters, happened: list[Event]) -> None:
    stored = await put(log, *happened)
    for wish in (letters.requeue, letters.drop):
        with pytest.raises(RefusedError) as refused:
            await wish(stored)
        assert (refused.value.reason, refused.value.metadata["state"]) == ("TASK_NOT_FAILED", stored.record.state)


class TestModel:
    @pytest.fixture
    def model(self) -> Iterator[readmodel.ReadModel]:
        made = readmodel.ReadModel()
        yield made
        made.close()

    @staticmethod
    def names(model: readmodel.ReadModel, **query: object) -> list[str]:
        chosen = Query("default", states=(task_pb2.Task.STATE_FAILED,), **query)  # type: ignore[arg-type]
        return [stored.key.task_id for stored in model.page(chosen, 10, None)[0]]

    @staticmethod
    def put(model: readmodel.ReadModel, record: TaskRecord, sequence: int) -> None:
        model.put(Stored(record.key, sequence, codec.encode(record)))

    def test_what_is_resolved_is_left_out_unless_it_is_asked_for(self, model: readmodel.ReadModel) -> None:
        letter = after(queued("a"), assigned(), failed())
        self.put(model, letter, 1)
        self.put(model, after(queued("b", create_time=NOW + 1), CancelRequested()), 2)
        assert self.names(model, unresolved=True) == ["a"]
        self.put(model, after(letter, Resolved(Resolution.DROPPED), now=NOW + 100), 3)
        assert self.names(model, unresolved=True) == []
        assert self.names(model) == ["a"]

    def test_they_are_chosen_by_reason_and_by_when_they_failed(self, model: readmodel.ReadModel) -> None:
        memory = after(queued("a"), assigned(), failed(FailureClass.TIMEOUT), now=NOW + 50)
        self.put(model, memory, 1)
        self.put(model, after(queued("b"), assigned(), failed(FailureClass.NODE_EXCEPTION), now=NOW + 60), 2)
        assert self.names(model, reasons=[error_reason_pb2.ERROR_REASON_TIMEOUT]) == ["a"]
        assert self.names(model, ended_after=NOW + 60) == ["b"]
        assert self.names(model, ended_before=NOW + 60) == ["a"]
        # A resolution does not change when it failed.
        self.put(model, after(memory, Resolved(Resolution.DROPPED), now=NOW + 100), 3)
        assert self.names(model, ended_before=NOW + 60) == ["a"]

    def test_a_group_ended_when_its_last_task_did(self, model: readmodel.ReadModel) -> None:
        letter = after(queued("a", group="g"), assigned(), failed(), now=NOW + 5)
        self.put(model, letter, 1)
        self.put(model, after(letter, Resolved(Resolution.DROPPED), now=NOW + 100), 2)
        summary = model.group("default", "groups/g")
        assert summary is not None
        assert (summary.updated, summary.sequence) == (NOW + 5, 2)
