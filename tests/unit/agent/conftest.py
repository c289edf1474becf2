"""What the agent's unit tests share: time that passes only while everything waits, and a bench."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from types import SimpleNamespace

import pytest

from comfymesh.agent import (
    attempt,
    attempts,
    claim,
    collecting,
    errand,
    host_clock,
    instance,
    keeper,
    namesakes,
    pooling,
    preloading,
    relay,
    warming,
)
from comfymesh.bus import tasklog
from comfymesh.testkit.bench_nodes import Node, settle
from comfymesh.testkit.benches import Bench
from comfymesh.testkit.tasks import NOW
from comfymesh.testkit.virtual_time import VirtualTimeLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"virtual_time": VirtualTimeLoop}


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The agent's clocks show the time of the event loop."""
    loop = asyncio.get_running_loop()
    clock = SimpleNamespace(monotonic=loop.time, time=lambda: NOW + loop.time())
    for module in (
        attempt,
        attempts,
        claim,
        instance,
        errand,
        host_clock,
        keeper,
        namesakes,
        pooling,
        preloading,
        relay,
        warming,
    ):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
async def bench(clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """No graph and no output is so small that it is not stored on its own."""
    for module in (collecting, tasklog):
        monkeypatch.setattr(module, "SMALL_BYTES", 0)
    bench = Bench()
    async with bench.workplace:
        yield bench


@pytest.fixture
async def node(bench: Bench) -> AsyncIterator[Node]:
    node = Node(bench)
    await settle()
    yield node
    await node.close()
