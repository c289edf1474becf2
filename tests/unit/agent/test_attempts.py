"""The attempts of a node: what it takes in, what it leaves alone, and what orders do."""

from __future__ import annotations

import asyncio

import pytest

from comfymesh.agent.comfyui.control import Standing
from comfymesh.agent.comfyui.events import Preview
from comfymesh.agent.domain.past import Past
from comfymesh.bus import subjects
from comfymesh.bus.port import Message, StreamState
from comfymesh.tasks.events import Assigned, CancelRequested, Event, Released, Started
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import State
from comfymesh.testkit.bench_nodes import Node, settle
from comfymesh.testkit.benches import SUCCESS, Bench, prompt_of
from comfymesh.testkit.tasks import assigned, failed
from comfymesh.wire.v1 import work_pb2

QUEUED, ASSIGNED, RUNNING = State.QUEUED, State.ASSIGNED, State.RUNNING
CANCELLING, CANCELLED, SUCCEEDED = State.CANCELLING, State.CANCELLED, State.SUCCEEDED

LONG = 0.06


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


async def test_of_what_is_offered_each_attempt_counts_once_and_what_is_held_does_not(node: Node, bench: Bench) -> None:
    stored = await bench.task()
    for _ in range(2):
        await node.tell(stored, "x")
    await node.tell(await bench.task(assigned(), task_id="two"))
    assert node.attempts.offers_taken() == {"x": 1}


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
    assert node.session.cancelled == node.session.submitted
    assert bench.states() == [QUEUED, ASSIGNED]


async def test_an_offer_that_was_refused_is_not_executed_when_it_is_told_again(node: Node, bench: Bench) -> None:
    stored = await bench.task()
    await bench.happen(Assigned("b", "y"))
    for _ in range(2):
        await node.tell(stored, "x")
    assert node.session.submitted == [prompt_of()]


async def test_the_next_life_executes_nothing_again_that_ended_and_was_forgotten(node: Node, bench: Bench) -> None:
    """Whatever was on its way to the agent when it died, and whatever a scheduler that lags behind repeats."""
    stored = await bench.task()
    await node.tell(stored, "x")
    await settle()
    current = await bench.log.get(stored.key)
    assert current is not None
    (await node.session.prompt()).end(SUCCESS)
    await settle()
    await node.close()
    next_life = Node(bench, Past())
    await next_life.tell(stored, "x")
    await next_life.tell(current)
    await next_life.close()
    assert node.session.submitted == [prompt_of()]
    assert bench.states() == [QUEUED, ASSIGNED, SUCCEEDED]


@pytest.mark.parametrize("end", [0, 1 << 40])
async def test_whoever_says_where_the_log_ends_is_not_believed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, end: int
) -> None:
    """A server that was cut off from its cluster does not know that it leads no more."""

    async def state(_: object) -> StreamState:
        return StreamState("", end, 0.0)

    monkeypatch.setattr(bench.bus, "state", state)
    node = Node(bench, Past())
    stored = await bench.task()
    bench.bus.lose_confirmations = True
    await node.tell(stored, "x")
    assert node.session.submitted == [], "nothing is fresh yet"
    bench.bus.lose_confirmations = False
    (await node.session.prompt()).end(SUCCESS)
    await settle()
    later = await bench.task(task_id="two")
    bench.bus.lose_confirmations = True
    await node.tell(later, "x")
    assert node.session.submitted == [prompt_of(), prompt_of("two")], "it comes behind the claim to the first"
    bench.bus.lose_confirmations = False
    await node.close()


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
    await node.session.prompt()
    assert node.held == []
    bench.bus.lose_confirmations = False
    await asyncio.sleep(60)
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


async def test_what_has_not_begun_gives_way_and_that_is_not_counted(node: Node, bench: Bench) -> None:
    await node.tell(await bench.task(), "x")
    await node.session.prompt()
    node.order(preempted=True)
    await settle()
    assert bench.states() == [QUEUED, ASSIGNED, QUEUED]
    assert (bench.last().releases, bench.last().reason) == (0, "handed back: for another")


@pytest.mark.parametrize("running", [False, True])
async def test_what_has_begun_gives_way_only_where_it_may(node: Node, bench: Bench, *, running: bool) -> None:
    await node.tell(await bench.task(), "x")
    prompt = await node.session.prompt()
    prompt.begin()
    await asyncio.sleep(LONG)
    node.order(preempted=True, running=running)
    await settle()
    if running:
        assert bench.states() == [QUEUED, ASSIGNED, RUNNING, QUEUED]
        assert bench.last().failures[-1].failure is FailureClass.PREEMPTED
    else:
        assert node.session.cancelled == []
        prompt.end(SUCCESS)
        await settle()
        assert bench.states() == [QUEUED, ASSIGNED, RUNNING, SUCCEEDED]


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


async def test_an_older_attempt_that_is_being_stopped_is_reported_and_waited_for(node: Node, bench: Bench) -> None:
    node.session.obedient = False
    await node.tell(await bench.task(), "x")
    older = await node.session.prompt()
    older.begin()
    await node.tell(await bench.happen(failed(FailureClass.NODE_LOST)), "x")
    newer = await node.session.prompt()
    await settle()
    assert node.held == [("one", 1), ("one", 2)]
    newer.end(SUCCESS)
    leaving = asyncio.create_task(node.attempts.drain(10, instances_stop=False))
    await settle()
    assert not leaving.done()
    older.end(SUCCESS)
    await leaving
    assert node.held == []
    assert bench.last().state is SUCCEEDED


async def test_previews_of_an_attempt_are_sent_to_who_is_interested(node: Node, bench: Bench) -> None:
    previews: list[Message] = []
    await bench.bus.subscribe("preview.>", previews.append)
    await node.tell(await bench.task(), "x")
    prompt = await node.session.prompt()
    prompt.begin()
    for task_id in ("one", "another"):
        interest = work_pb2.PreviewInterest(tenant="default", task_id=task_id)
        node.attempts.take_interest(Message(subjects.interest("a"), interest.SerializeToString()))
    prompt.tell(Preview(b"image", "image/png", prompt.prompt_id, "1"))
    await asyncio.sleep(1)
    assert len(previews) == 1
