"""Which audiences are kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock, Mock

import pytest

from comfymesh.client import AccessDenied, CaughtUp, ComfyMeshError, Task, TasksEvent, TaskState
from comfymesh.gateway.audience import Audience, Audiences
from comfymesh.gateway.mesh import Mesh
from comfymesh.gateway.settings import GatewaySettings
from comfymesh.runtime.background import Background


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
