"""Whether a node reports is judged by our own clock, and by the age that the server tells."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from comfymesh import names
from comfymesh.api.fleet import FleetView
from comfymesh.artifacts.bus_store import BusStore
from comfymesh.artifacts.catalogs import write_catalog
from comfymesh.bus import subjects
from comfymesh.bus.intents import Intent, IntentStore
from comfymesh.bus.streams import REPORT_TTL
from comfymesh.runtime.background import Background
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.waiting import until
from comfymesh.v1 import node_pb2
from comfymesh.wire.v1 import node_report_pb2, spec_pb2

TTL = REPORT_TTL.total_seconds()
CORDONED = node_pb2.Node.AVAILABILITY_CORDONED
ACTIVE, UNREACHABLE = node_pb2.Node.STATE_ACTIVE, node_pb2.Node.STATE_UNREACHABLE


@pytest.fixture
def server() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ours() -> ManualClock:
    """Our monotonic clock, which has nothing to do with the server's."""
    return ManualClock(now=50.0)


@asynccontextmanager
async def following(bus: MemoryBus, clock: ManualClock) -> AsyncIterator[FleetView]:
    view = FleetView(bus, BusStore(bus), clock)
    async with Background() as background:
        background.spawn(view.follow(background), "fleet view")
        await asyncio.sleep(0)
        yield view


async def report(bus: MemoryBus, node: str = "a") -> None:
    message = node_report_pb2.NodeReport(node=node_pb2.Node(name=names.node(node)))
    await bus.publish(subjects.report(node), message.SerializeToString())


async def offer(bus: MemoryBus, node: str, catalog: spec_pb2.BlobRef) -> None:
    message = node_report_pb2.NodeReport(node=node_pb2.Node(name=names.node(node)))
    message.offers.add(instance="comfyui", catalog=catalog)
    await bus.publish(subjects.report(node), message.SerializeToString())


async def seen(view: FleetView, count: int = 1) -> None:
    await until(lambda: len(view.nodes()) == count, "the reports")


def states(view: FleetView) -> list[node_pb2.Node.State]:
    return [node.state for node in view.nodes()]


@pytest.mark.parametrize("skew", [-1e6, -60.0, 0.0, 60.0, 1e6])
async def test_clocks_that_differ_make_no_node_unreachable(server: ManualClock, ours: ManualClock, skew: float) -> None:
    server.advance(skew)
    bus = MemoryBus(server)
    async with following(bus, ours) as view:
        await report(bus)
        await seen(view)
        assert states(view) == [ACTIVE]
        ours.advance(TTL - 0.1)
        assert states(view) == [ACTIVE]
        ours.advance(0.2)
        assert states(view) == [UNREACHABLE]


async def test_a_new_report_makes_a_node_active_again(server: ManualClock, ours: ManualClock) -> None:
    bus = MemoryBus(server)
    async with following(bus, ours) as view:
        await report(bus)
        await seen(view)
        ours.advance(2 * TTL)
        assert states(view) == [UNREACHABLE]
        await report(bus)
        await until(lambda: states(view) == [ACTIVE], "the new report")


async def test_reports_from_before_our_start_are_as_old_as_the_server_says(
    server: ManualClock, ours: ManualClock
) -> None:
    bus = MemoryBus(server)
    await report(bus)
    server.advance(TTL - 1)
    async with following(bus, ours) as view:
        await seen(view)
        assert states(view) == [ACTIVE]
        ours.advance(1)
        assert states(view) == [UNREACHABLE]


async def test_the_time_of_a_report_is_told_as_the_server_has_it(server: ManualClock, ours: ManualClock) -> None:
    bus = MemoryBus(server)
    async with following(bus, ours) as view:
        await report(bus)
        await seen(view)
        (node,) = view.nodes()
    assert node.last_report_time.seconds == server()


async def test_what_is_no_report_of_that_node_is_left_out(server: ManualClock, ours: ManualClock) -> None:
    bus = MemoryBus(server)
    async with following(bus, ours) as view:
        await bus.publish(subjects.report("b"), b"\xff\xff")
        await bus.publish(
            subjects.report("c"),
            node_report_pb2.NodeReport(node=node_pb2.Node(name=names.node("a"))).SerializeToString(),
        )
        await report(bus)
        await seen(view)
        assert [node.name for node in view.nodes()] == [names.node("a")]


async def test_catalogs_are_forgotten_once_nobody_offers_them(server: ManualClock, ours: ManualClock) -> None:
    bus = MemoryBus(server)
    store = BusStore(bus)
    first, second = [await write_catalog(store, json.dumps({name: {}}).encode()) for name in ("A", "B")]
    async with following(bus, ours) as view:
        await offer(bus, "one", first)
        await offer(bus, "two", first)
        await until(lambda: set(view._catalogs._held) == {first.sha256}, "the first catalog")
        await offer(bus, "one", second)
        await until(lambda: set(view._catalogs._held) == {first.sha256, second.sha256}, "the second catalog")
        await offer(bus, "two", second)
        await until(lambda: set(view._catalogs._held) == {second.sha256}, "the end of the first")
        ours.advance(3600.0)
        assert view.offers() == []
        assert view._catalogs._held == {}


