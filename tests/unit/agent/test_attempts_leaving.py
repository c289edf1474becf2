"""The attempts of a node come to an end: when it leaves, and when there is a defect."""

from __future__ import annotations

import asyncio

import pytest

from comfymesh.agent.comfyui.control import Standing
from comfymesh.tasks.events import CancelRequested
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import State
from comfymesh.testkit.bench_nodes import Node, settle
from comfymesh.testkit.benches import SUCCESS, Bench
from comfymesh.testkit.scripted import unreachable
from comfymesh.testkit.tasks import assigned

QUEUED, ASSIGNED, RUNNING = State.QUEUED, State.ASSIGNED, State.RUNNING
CANCELLING, CANCELLED, SUCCEEDED = State.CANCELLING, State.CANCELLED, State.SUCCEEDED

LONG = 0.06


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
    assert node.session.cancelled == node.session.submitted
    assert bench.states() == [QUEUED, ASSIGNED, QUEUED]


async def test_nothing_is_followed_once_the_node_has_left(node: Node, bench: Bench) -> None:
    before = asyncio.all_tasks()
    await node.tell(await bench.task(), "x")
    (await node.session.prompt()).begin()
    await node.attempts.close()
    assert node.held == []
    assert asyncio.all_tasks() == before


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
