"""The attempts of a node: what it takes in, what it leaves alone, and that each comes to an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from comfymesh.agent.attempts import Attempts
from comfymesh.agent.comfyui.control import Standing
from comfymesh.agent.instance import Instance
from comfymesh.bus import subjects
from comfymesh.bus.port import Message
from comfymesh.bus.tasklog import Stored
from comfymesh.tasks.events import Assigned, CancelRequested, Event, Released, Started
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import State
from comfymesh.testkit.benches import SUCCESS, Bench, prompt_of
from comfymesh.testkit.scripted import unreachable
from comfymesh.testkit.tasks import assigned, failed
from comfymesh.wire.v1 import work_pb2

QUEUED, ASSIGNED, RUNNING = State.QUEUED, State.ASSIGNED, State.RUNNING
CANCELLING, CANCELLED, SUCCEEDED = State.CANCELLING, State.CANCELLED, State.SUCCEEDED

LONG = 0.06


class Node:
    """Node `a` with its instance `x`, and what the scheduler tells it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.session = bench.session
        self.instances: dict[str, Instance] = {"x": bench.instance()}
        self.failed = asyncio.Event()
        self.attempts = Attempts(bench.bus, "a", self.instances, self.failed, previews=False)
        self._taking = asyncio.create_task(self.attempts.take_work())

    async def close(self) -> None:
        self._taking.cancel()
        await asyncio.gather(self._taking, return_exceptions=True)
        await self.attempts.close()

    async def tell(self, stored: Stored, instance: str = "") -> None:
        """The scheduler tells of a task: offers it to an instance, or repeats that the node holds it."""
        work = work_pb2.Work(record=stored.message, log_sequence=stored.sequence, instance=instance)
        await self.send(work.SerializeToString())

    async def send(self, data: bytes) -> None:
        await self.bench.bus.publish(subjects.work("a"), data)
        await settle()

    def order(self, task_id: str = "one", attempt: int = 1) -> None:
        order = work_pb2.StopAttempt(tenant="default", task_id=task_id, attempt=attempt)
        self.attempts.take_order(Message(subjects.control("a"), order.SerializeToString()))

    @property
    def held(self) -> list[tuple[str, int]]:
        return [(claim.key.task_id, claim.number) for claim in self.attempts]


async def settle() -> None:
    """Whatever can happen at once has happened."""
    await asyncio.sleep(0.001)


@pytest.fixture
async def node(bench: Bench) -> AsyncIterator[Node]:
    node = Node(bench)
    yield node
    await node.close()


# What comes in.


async def test_an_offer_is_claimed_run_and_let_go(node: Node, bench: Bench) -> None:
    await node.tell(await bench.task(), "x")
    prompt = await node.session.prompt()
    assert node.held == [("one", 1)]
    prompt.end(SUCCESS)
    await settle()
    assert bench.states() == [QUEUED, ASSIGNED, SUCCEEDED]
    assert node.held == []


async def test_what_is_told_again_is_run_once(node: Node, bench: Bench) -> None:
    stored = await bench.task()
    for _ in range(3):
        await node.tell(stored, "x")
    current = await bench.log.get(stored.key)
    assert current is not None
    await node.tell(current)
    (await node.session.prompt()).end(SUCCESS)
    await settle()
    await node.tell(stored, "x")
    await node.tell(current)
    assert node.session.submitted == [prompt_of()]
    assert bench.states() == [QUEUED, ASSIGNED, SUCCEEDED]


async def test_work_of_an_earlier_attempt_is_left_alone(node: Node, bench: Bench) -> None:
    first = await bench.task(assigned())
    await bench.happen(failed(FailureClass.NODE_LOST))
    await node.tell(await bench.happen(assigned()))
    await node.session.prompt()
    await node.tell(first)
    assert node.held == [("one", 2)]
    assert node.session.submitted == [prompt_of(attempt=2)]


async def test_an_offer_that_somebody_else_took_is_dropped(node: Node, bench: Bench) -> None:
    stored = await bench.task()
    await bench.happen(Assigned("b", "y"))
    await node.tell(stored, "x")
    assert node.held == []
    assert node.session.submitted == []
    assert bench.states() == [QUEUED, ASSIGNED]


async def test_an_offer_that_was_dropped_can_be_made_again(node: Node, bench: Bench) -> None:
    stored = await bench.task()
    await node.tell(stored, "nobody")
    assert bench.states() == [QUEUED]
    await node.tell(stored, "x")
    assert node.held == [("one", 1)]


@pytest.mark.parametrize("data", [b"\xff", b"", work_pb2.Work(instance="x").SerializeToString()])
async def test_work_that_can_not_be_read_costs_nothing_else(node: Node, bench: Bench, data: bytes) -> None:
    await node.send(data)
    await node.tell(await bench.task(), "x")
    assert node.held == [("one", 1)]


async def test_only_what_is_claimed_is_reported(node: Node, bench: Bench) -> None:
    stored = await bench.task()
    bench.bus.lose_confirmations = True
    await node.tell(stored, "x")
    assert node.held == []
    bench.bus.lose_confirmations = False
    await node.session.prompt()
    assert node.held == [("one", 1)]


