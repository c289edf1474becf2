"""What the edge of the api sees to, whatever becomes of a call."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple
from unittest.mock import AsyncMock, Mock

import grpc
import pytest

from comfymesh.api.access.audit import Audit
from comfymesh.api.access.gate import Admission, Gate
from comfymesh.api.interceptors import Door, Edge
from comfymesh.api.room import Room
from comfymesh.testkit.callers import ANYBODY
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.v1 import fleet_service_pb2


class Details(NamedTuple):
    """A call, before anything of it is read."""

    method: str
    invocation_metadata: tuple[()] = ()


async def test_an_audited_call_that_is_broken_off_is_in_the_audit_log() -> None:
    begun, room, bus = asyncio.Event(), Room(1), MemoryBus()
    gate = Mock(spec=Gate, admit=AsyncMock(return_value=Admission(ANYBODY, float("inf"), 0)))
    door = Door(gate, room, audit := Audit(bus, ManualClock()))

    async def drain(_request: object, _context: object) -> object:
        begun.set()  # And stored; what follows takes a moment.
        return await asyncio.Event().wait()

    async def serve() -> None:
        method: Any = grpc.unary_unary_rpc_method_handler(drain)
        details: Any = Details("/comfymesh.v1.FleetService/DrainNode")
        handler: Any = await Edge(door).intercept_service(AsyncMock(return_value=method), details)
        context = Mock(spec=grpc.aio.ServicerContext, peer=lambda: "ipv4:192.0.2.1:1")
        await handler.unary_unary(fleet_service_pb2.DrainNodeRequest(name="nodes/a"), context)

    call = asyncio.create_task(serve())
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    ((event,), _) = await audit.page(0, 10)
    assert (event.method, event.resource, event.outcome) == (
        "comfymesh.v1.FleetService/DrainNode",
        "nodes/a",
        "CANCELLED",
    )
    assert room.taken == 0
