from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from comfymesh.agent.comfyui.session import ComfySession
from comfymesh.agent.comfyui.socket import SocketTimings
from comfymesh.agent.comfyui.timings import SessionTimings

from .fake_comfyui import FakeComfy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Polls so slow that a test which passes in time owes it to events, unless it asks for fast ones.
SLOW = SessionTimings(connect=20, poll=600, poll_unheard=600, recheck=0.01, refused=0.05, stop=(0.01,) * 10)
FAST = SessionTimings(connect=20, poll=0.02, poll_unheard=0.02, recheck=0.01, refused=0.05, deaf=0.05)
SOCKET = SocketTimings(open=20, backoff_first=0.01, backoff_last=0.02)


@pytest.fixture
async def fake() -> AsyncIterator[FakeComfy]:
    async with FakeComfy() as fake:
        yield fake


@pytest.fixture
async def session(fake: FakeComfy) -> AsyncIterator[ComfySession]:
    """A session that learns ends from the socket alone."""
    async with ComfySession(fake.url, timings=SLOW, socket_timings=SOCKET) as session:
        await session.wait_connected()  # else it would look whether the server is there at all
        yield session


@pytest.fixture
async def polling(fake: FakeComfy) -> AsyncIterator[ComfySession]:
    """A session that looks often."""
    async with ComfySession(fake.url, timings=FAST, socket_timings=SOCKET) as session:
        yield session
