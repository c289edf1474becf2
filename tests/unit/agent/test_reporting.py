"""Reports: everything, every time, and nothing that can end them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from comfymesh.agent.attempts import Attempts
from comfymesh.agent.claim import Claim
from comfymesh.agent.condition import Condition, InstanceState
from comfymesh.agent.instance import Instance
from comfymesh.agent.reporting import Reporting
from comfymesh.bus import subjects
from comfymesh.bus.port import Message
from comfymesh.tasks.events import Assigned
from comfymesh.tasks.placing import Site
from comfymesh.testkit.benches import Bench
from comfymesh.testkit.memory_bus import MAX_PAYLOAD
from comfymesh.v1 import node_pb2
from comfymesh.wire.v1 import node_report_pb2, spec_pb2

if TYPE_CHECKING:
    from comfymesh.wire.v1.node_report_pb2 import NodeReport

SECONDS = 2.0
SITE = Site({"zone": "eu"}, "nvidia-l40s", 48 * 2**30, "video")
CATALOG = spec_pb2.BlobRef(sha256="ef" * 32, size_bytes=5)


class Held:
    """The attempts of a node: just their claims."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []

    def __iter__(self) -> Iterator[Claim]:
        return iter(self.claims)


class Reporter:
    """Reports of node `a`, and what was heard of them."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.held = Held()
        self.attempts = cast("Attempts", self.held)
        self.instances: dict[str, Instance] = {"x": bench.instance()}
        self.reporting = self.another_life()
        self.heard: list[tuple[float, NodeReport]] = []

    def another_life(self) -> Reporting:
        return Reporting(self.bench.bus, "a", SITE, self.instances, 2, SECONDS)

    def hear(self, message: Message) -> None:
        report = node_report_pb2.NodeReport.FromString(message.data)
        self.heard.append((asyncio.get_running_loop().time(), report))

    async def report(self) -> NodeReport:
        await self.reporting.send(self.attempts)
        await asyncio.sleep(0.001)
        return self.heard[-1][1]

    async def instance(self) -> node_pb2.Instance:
        (instance,) = (await self.report()).node.instances
        return instance

    def is_(self, condition: Condition) -> None:
        self.instances["x"].condition = condition


@pytest.fixture
async def reporter(bench: Bench) -> Reporter:
    reporter = Reporter(bench)
    await bench.bus.subscribe(subjects.report("a"), reporter.hear)
    return reporter


@pytest.fixture
async def running(reporter: Reporter) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(reporter.reporting.run(reporter.attempts))
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def moments(reporter: Reporter, since: float) -> list[float]:
    return [round(time - since, 3) for time, _ in reporter.heard]


async def test_a_report_says_who_the_node_is(reporter: Reporter) -> None:
    node = (await reporter.report()).node
    assert node.name == "nodes/a"
    assert node.state == node_pb2.Node.STATE_ACTIVE
    assert node.availability == node_pb2.Node.AVAILABILITY_OPEN
    assert dict(node.labels) == {"zone": "eu"}
    assert node.agent_version


async def test_a_report_says_what_an_instance_is_and_holds_in_memory(reporter: Reporter) -> None:
    instance = await reporter.instance()
    assert (instance.gpu_class, instance.vram_bytes, instance.pool) == ("nvidia-l40s", 48 * 2**30, "video")
    assert not instance.resident_models
    reporter.instances["x"].workplace = reporter.bench.workplace
    reporter.bench.workplace.residency.ran(("a", "b"), ("a", "b"))
    assert (await reporter.instance()).resident_models == ["a", "b"]


@pytest.mark.parametrize(
    ("state", "attempts", "told"),
    [
        (InstanceState.STARTING, 0, node_pb2.Instance.STATE_STARTING),
        (InstanceState.READY, 0, node_pb2.Instance.STATE_READY),
        (InstanceState.READY, 1, node_pb2.Instance.STATE_BUSY),
        (InstanceState.READY, 2, node_pb2.Instance.STATE_BUSY),
        (InstanceState.DOWN, 0, node_pb2.Instance.STATE_DOWN),
        (InstanceState.DOWN, 1, node_pb2.Instance.STATE_DOWN),
    ],
)
async def test_an_instance_that_serves_and_has_attempts_is_busy(
    reporter: Reporter, bench: Bench, state: InstanceState, attempts: int, told: node_pb2.Instance.State
) -> None:
    for number in range(attempts):
        reporter.held.claims.append(bench.held(await bench.task(Assigned("a", "x"), task_id=f"t{number}")))
    reporter.is_(Condition(state, "why", "1.2.3"))
    instance = await reporter.instance()
    assert (instance.state, instance.held_attempts, instance.slots) == (told, attempts, 2)
    assert (instance.state_reason, instance.comfyui_version, instance.runtime) == ("why", "1.2.3", "process")


async def test_attempts_are_told_with_the_instance_that_has_them(reporter: Reporter, bench: Bench) -> None:
    reporter.held.claims.append(bench.held(await bench.task(Assigned("a", "y"))))
    report = await reporter.report()
    (held,) = report.attempts
    assert (held.tenant, held.task_id, held.attempt, held.instance) == ("default", "one", 1, "y")
    assert report.node.instances[0].held_attempts == 0


async def test_what_an_instance_offers_is_told_also_while_it_is_down(reporter: Reporter) -> None:
    assert (await reporter.report()).offers == []
    reporter.is_(Condition(InstanceState.DOWN, catalog=CATALOG))
    (offer,) = (await reporter.report()).offers
    assert (offer.instance, offer.catalog) == ("x", CATALOG)


async def test_reports_of_one_life_are_numbered_and_another_life_has_another_name(reporter: Reporter) -> None:
    first, second = await reporter.report(), await reporter.report()
    assert (first.sequence, second.sequence) == (1, 2)
    assert first.boot_id == second.boot_id
    reporter.reporting = reporter.another_life()
    third = await reporter.report()
    assert third.sequence == 1
    assert third.boot_id != first.boot_id


async def test_reports_are_sent_at_intervals(reporter: Reporter, running: asyncio.Task[None]) -> None:
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(2.5 * SECONDS)
    assert moments(reporter, began) == [0, SECONDS, 2 * SECONDS]


async def test_a_change_is_told_at_once_and_what_changes_together_is_told_together(
    reporter: Reporter, running: asyncio.Task[None]
) -> None:
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(1)
    for _ in range(100):
        reporter.reporting.changed()
        await asyncio.sleep(0.0001)
    await asyncio.sleep(0.5)
    assert moments(reporter, began) == [0, 1.05]


async def test_a_change_during_a_report_is_not_missed(reporter: Reporter, running: asyncio.Task[None]) -> None:
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(0)
    reporter.reporting.changed()
    await asyncio.sleep(0.5)
    assert moments(reporter, began) == [0, 0.05]


async def test_a_drain_is_announced_at_once_and_stays_told(reporter: Reporter, running: asyncio.Task[None]) -> None:
    await asyncio.sleep(1)
    await reporter.reporting.announce_drain(reporter.attempts)
    await asyncio.sleep(1.5)
    told = [report.node.availability for _, report in reporter.heard]
    assert told == [node_pb2.Node.AVAILABILITY_OPEN, *2 * [node_pb2.Node.AVAILABILITY_DRAINING]]


async def test_reports_go_on_after_the_bus_was_away(
    reporter: Reporter, running: asyncio.Task[None], bench: Bench
) -> None:
    await asyncio.sleep(1)
    with bench.bus.away():
        await asyncio.sleep(10 * SECONDS)
    await asyncio.sleep(SECONDS)
    assert [report.sequence for _, report in reporter.heard] == [1, 12]


async def test_a_drain_is_no_failure_though_the_bus_is_away(reporter: Reporter, bench: Bench) -> None:
    with bench.bus.away():
        await reporter.reporting.announce_drain(reporter.attempts)
    assert (await reporter.report()).node.availability == node_pb2.Node.AVAILABILITY_DRAINING


async def test_a_report_that_is_too_large_does_not_end_the_next_ones(
    reporter: Reporter, running: asyncio.Task[None], caplog: pytest.LogCaptureFixture
) -> None:
    instance = reporter.instances["x"]
    reporter.is_(replace(instance.condition, version="x" * MAX_PAYLOAD))
    await asyncio.sleep(1.5 * SECONDS)
    assert "can't be sent" in caplog.text
    reporter.is_(Condition(InstanceState.READY))
    await asyncio.sleep(SECONDS)
    assert [report.sequence for _, report in reporter.heard] == [1, 3]


async def test_a_long_reason_is_cut(reporter: Reporter) -> None:
    reporter.is_(Condition(InstanceState.DOWN, "x" * 10_000))
    assert len((await reporter.instance()).state_reason) == 512
