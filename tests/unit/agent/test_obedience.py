"""The agent obeys what operators want of its node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from comfymesh.agent.obedience import obey
from comfymesh.agent.preloading import Preloads
from comfymesh.agent.reporting import Reporting
from comfymesh.bus import subjects
from comfymesh.bus.intents import Intent, IntentStore
from comfymesh.bus.port import Entry
from comfymesh.tasks.events import Assigned
from comfymesh.tasks.placing import Site
from comfymesh.tasks.record import State
from comfymesh.testkit.bench_nodes import Node, settle
from comfymesh.v1 import node_pb2
from comfymesh.wire.v1 import node_intent_pb2

OPEN = node_pb2.Node.AVAILABILITY_OPEN
CORDONED = node_pb2.Node.AVAILABILITY_CORDONED
DRAINING = node_pb2.Node.AVAILABILITY_DRAINING


@pytest.fixture
async def reporting(node: Node) -> AsyncIterator[Reporting]:
    reporting = Reporting(node.bench.bus, "a", Site(), node.instances, 2, 2.0)
    told = asyncio.Event()
    hearing = await node.bench.bus.subscribe(subjects.wanted("a"), lambda _: told.set())
    obeying = asyncio.create_task(obey(IntentStore(node.bench.bus), "a", reporting, node.attempts, Preloads(), told))
    await settle()
    yield reporting
    obeying.cancel()
    await asyncio.gather(obeying, return_exceptions=True)
    await hearing.close()


async def want(node: Node, availability: node_pb2.Node.Availability, name: str = "a") -> None:
    await IntentStore(node.bench.bus).change(name, lambda _: Intent(name, availability, "why"))
    await asyncio.sleep(0.1)


async def test_without_an_intent_it_takes_work(node: Node, reporting: Reporting) -> None:
    assert (reporting.wanted, node.attempts.closed) == (OPEN, False)


async def test_a_cordoned_node_refuses_offers_until_it_is_open_again(node: Node, reporting: Reporting) -> None:
    await want(node, CORDONED)
    assert (reporting.wanted, node.attempts.closed) == (CORDONED, True)
    stored = await node.bench.task()
    await node.tell(stored, "x")
    assert node.held == []
    await want(node, OPEN)
    await node.tell(stored, "x")
    assert node.held == [("one", 1)]


async def test_a_cordoned_node_keeps_what_it_has(node: Node, reporting: Reporting) -> None:
    await node.tell(await node.bench.task(), "x")
    await want(node, CORDONED)
    assert node.held == [("one", 1)]


async def test_a_drained_node_hands_back_what_has_not_begun(node: Node, reporting: Reporting) -> None:
    await node.tell(await node.bench.task(), "x")
    await node.session.prompt()
    await want(node, DRAINING)
    await asyncio.sleep(1)
    assert node.held == []
    assert node.bench.last().state is State.QUEUED
    assert "drained" in node.bench.last().reason


async def test_a_drained_node_hands_back_what_it_is_told_to_have_after_a_restart(
    node: Node, reporting: Reporting
) -> None:
    await want(node, DRAINING)
    await node.tell(await node.bench.task(Assigned("a", "x")))
    await asyncio.sleep(1)
    assert node.held == []
    assert node.bench.last().state is State.QUEUED
    await want(node, OPEN)
    await node.tell(await node.bench.happen(Assigned("a", "x")))
    assert node.held == [("one", 2)]


async def test_a_drained_node_finishes_what_has_begun(node: Node, reporting: Reporting) -> None:
    await node.tell(await node.bench.task(), "x")
    (await node.session.prompt()).begin()
    await want(node, DRAINING)
    await asyncio.sleep(1)
    assert node.held == [("one", 1)]


async def test_what_is_wanted_of_another_node_is_not_its_business(node: Node, reporting: Reporting) -> None:
    await want(node, CORDONED, name="b")
    assert reporting.wanted == OPEN


async def test_while_the_bus_is_away_the_last_intent_holds(node: Node, reporting: Reporting) -> None:
    await want(node, CORDONED)
    with node.bench.bus.away():
        await asyncio.sleep(60)
        assert (reporting.wanted, node.attempts.closed) == (CORDONED, True)


async def test_an_intent_that_can_not_be_read_is_none(node: Node, reporting: Reporting) -> None:
    await node.bench.bus.append([Entry(subjects.intent("a"), b"\xff\xff")])
    await asyncio.sleep(31)
    assert reporting.wanted == OPEN


async def test_an_intent_that_nobody_tells_of_is_found_by_itself_and_costs_few_reads(
    node: Node, reporting: Reporting, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = list[str]()
    read = IntentStore.read

    async def counted(store: IntentStore, name: str) -> Intent:
        reads.append(name)
        return await read(store, name)

    monkeypatch.setattr(IntentStore, "read", counted)
    message = node_intent_pb2.NodeIntent(availability=CORDONED)
    await node.bench.bus.append([Entry(subjects.intent("a"), message.SerializeToString())])
    await asyncio.sleep(600)
    assert reporting.wanted == CORDONED
    assert len(reads) <= 20
