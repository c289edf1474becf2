"""Which audiences are kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock, Mock

import pytest

from comfymesh.client import AccessDenied, CaughtUp, ComfyMeshError, Event, Task, TaskChanged, TasksEvent, TaskState
from comfymesh.gateway.audience import Audience, Audiences
from comfymesh.gateway.mesh import Mesh
from comfymesh.gateway.settings import GatewaySettings
from comfymesh.runtime.background import Background
from comfymesh.testkit.waiting import until


async def refusing() -> AsyncIterator[TasksEvent]:
    raise AccessDenied("who is that", reason="UNAUTHENTICATED", code="UNAUTHENTICATED")
    yield CaughtUp()


async def caught_up() -> AsyncIterator[TasksEvent]:
    yield CaughtUp()
    await asyncio.Event().wait()


async def test_the_audience_of_a_key_that_is_none_is_gone_with_the_answer() -> None:
    mesh = Mock(spec=Mesh, watch_all=refusing)
    async with Background() as background:
        audiences = Audiences(lambda: Audience(mesh, GatewaySettings(), background), background, 60.0)
        for number in range(50):
            with pytest.raises(AccessDenied):
                await audiences.of(f"key {number}").ready()
            audiences.left(f"key {number}")
        assert audiences._open == audiences._closing == audiences._running == {}


async def test_an_audience_stays_for_a_client_that_comes_back() -> None:
    mesh = Mock(spec=Mesh, watch_all=caught_up, tasks=AsyncMock(return_value=[]))
    async with Background() as background:
        audiences = Audiences(lambda: Audience(mesh, GatewaySettings(), background), background, 60.0)
        audience = audiences.of("key")
        await audience.ready()
        audiences.left("key")
        assert audiences.of("key") is audience
        audiences._close("key")


async def breaking() -> AsyncIterator[TasksEvent]:
    raise KeyError("a defect")
    yield CaughtUp()


async def test_a_defect_ends_what_one_key_is_told_and_not_the_process() -> None:
    mesh = Mock(spec=Mesh, watch_all=breaking)
    async with Background() as background:
        audiences = Audiences(lambda: Audience(mesh, GatewaySettings(), background), background, 60.0)
        with pytest.raises(ComfyMeshError, match="a defect of the gateway: KeyError"):
            await audiences.of("key").ready()
        assert not background.failed.is_set()
        mesh.watch_all = caught_up
        mesh.tasks = AsyncMock(return_value=[])
        await audiences.of("key").ready()  # Who comes back is followed anew.


async def test_a_prompt_that_can_not_be_followed_by_a_defect_is_said_and_others_are_followed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    running = Task(name="tasks/one", state=TaskState.RUNNING)
    mesh = Mock(spec=Mesh, watch_all=caught_up, tasks=AsyncMock(return_value=[running]))
    mesh.prompt = AsyncMock(side_effect=KeyError("a defect"))
    async with Background() as background:
        audience = Audience(mesh, GatewaySettings(), background)
        background.spawn(audience.run(), "audience")
        await audience.ready()
        audience.join(Mock(mark="mine", client_id="me"))
        await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        assert "can't be followed by a defect" in caplog.text
        assert not background.failed.is_set()


async def test_what_the_watch_of_all_tells_late_of_a_prompt_that_has_ended_is_told_to_nobody() -> None:
    """They are two streams: the one of a prompt may come to its end before the other tells that it runs."""
    states = TaskState.ASSIGNED, TaskState.RUNNING, TaskState.SUCCEEDED
    assigned, running, ended = (TaskChanged(Task(name="tasks/one", state=state)) for state in states)
    has_ended, all_told, socket = asyncio.Event(), asyncio.Event(), Mock(mark="mine", client_id="me")

    async def watch_all() -> AsyncIterator[TasksEvent]:
        yield CaughtUp()
        yield assigned
        await has_ended.wait()
        await until(lambda: not audience._followers, "the end of who follows the prompt")
        socket.tell.reset_mock()
        yield running
        yield ended
        all_told.set()
        await asyncio.Event().wait()

    async def watch(task: Task, *, previews: bool) -> AsyncIterator[Event]:
        yield running
        yield ended
        has_ended.set()

    mesh = Mock(spec=Mesh, watch_all=watch_all, watch=watch, tasks=AsyncMock(return_value=[]))
    mesh.prompt = AsyncMock(return_value=Mock(id="one", graph={}, outputs=()))
    mesh.texts = AsyncMock(return_value={})
    async with Background() as background:
        audience = Audience(mesh, GatewaySettings(), background)
        audience.join(socket)
        background.spawn(audience.run(), "audience")
        await all_told.wait()
        assert (audience.remaining(), audience._followers) == (0, {})
    assert socket.tell.call_args_list == []