# Instances that do not serve.


async def test_an_offer_to_an_instance_that_does_not_serve_is_left_alone(node: Node, bench: Bench) -> None:
    node.instances["x"] = bench.instance(serves=False)
    await node.tell(await bench.task(), "x")
    await asyncio.sleep(60)
    assert node.held == []
    assert bench.states() == [QUEUED]


@pytest.mark.parametrize(
    ("happened", "states", "failures"),
    [
        ((), [QUEUED, ASSIGNED, QUEUED], 0),
        ((Started(),), [QUEUED, ASSIGNED, RUNNING, QUEUED], 1),
        ((CancelRequested(),), [QUEUED, ASSIGNED, CANCELLING, CANCELLED], 0),
    ],
)
async def test_an_attempt_waits_for_its_instance_but_not_for_ever(
    node: Node, bench: Bench, happened: tuple[Event, ...], states: list[State], failures: int
) -> None:
    node.instances["x"] = bench.instance(serves=False)
    await node.tell(await bench.task(assigned(), *happened))
    await asyncio.sleep(19)
    assert len(node.held) == 1
    await asyncio.sleep(2)
    assert node.held == []
    assert bench.states() == states
    assert len(bench.last().failures) == failures


async def test_an_attempt_goes_on_when_its_instance_serves_again(node: Node, bench: Bench) -> None:
    instance = node.instances["x"] = bench.instance(serves=False)
    node.session.standing[prompt_of()] = Standing.RUNNING
    await node.tell(await bench.task(assigned(), Started()))
    await asyncio.sleep(10)
    instance.workplace = bench.workplace
    (await node.session.prompt()).end(SUCCESS)
    await settle()
    assert bench.last().state is SUCCEEDED


async def test_an_attempt_of_an_instance_that_is_not_there_any_more_is_handed_back(node: Node, bench: Bench) -> None:
    await node.tell(await bench.task(Assigned("a", "removed")))
    assert bench.states() == [QUEUED, ASSIGNED, QUEUED]
    assert "removed" in bench.last().reason


# Orders.


async def test_an_order_stops_an_attempt_that_the_log_does_not_want(node: Node, bench: Bench) -> None:
    await node.tell(await bench.task(), "x")
    await node.session.prompt()
    await bench.happen(CancelRequested())
    node.order()
    await settle()
    assert bench.states() == [QUEUED, ASSIGNED, CANCELLING, CANCELLED]
    assert node.held == []


@pytest.mark.parametrize(("task_id", "attempt"), [("one", 2), ("one", 0), ("two", 1)])
async def test_an_order_for_something_else_stops_nothing(node: Node, bench: Bench, task_id: str, attempt: int) -> None:
    await node.tell(await bench.task(), "x")
    await node.session.prompt()
    await bench.happen(CancelRequested())
    node.order(task_id, attempt)
    await settle()
    assert bench.last().state is CANCELLING


async def test_an_order_that_can_not_be_read_does_nothing(node: Node, bench: Bench) -> None:
    await node.tell(await bench.task(), "x")
    await node.session.prompt()
    for take in (node.attempts.take_order, node.attempts.take_interest):
        take(Message("x", b"\xff"))
    await settle()
    assert node.held == [("one", 1)]
    assert not node.failed.is_set()


async def test_a_newer_attempt_of_the_same_task_stops_the_older_one(node: Node, bench: Bench) -> None:
    await node.tell(await bench.task(), "x")
    await node.session.prompt()
    await node.tell(await bench.happen(Released("the node was silent")), "x")
    newer = await node.session.prompt()
    await settle()
    assert node.session.cancelled == [prompt_of(attempt=1)]
    assert node.held == [("one", 2)]
    newer.end(SUCCESS)
    await settle()
    assert bench.states() == [QUEUED, ASSIGNED, QUEUED, ASSIGNED, SUCCEEDED]


# Leaving.


async def test_a_node_that_leaves_gives_back_what_has_not_begun_and_waits_for_what_has(
    node: Node, bench: Bench
) -> None:
    for task_id in ("one", "two"):
        await node.tell(await bench.task(task_id=task_id), "x")
    first, _ = await node.session.prompt(), await node.session.prompt()
    first.begin()
    leaving = asyncio.create_task(node.attempts.drain(100, instances_stop=False))
    await asyncio.sleep(50)
    assert bench.states("two") == [QUEUED, ASSIGNED, QUEUED]
    assert not leaving.done()
    first.end(SUCCESS)
    await leaving
    assert bench.last("one").state is SUCCEEDED
    assert node.held == []


async def test_a_node_that_holds_nothing_leaves_at_once(node: Node) -> None:
    before = asyncio.get_running_loop().time()
    await node.attempts.drain(100, instances_stop=True)
    assert asyncio.get_running_loop().time() == before


