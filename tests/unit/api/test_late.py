"""Nothing is answered that the next call to the same process would contradict, however late its streams are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from unittest.mock import AsyncMock, MagicMock, Mock

import pytest

from comfymesh import graphs, names
from comfymesh.api.access.directory import Directory
from comfymesh.api.errors import RefusedError
from comfymesh.api.workflows.registry import Workflows
from comfymesh.api.workflows.shelf import Shelf
from comfymesh.api.workflows.store import WorkflowStore
from comfymesh.bus import subjects
from comfymesh.bus.port import CaughtUp, Entry, Message
from comfymesh.bus.streams import Stream
from comfymesh.runtime.background import Background
from comfymesh.tasks.moments import timestamp
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.v1 import key_pb2, tenant_pb2
from comfymesh.v1.workflow_pb2 import Workflow
from comfymesh.v1.workflow_service_pb2 import CreateWorkflowRequest, UpdateWorkflowRequest
from comfymesh.wire.v1.account_pb2 import KeyRecord

KEY = names.key("lab", "k0123456789abcdef")
LAMP = Workflow(name="workflows/lamp", graph_json='{"1": {"class_type": "Load", "inputs": {"steps": 1}}}')


class SlowBus(MemoryBus):
    """Whatever its streams tell, they tell a second late."""

    async def tail(self, stream: Stream, subject: str, after: int = 0) -> AsyncGenerator[Message | CaughtUp, None]:
        async for item in super().tail(stream, subject, after):
            await asyncio.sleep(1)
            yield item


@asynccontextmanager
async def following(followed: Directory | Shelf) -> AsyncIterator[None]:
    async with Background() as background:
        background.spawn(followed.follow(), "follower")
        await followed.ready.wait()
        yield


async def test_a_key_that_another_process_has_revoked_is_answered_once_it_is_revoked_here() -> None:
    bus, key = SlowBus(), KeyRecord(key=key_pb2.Key(name=KEY), secret_sha256=b"x")
    directory = Directory(bus, ManualClock())
    (first,) = await bus.append([Entry(subjects.key(*names.parse_key(KEY)), key.SerializeToString(), 0)])
    async with following(directory):
        key.key.revoke_time.CopyFrom(timestamp(1.0))
        await bus.append([Entry(subjects.key(*names.parse_key(KEY)), key.SerializeToString(), first)])
        assert directory.keys("lab") != [key], "it is on its way"
        assert await directory.change_key(KEY, lambda _: False) == key
        assert directory.keys("lab") == [key]


async def test_a_tenant_that_is_said_to_be_there_is() -> None:
    bus, tenant = SlowBus(), tenant_pb2.Tenant(name="tenants/lab")
    directory = Directory(bus, ManualClock())
    async with following(directory):
        await bus.append([Entry(subjects.tenant("lab"), tenant.SerializeToString(), 0)])
        with pytest.raises(RefusedError, match="TENANT_ALREADY_EXISTS"):
            await directory.add_tenant(tenant)
        assert directory.tenant("lab") is not None


def workflows(bus: SlowBus, shelf: Shelf) -> Workflows:
    following = MagicMock(current=AsyncMock(), model=Mock(has_tasks_of=lambda *_: False))
    store, limits = WorkflowStore(bus), graphs.DEFAULT_LIMITS
    return Workflows(store, shelf, following, MagicMock(), AsyncMock(), ManualClock(), limits)


async def test_what_another_process_has_done_to_a_workflow_is_answered_once_it_is_listed_so() -> None:
    bus = SlowBus()
    shelf = Shelf(bus)
    here, elsewhere = workflows(bus, shelf), workflows(bus, Mock(spec=Shelf))
    update = UpdateWorkflowRequest(workflow=Workflow(name=LAMP.name, graph_json=LAMP.graph_json.replace("1}", "2}")))
    update.update_mask.paths.append("graph_json")
    changes: list[Callable[[Workflows], Awaitable[object]]] = [
        lambda process: process.create("lab", CreateWorkflowRequest(workflow_id="lamp", workflow=LAMP)),
        lambda process: process.update("lab", update),
        lambda process: process.delete_version("lab", f"{LAMP.name}/versions/1"),
    ]
    async with following(shelf):
        for change in changes:
            await change(elsewhere)
            await change(here)
            ((found,), _) = shelf.page("lab", lambda _: True, 10, "")
            assert found.etag == (await here.get("lab", LAMP.name)).etag
        await elsewhere.delete("lab", LAMP.name, "")
        await here.delete("lab", LAMP.name, "")
        assert shelf.page("lab", lambda _: True, 10, "") == ([], "")