async def test_what_an_instance_offered_stays_known_while_its_agent_starts_again(
    server: ManualClock, ours: ManualClock
) -> None:
    bus = MemoryBus(server)
    catalog = await write_catalog(BusStore(bus), json.dumps({"A": {"input": {}}}).encode())
    async with following(bus, ours) as view:
        await tell(bus, "one", "two", one=catalog, two=catalog)
        await until(lambda: all(offer.catalog for offer in view.offers()), "the catalogs")
        # The first report of the next life, and then one instance is not there any more.
        await tell(bus, "one", "two")
        await tell(bus, "one")
        await until(lambda: len(view.offers()) == 1, "the last report")
        assert [(offer.instance, offer.catalog is not None) for offer in view.offers()] == [("one", True)]
        assert view.catalogs() == [catalog]
        await tell(bus, "two")
        await until(lambda: [offer.instance for offer in view.offers()] == ["two"], "another instance")
        assert view.catalogs() == []


async def tell(bus: MemoryBus, *instances: str, **offers: spec_pb2.BlobRef) -> None:
    message = node_report_pb2.NodeReport(node=node_pb2.Node(name=names.node("a")))
    for instance in instances:
        message.node.instances.add(name=instance)
    for instance, catalog in offers.items():
        message.offers.add(instance=instance, catalog=catalog)
    await bus.publish(subjects.report("a"), message.SerializeToString())


async def test_offers_are_made_once_and_anew_where_something_is_new(server: ManualClock, ours: ManualClock) -> None:
    bus = MemoryBus(server)
    async with following(bus, ours) as view:
        node = node_pb2.Node(name=names.node("a"), availability=node_pb2.Node.AVAILABILITY_OPEN)
        message = node_report_pb2.NodeReport(node=node)
        message.node.instances.add(name="comfyui", state=node_pb2.Instance.STATE_READY)
        await bus.publish(subjects.report("a"), message.SerializeToString())
        await seen(view)
        (first,) = view.offers()
        assert view.offers()[0] is first
        assert first.catalog is None
        message.offers.add(instance="comfyui", catalog=await write_catalog(BusStore(bus), b"{}"))
        await bus.publish(subjects.report("a"), message.SerializeToString())
        await until(lambda: view.offers()[0].catalog is not None, "the catalog")
        assert not view.offers()[0].trouble
        ours.advance(TTL)
        assert view.offers()[0].trouble == "its node does not report"


async def test_who_begins_knows_when_all_that_is_stored_has_been_read(server: ManualClock, ours: ManualClock) -> None:
    bus = MemoryBus(server)
    catalog = await write_catalog(BusStore(bus), b"{}")
    await tell(bus, "one", one=catalog)
    async with following(bus, ours) as view:
        await view.caught_up.wait()
        await view.looked()
        assert [(offer.instance, offer.catalog is not None) for offer in view.offers()] == [("one", True)]


async def test_who_begins_knows_what_is_wanted_of_nodes(server: ManualClock, ours: ManualClock) -> None:
    bus = MemoryBus(server)
    await IntentStore(bus).change("a", lambda _: Intent("a", CORDONED))
    view = FleetView(bus, BusStore(bus), ours)
    async with Background() as background:
        background.spawn(view.follow_intents(), "intents")
        await view.intents_read.wait()
        assert view.intent("a").availability == CORDONED


async def test_what_is_wanted_now_stays_when_the_stream_tells_late_what_was_wanted_before(
    server: ManualClock, ours: ManualClock
) -> None:
    bus = MemoryBus(server)
    store, view = IntentStore(bus), FleetView(bus, BusStore(bus), ours)
    before = await store.change("a", lambda _: Intent("a", CORDONED))
    now = await store.change("a", lambda _: Intent("a"))
    view.intend(now)
    view.intend(before)
    assert view.intent("a") == now
    view.intend(await store.change("a", lambda _: before))
    assert view.intent("a") == before


async def test_what_is_wanted_in_a_stream_that_was_made_anew_holds(
    server: ManualClock, ours: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def follow(_: IntentStore) -> AsyncIterator[Intent]:
        yield Intent("a", CORDONED, sequence=6)
        yield Intent("b", CORDONED, sequence=7)
        yield Intent("a", reason="anew", sequence=1)

    monkeypatch.setattr(IntentStore, "follow", follow)
    bus = MemoryBus(server)
    view = FleetView(bus, BusStore(bus), ours)
    await view.follow_intents()
    assert view.intents() == [Intent("a", reason="anew")]