async def test_what_does_not_end_in_time_goes_on_and_is_adopted_by_the_next_agent(node: Node, bench: Bench) -> None:
    await node.tell(await bench.task(), "x")
    prompt = await node.session.prompt()
    prompt.begin()
    await asyncio.sleep(LONG)
    before = asyncio.get_running_loop().time()
    await node.attempts.drain(10, instances_stop=False)
    await node.close()
    assert asyncio.get_running_loop().time() - before == pytest.approx(10)
    assert bench.last().state is RUNNING
    assert node.session.cancelled == []
    node.session.standing[prompt.prompt_id] = Standing.RUNNING
    next_life = Node(bench)
    stored = await bench.log.get(bench.last().key)
    assert stored is not None
    await next_life.tell(stored)
    (await node.session.prompt()).end(SUCCESS)
    await settle()
    assert node.session.submitted == [prompt.prompt_id]
    assert bench.states() == [QUEUED, ASSIGNED, RUNNING, SUCCEEDED]
    await next_life.close()


async def test_what_does_not_end_in_time_is_given_back_where_the_instances_stop_too(node: Node, bench: Bench) -> None:
    await node.tell(await bench.task(), "x")
    (await node.session.prompt()).begin()
    await node.attempts.drain(10, instances_stop=True)
    assert bench.states() == [QUEUED, ASSIGNED, RUNNING, QUEUED]
    assert bench.last().failures[-1].failure is FailureClass.PREEMPTED


@pytest.mark.parametrize("hang", ["comfyui", "bus"])
async def test_leaving_is_bounded_whatever_hangs(node: Node, bench: Bench, hang: str) -> None:
    await node.tell(await bench.task(), "x")
    (await node.session.prompt()).begin()
    await asyncio.sleep(LONG)
    bench.session.stop_error = unreachable() if hang == "comfyui" else None
    bench.bus.unreachable = hang == "bus"
    before = asyncio.get_running_loop().time()
    await node.attempts.drain(10, instances_stop=True)
    assert asyncio.get_running_loop().time() - before == pytest.approx(13)
    await node.attempts.close()
    bench.bus.unreachable = False
    assert bench.last().state is RUNNING


async def test_a_node_that_leaves_takes_no_offers(node: Node, bench: Bench) -> None:
    await node.attempts.drain(10, instances_stop=False)
    await node.tell(await bench.task(), "x")
    assert node.held == []
    assert bench.states() == [QUEUED]


async def test_a_node_that_leaves_gives_back_what_was_on_its_way(node: Node, bench: Bench) -> None:
    await node.attempts.drain(10, instances_stop=False)
    await node.tell(await bench.task(assigned()))
    assert node.session.submitted == []
    assert bench.states() == [QUEUED, ASSIGNED, QUEUED]


async def test_an_offer_that_is_being_claimed_when_the_node_leaves_is_given_back(node: Node, bench: Bench) -> None:
    stored = await bench.task()
    bench.bus.lose_confirmations = True
    await node.tell(stored, "x")
    leaving = asyncio.create_task(node.attempts.drain(10, instances_stop=False))
    await settle()
    bench.bus.lose_confirmations = False
    await leaving
    assert node.session.submitted == []
    assert bench.states() == [QUEUED, ASSIGNED, QUEUED]


# Defects.


@pytest.mark.parametrize("begins", [True, False])
async def test_a_defect_ends_its_attempt_in_the_log_and_no_other(node: Node, bench: Bench, *, begins: bool) -> None:
    for task_id in ("one", "two"):
        await node.tell(await bench.task(task_id=task_id), "x")
    first, second = await node.session.prompt(), await node.session.prompt()
    if begins:
        first.begin()
        await asyncio.sleep(LONG)
    first.break_off(RuntimeError("a defect"))
    await settle()
    assert bench.last("one").state is QUEUED
    failure = bench.last("one").error
    assert failure is not None
    assert failure.failure is FailureClass.INTERNAL
    assert "a defect" in failure.message
    assert node.held == [("two", 1)]
    second.end(SUCCESS)
    await settle()
    assert bench.last("two").state is SUCCEEDED
    assert not node.failed.is_set()


async def test_a_defect_is_told_when_the_bus_is_back(node: Node, bench: Bench) -> None:
    await node.tell(await bench.task(), "x")
    prompt = await node.session.prompt()
    prompt.begin()
    await asyncio.sleep(LONG)
    with bench.bus.away():
        prompt.break_off(RuntimeError("a defect"))
        await asyncio.sleep(600)
        assert node.held == [("one", 1)]
    await asyncio.sleep(1)
    assert bench.states() == [QUEUED, ASSIGNED, RUNNING, QUEUED]
    assert node.held == []


async def test_a_defect_of_an_attempt_that_is_being_cancelled_cancels_it(node: Node, bench: Bench) -> None:
    await node.tell(await bench.task(), "x")
    prompt = await node.session.prompt()
    await bench.happen(CancelRequested())
    prompt.break_off(RuntimeError("a defect"))
    await settle()
    assert bench.states() == [QUEUED, ASSIGNED, CANCELLING, CANCELLED]


async def test_an_instance_that_goes_down_waits_for_its_attempts(node: Node, bench: Bench) -> None:
    await node.tell(await bench.task(), "x")
    prompt = await node.session.prompt()
    empty = asyncio.create_task(bench.workplace.wait_empty())
    await settle()
    assert not empty.done()
    prompt.end(SUCCESS)
    await empty
