"""Where the api's copy of the log lags: it decides nothing by what it has not read yet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from comfymesh.api import following
from comfymesh.api.following import Following
from comfymesh.bus.port import CaughtUp, Message
from comfymesh.bus.streams import TASKS, Stream
from comfymesh.testkit.apis import GRAPH, Bus, LocalApi, Refused, local_api
from comfymesh.v1 import task_service_pb2, workflow_service_pb2

NAME = "workflows/used"


class Lagging(Bus):
    """A bus whose tasks arrive late once that is asked for: when somebody reads up to where the log is."""

    def __init__(self) -> None:
        super().__init__()
        self.arrives = asyncio.Event()
        self.arrives.set()

    async def tail(self, stream: Stream, subject: str, after: int = 0) -> AsyncGenerator[Message | CaughtUp, None]:
        async for item in super().tail(stream, subject, after):
            if stream is TASKS:
                await self.arrives.wait()
            yield item

    async def after(self, stream: Stream, subject: str, sequence: int, limit: int) -> list[Message]:
        found = await super().after(stream, subject, sequence, limit)
        if stream is TASKS:
            self.arrives.set()
        return found


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[LocalApi]:
    """An api that has two versions of a workflow, and has not read yet that a task was made of the first."""
    bus = Lagging()
    async with local_api(tmp_path, bus) as up:
        graph = {"graph_json": json.dumps(GRAPH)}
        request = workflow_service_pb2.CreateWorkflowRequest(workflow_id="used", workflow=graph)
        await up.call("WorkflowService/CreateWorkflow", request)
        bus.arrives.clear()
        await up.call("TaskService/CreateTask", task_service_pb2.CreateTaskRequest(task={"workflow": NAME}))
        other = json.dumps({**GRAPH, "1": {"class_type": "Load", "inputs": {"name": "b.safetensors"}}})
        changed = {"name": NAME, "graph_json": other}
        update = workflow_service_pb2.UpdateWorkflowRequest(workflow=changed, update_mask={"paths": ["graph_json"]})
        await up.call("WorkflowService/UpdateWorkflow", update)
        assert not bus.arrives.is_set()
        yield up


async def listed(api: LocalApi) -> list[str]:
    answer = await api.call("TaskService/ListTasks", task_service_pb2.ListTasksRequest())
    return [task.name for task in answer.tasks]


async def created_unread(api: LocalApi, bus: Lagging) -> str:
    """A task that the api's copy of the log does not have yet."""
    bus.arrives.clear()
    create = task_service_pb2.CreateTaskRequest(task={"graph_json": json.dumps(GRAPH)})
    return str((await api.call("TaskService/CreateTask", create)).task.name)


async def test_a_task_that_was_created_here_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bus, told = Lagging(), Following.told

    async def arriving(its: Following) -> None:
        asyncio.get_running_loop().call_soon(bus.arrives.set)
        await told(its)

    monkeypatch.setattr(Following, "told", arriving)
    monkeypatch.setattr(following, "_TOLD_SECONDS", 1000.0)
    async with local_api(tmp_path, bus) as up:
        assert await listed(up) == []
        made = await created_unread(up, bus)
        assert await listed(up) == [made]


async def test_a_log_that_does_not_come_keeps_no_list_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = Lagging()
    monkeypatch.setattr(following, "_TOLD_SECONDS", 0.01)
    async with local_api(tmp_path, bus) as up:
        await created_unread(up, bus)
        assert await listed(up) == []
        monkeypatch.setattr(following, "_TOLD_SECONDS", 1000.0)
        assert await listed(up) == [], "nobody waits for it again"
        await created_unread(up, bus)
        assert await listed(up) == [], "nor for what comes after it"
        bus.arrives.set()


async def graph_of_first(api: LocalApi) -> str:
    request = workflow_service_pb2.GetWorkflowVersionRequest(name=f"{NAME}/versions/1")
    return str((await api.call("WorkflowService/GetWorkflowVersion", request)).version.graph_json)


async def test_what_a_task_was_made_of_just_now_is_kept_when_its_workflow_is_deleted(api: LocalApi) -> None:
    await api.call("WorkflowService/DeleteWorkflow", workflow_service_pb2.DeleteWorkflowRequest(name=NAME))
    assert json.loads(await graph_of_first(api)) == GRAPH


async def test_a_version_that_a_task_was_made_of_just_now_can_t_be_deleted(api: LocalApi) -> None:
    request = workflow_service_pb2.DeleteWorkflowVersionRequest(name=f"{NAME}/versions/1")
    with pytest.raises(Refused, match="WORKFLOW_VERSION_IN_USE"):
        await api.call("WorkflowService/DeleteWorkflowVersion", request)
    assert json.loads(await graph_of_first(api)) == GRAPH
