"""Which audiences are kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock, Mock

import pytest

from comfymesh.client import AccessDenied, CaughtUp, TasksEvent
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
