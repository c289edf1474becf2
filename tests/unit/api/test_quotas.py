"""Holding tenants to their limits while the read model is behind the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from unittest.mock import Mock

import pytest

from comfymesh.api.access.directory import Directory
from comfymesh.api.access.quotas import Quotas
from comfymesh.api.access.stored import StoredAssets
from comfymesh.api.errors import RefusedError
from comfymesh.api.hub import Hub
from comfymesh.api.readmodel import ReadModel
from comfymesh.api.workflows.shelf import Shelf
from comfymesh.testkit.clock import ManualClock
from comfymesh.v1 import tenant_pb2


async def _nothing() -> None:
    """Nobody does anything."""


class Lagging:
    """A read model that takes in what was stored when somebody waits for it, and what happens just then."""

    def __init__(self) -> None:
        self.taken = 0
        self.meanwhile: Callable[[], Awaitable[None]] = _nothing

    async def until(self, sequence: int) -> None:
        meanwhile, self.meanwhile = self.meanwhile, _nothing
        await meanwhile()
        self.taken = max(self.taken, sequence)

    def quotas(self, limit: int) -> Quotas:
        """Of a tenant that may have so many tasks waiting."""
        directory, model = Mock(spec=Directory), Mock(spec=ReadModel)
        directory.tenant.return_value = tenant_pb2.Tenant(limits=tenant_pb2.Limits(max_waiting_tasks=limit))
        model.count.side_effect = lambda *_: self.taken
        hub, shelf = Mock(spec=Hub, until=self.until), Mock(spec=Shelf)
        assets = Mock(spec=StoredAssets, bytes_of=Mock(return_value=0))
        return Quotas(directory, model, hub, assets, shelf, ManualClock())


async def test_what_is_stored_while_the_model_catches_up_counts() -> None:
    lagging = Lagging()
    quotas = lagging.quotas(2)
    async with AsyncExitStack() as creating:
        told = [await creating.enter_async_context(quotas.task("lab")) for _ in range(2)]
        both = creating.pop_all()

    async def end() -> None:
        for sequence, stored in enumerate(told, 1):
            stored(sequence)
        await both.aclose()

    lagging.meanwhile = end
    with pytest.raises(RefusedError):
        async with quotas.task("lab"):
            pass
