"""No graph is refused for the lack of what is only being read yet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import cast
from unittest.mock import AsyncMock, Mock

import pytest

from comfymesh.api.catalog_reader import CatalogReader
from comfymesh.api.creation import Creation, NewTask
from comfymesh.api.errors import RefusedError
from comfymesh.api.fleet import FleetView, Offer
from comfymesh.api.inputs import Given
from comfymesh.artifacts.bus_store import BusStore
from comfymesh.artifacts.catalogs import write_catalog
from comfymesh.artifacts.errors import BlobMissingError
from comfymesh.graphs import parse_graph
from comfymesh.runtime.background import Background
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.waiting import until
from comfymesh.v1 import task_pb2, task_service_pb2
from comfymesh.wire.v1 import spec_pb2

GRAPH = '{"1": {"class_type": "Save", "inputs": {}}}'
SAVE = {"Save": {"input": {"required": {}}, "output": [], "output_node": True}}


class SlowStore(BusStore):
    """Answers what was asked once it is let; counts what was asked for."""

    def __init__(self) -> None:
        super().__init__(MemoryBus(ManualClock()))
        self.open = asyncio.Event()
        self.absent = set[str]()
        self.asked = 0

    async def read(self, owner: str, sha256: str, size_bytes: int, offset_bytes: int = 0) -> AsyncIterator[bytes]:
        self.asked += 1
        await self.open.wait()
        if sha256 in self.absent:
            raise BlobMissingError(owner, sha256)
        async for piece in super().read(owner, sha256, size_bytes, offset_bytes):
            yield piece


@dataclass
class Fleet:
    """Instances, each with what it offers, as FleetView has them."""

    reader: CatalogReader
    offered: dict[str, spec_pb2.BlobRef] = field(default_factory=dict)

    def offers(self) -> list[Offer]:
        return [Offer("nodes/a", name, "", self.reader.get(blob.sha256)) for name, blob in self.offered.items()]

    async def looked(self) -> bool:
        return await self.reader.looked()


@pytest.fixture
def store() -> SlowStore:
    return SlowStore()


@pytest.fixture
def reader(store: SlowStore) -> CatalogReader:
    return CatalogReader(store)


@pytest.fixture
async def background() -> AsyncIterator[Background]:
    async with Background() as running:
        yield running


async def catalog(store: SlowStore, classes: dict[str, object]) -> spec_pb2.BlobRef:
    return await write_catalog(store, json.dumps(classes).encode())


async def create(fleet: Fleet, given: Given | None = None) -> NewTask:
    """Have a task prepared, by an api that is up for long."""
    directory, inputs, workflows = Mock(), Mock(read=AsyncMock(return_value=given or Given())), Mock()
    directory.tenant.return_value = None
    workflows.graph = lambda text, _: parse_graph(text)
    creation = Creation(directory, cast(FleetView, fleet), inputs, workflows, Mock(), lambda: 0.0, settle_seconds=0.0)
    return await creation.prepare(task_service_pb2.CreateTaskRequest(task=task_pb2.Task(graph_json=GRAPH)), "t")


async def test_a_graph_waits_for_the_only_catalog_there_is(
    store: SlowStore, reader: CatalogReader, background: Background
) -> None:
    fleet = Fleet(reader, {"one": await catalog(store, SAVE)})
    reader.offer(fleet.offered.values(), background)
    creating = asyncio.create_task(create(fleet))
    await asyncio.sleep(1)
    assert not creating.done()
    store.open.set()
    assert (await creating).graph


async def test_a_graph_that_another_instance_refuses_waits_for_the_one_that_could(
    store: SlowStore, reader: CatalogReader, background: Background
) -> None:
    other, able = await catalog(store, {"Load": {}}), await catalog(store, SAVE)
    store.open.set()
    fleet = Fleet(reader, {"one": other})
    reader.offer([other], background)
    await until(lambda: reader.get(other.sha256))
    with pytest.raises(RefusedError) as refused:
        await create(fleet)
    assert refused.value.reason == "INVALID_WORKFLOW"

    store.open.clear()
    fleet.offered["two"] = able
    reader.offer([able], background)
    creating = asyncio.create_task(create(fleet))
    await asyncio.sleep(1)
    assert not creating.done()
    store.open.set()
    assert (await creating).graph


async def test_an_input_that_another_instance_may_have_is_not_taken_for_misspelt(
    store: SlowStore, reader: CatalogReader, background: Background
) -> None:
    without, having = await catalog(store, save("text")), await catalog(store, save("text", "txt"))
    store.open.set()
    fleet, given = Fleet(reader, {"one": without}), Given({("1", "txt"): "x"})
    reader.offer([without], background)
    await until(lambda: reader.get(without.sha256))
    with pytest.raises(RefusedError, match="did you mean text"):
        await create(fleet, given)

    store.open.clear()
    fleet.offered["two"] = having
    reader.offer([having], background)
    creating = asyncio.create_task(create(fleet, given))
    await asyncio.sleep(1)
    assert not creating.done()
    store.open.set()
    assert (await creating).graph


def save(*optional: str) -> dict[str, object]:
    """What an instance offers of which ComfyUI's own `Save` has these inputs."""
    inputs = {"required": {}, "optional": {name: ["STRING", {}] for name in optional}}
    return {"Save": {"input": inputs, "output": [], "output_node": True, "python_module": "nodes"}}


async def test_a_store_that_hangs_is_waited_for_no_longer_than_five_seconds(
    store: SlowStore, reader: CatalogReader, background: Background
) -> None:
    fleet = Fleet(reader, {"one": await catalog(store, SAVE)})
    reader.offer(fleet.offered.values(), background)
    loop = asyncio.get_running_loop()
    before = loop.time()
    for _ in range(2):
        with pytest.raises(RefusedError, match="no instance has told what it offers"):
            await create(fleet)
    assert loop.time() - before == pytest.approx(5)
    store.open.set()
    assert await until(lambda: reader.get(fleet.offered["one"].sha256))


async def test_one_that_is_missing_is_looked_for_again_for_as_long_as_it_is_offered(
    store: SlowStore, reader: CatalogReader, background: Background
) -> None:
    blob = await catalog(store, SAVE)
    store.open.set()
    store.absent.add(blob.sha256)
    reader.offer([blob], background)
    assert await reader.looked()
    assert not await reader.looked()
    assert reader.get(blob.sha256) is None
    await asyncio.sleep(3)
    asked = store.asked
    assert asked > 1

    reader.keep(set())
    await asyncio.sleep(10)
    assert store.asked <= asked + 1

    reader.offer([blob], background)
    store.absent.clear()
    assert await until(lambda: reader.get(blob.sha256))


async def test_one_that_is_read_when_nobody_offers_it_any_more_is_not_held(
    store: SlowStore, reader: CatalogReader, background: Background
) -> None:
    blob = await catalog(store, SAVE)
    reader.offer([blob], background)
    await until(lambda: store.asked)
    reader.keep(set())
    store.open.set()
    await until(lambda: not reader._reading)
    assert reader.get(blob.sha256) is None
