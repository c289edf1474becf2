"""Whose turn it is to sweep, what is left alone, and what goes for being unused. Races: tests/properties."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from unittest.mock import AsyncMock, MagicMock, Mock, patch

import pytest

from comfymesh import graphs, names
from comfymesh.api import sweeping
from comfymesh.api.access.directory import Directory
from comfymesh.api.assets import Assets
from comfymesh.api.hub import Hub
from comfymesh.api.readmodel import ReadModel
from comfymesh.api.settings import ApiSettings
from comfymesh.api.sweeping import Sweeper
from comfymesh.api.turns import Turns
from comfymesh.api.workflows.registry import Workflows
from comfymesh.api.workflows.store import WorkflowStore
from comfymesh.artifacts.bus_store import BusStore
from comfymesh.artifacts.content import Content
from comfymesh.artifacts.errors import StoreUnavailableError
from comfymesh.bus import subjects
from comfymesh.bus.port import BusFullError, Entry
from comfymesh.bus.records import UnreadableRecordError
from comfymesh.bus.tasklog import TaskLog
from comfymesh.tasks.record import Key, SpecRef
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import DIGEST, queued
from comfymesh.testkit.waiting import until
from comfymesh.v1.workflow_pb2 import Workflow
from comfymesh.v1.workflow_service_pb2 import CreateWorkflowRequest
from comfymesh.wire.v1 import spec_pb2, workflow_record_pb2

HOUR = 3600.0
TERMS = sweeping.terms(grace_hours=6.0, unused_days=10.0)


@dataclass
class World:
    clock: ManualClock
    bus: MemoryBus
    store: BusStore
    assets: Assets
    sweeper: Sweeper

    async def put(self, data: bytes) -> str:
        with Content.of(data) as content:
            await self.store.put("default", content)
            return content.sha256

    async def sweep_for_long(self) -> int:
        count = 0
        for _ in range(3):
            count += await self.sweeper.sweep()
            self.clock.advance(7 * HOUR)
        return count

    async def blobs(self) -> set[str]:
        return {version.sha256 async for version in self.store.versions("default")}


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    clock = ManualClock()
    bus, model = MemoryBus(clock), ReadModel()
    hub, store = Hub(model), BusStore(bus)
    assets = Assets(bus, store, clock, 1000, MagicMock())
    following = asyncio.ensure_future(hub.follow(TaskLog(bus).events()))
    await hub.ready.wait()
    sweeper = Sweeper(bus, store, (model, hub), Directory(bus, clock), assets, TERMS, clock)
    try:
        yield World(clock, bus, store, assets, sweeper)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_one_of_two_has_its_turn_and_the_other_when_that_one_is_gone() -> None:
    clock = ManualClock()
    bus = MemoryBus(clock)
    first, second = Turns(bus, "sweeper"), Turns(bus, "sweeper")
    assert (await first.take(), await second.take()) == (True, False)
    clock.advance(200)
    assert (await first.take(), await second.take()) == (True, False)
    clock.advance(301)
    assert (await second.take(), await first.take()) == (True, False)


async def test_on_a_full_disk_everybody_has_a_turn() -> None:
    bus = MemoryBus()
    turns = Turns(bus, "sweeper")
    with patch.object(bus, "append", AsyncMock(side_effect=BusFullError("full"))):
        assert await turns.take()


async def test_where_a_record_cannot_be_read_nothing_of_its_tenant_goes() -> None:
    async with world() as its:
        await its.bus.append([Entry(subjects.task(Key("default", "odd")), b"\xff no record")])
        await its.put(b"whose is it?")
        assert await its.sweep_for_long() == 0
        (odd,) = its.bus.stored("task.default.odd")
        await TaskLog(its.bus).create(queued("other"), spec_pb2.Spec())
        assert await its.sweep_for_long() == 0
        # The operator removes it, and something else happens to the task.
        await its.bus.append([Entry(odd.subject, b"", odd.sequence)])
        assert await its.sweep_for_long() == 1


@pytest.mark.parametrize("kind", ["asset", "upload"])
async def test_where_an_asset_or_upload_cannot_be_read_nothing_of_its_tenant_goes(kind: str) -> None:
    async with world() as its:
        await its.put(b"whose is it?")
        (odd,) = await its.bus.append([Entry(f"{kind}.default.{'ab' * 32}", b"\xff no record")])
        assert await its.sweep_for_long() == 0
        await its.bus.append([Entry(f"{kind}.default.{'ab' * 32}", b"", odd)])
        assert await its.sweep_for_long() == 1


async def test_an_asset_that_cannot_be_read_is_not_listed_and_hides_no_other() -> None:
    async with world() as its:
        await its.bus.append([Entry(subjects.asset("default", "ab" * 32), b"\xff no record")])
        with Content.of(b"fine") as content:
            asset = await its.assets.keep("default", "", content)
        found, _ = await its.assets.page("default", 0, 10)
        assert [known.record.blob.sha256 for known in found] == [asset.sha256]
        with pytest.raises(UnreadableRecordError, match="nats stream rmm BLOBS"):
            await its.assets.get("default", names.asset("ab" * 32))


async def test_what_a_task_names_stays_and_what_nothing_names_goes() -> None:
    async with world() as its:
        named, _ = await its.put(b"named"), await its.put(b"not named")
        spec = SpecRef(DIGEST, 100, blobs=(named,))
        await TaskLog(its.bus).create(queued(spec=spec), spec_pb2.Spec())
        assert await its.sweep_for_long() == 1
        assert await its.blobs() == {named}


@pytest.mark.parametrize("large", [False, True])
async def test_what_a_record_does_not_name_its_spec_tells(*, large: bool) -> None:
    """As of tasks from before the records had the field, or that an older scheduler or agent has changed."""
    async with world() as its:
        read, _ = await its.put(b"read by the graph"), await its.put(b"not named")
        spec = spec_pb2.Spec(graph_zlib=bytes(10_000 if large else 0), assets=[{"blob": {"sha256": read}}])
        await TaskLog(its.bus).create(queued(spec=SpecRef(DIGEST, 100)), spec)
        assert await its.sweep_for_long() == 1
        assert await its.blobs() == {read}


@pytest.mark.parametrize("there", [b"", b"\xff no spec"])
async def test_where_a_spec_cannot_be_read_nothing_of_its_tenant_goes(there: bytes) -> None:
    async with world() as its:
        await its.put(b"who reads it?")
        await TaskLog(its.bus).create(queued(spec=SpecRef(DIGEST, 100, small=there)), spec_pb2.Spec())
        assert await its.sweep_for_long() == 0


async def test_assets_go_that_nothing_has_used_for_long() -> None:
    async def pieces(data: bytes) -> AsyncIterator[bytes]:
        yield data

    async with world() as its:
        old, used = [(await its.assets.add("default", "", "", pieces(data))).sha256 for data in (b"old", b"used")]
        its.clock.advance(9 * 24 * HOUR)
        assert await its.assets.use("default", used) is not None
        assert await its.sweeper.remove_unused() == 0
        its.clock.advance(2 * 24 * HOUR)
        assert await its.sweeper.remove_unused() == 1
        assert await its.assets.find("default", old) is None
        await its.sweep_for_long()
        assert await its.blobs() == {used}


async def test_on_a_full_disk_an_asset_can_be_removed() -> None:
    async with world() as its:
        with Content.of(b"no longer wanted") as content:
            sha256 = (await its.assets.keep("default", "", content)).sha256
        known = await its.assets.find("default", sha256)
        assert known is not None
        with patch.object(its.bus, "append", AsyncMock(side_effect=BusFullError("full"))):
            assert await its.assets.remove("default", replace(known, sequence=known.sequence - 1)) is False
            assert await its.assets.remove("default", known) is True
        assert await its.assets.find("default", sha256) is None


async def test_an_asset_stays_that_a_workflow_has_as_a_default() -> None:
    async def pieces(data: bytes) -> AsyncIterator[bytes]:
        yield data

    async with world() as its:
        kept, old = [(await its.assets.add("default", "", "", pieces(data))).name for data in (b"kept", b"old")]
        content = workflow_record_pb2.WorkflowContent(inputs=[{"default_value": {"asset": kept}}, {"name": "seed"}])
        await its.bus.append([Entry("workflow.content.default.w.d", content.SerializeToString())])
        its.clock.advance(30 * 24 * HOUR)
        assert await its.sweeper.remove_unused() == 1
        assert await its.assets.find("default", kept.rpartition("/")[2]) is not None
        assert await its.assets.find("default", old.rpartition("/")[2]) is None


async def test_an_asset_stays_that_becomes_a_default_while_a_sweep_is_under_way() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a default"

    async with world() as its:
        asset = await its.assets.add("default", "", "", pieces())
        its.clock.advance(30 * 24 * HOUR)
        shelf, limits = MagicMock(until=AsyncMock()), graphs.DEFAULT_LIMITS
        store = WorkflowStore(its.bus)
        workflows = Workflows(store, shelf, MagicMock(), MagicMock(), its.assets.use, its.clock, limits)
        workflow = Workflow(graph_json='{"1": {"class_type": "LoadImage", "inputs": {"image": "x"}}}')
        place = {"graph_node": "1", "input": "image"}
        workflow.inputs.add(name="image", kind="KIND_IMAGE", targets=[place], default_value={"asset": asset.name})
        look = its.sweeper._defaults

        async def look_before_it_is_one(tenant: str) -> set[str]:
            found = await look(tenant)
            await workflows.create(tenant, CreateWorkflowRequest(workflow_id="w", workflow=workflow))
            return found

        with patch.object(its.sweeper, "_defaults", look_before_it_is_one):
            assert await its.sweeper.remove_unused() == 0
        assert await its.assets.find("default", asset.sha256) is not None


async def test_no_asset_goes_where_a_workflow_cannot_be_read() -> None:
    async with world() as its:
        with Content.of(b"perhaps a default") as content:
            await its.assets.keep("default", "", content)
        await its.bus.append([Entry("workflow.content.default.w.d", b"\xff no record")])
        its.clock.advance(30 * 24 * HOUR)
        assert await its.sweeper.remove_unused() == 0


@pytest.mark.parametrize("wrong", [StoreUnavailableError("it is away"), AssertionError("it is away")])
async def test_what_goes_wrong_in_a_sweep_ends_nobody(wrong: Exception, caplog: pytest.LogCaptureFixture) -> None:
    sweeper, turns = Mock(), Mock()
    sweeper.sweep, turns.take = AsyncMock(side_effect=wrong), AsyncMock(return_value=True)
    running = asyncio.ensure_future(sweeping.run(sweeper, turns, 0.0, 0.01))
    await until(lambda: asyncio.sleep(0, sweeper.sweep.await_count > 1), "a second try")
    assert "it is away" in caplog.text
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_never_is_never() -> None:
    assert sweeping.terms(1.0, 0.0).unused == float("inf")
    settings = ApiSettings()
    assert sweeping.terms(settings.api_blob_grace_hours, settings.api_asset_retention_days) == sweeping.terms(6.0, 90.0)
