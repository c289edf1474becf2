"""A watch of the fleet goes on over streams that break, and tells nothing twice."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from comfymesh.client import CaughtUp, FleetEvent, InvalidRequest, NodeChanged, NodeRemoved, RetryPolicy, Unavailable
from comfymesh.client.fleet_watching import fleet
from comfymesh.client.retries import Server
from comfymesh.v1 import node_pb2, task_pb2
from comfymesh.v1.fleet_service_pb2 import WatchFleetResponse

AWAY = Unavailable("away", reason="SERVER_UNREACHABLE")
SYNCED = WatchFleetResponse(synced=WatchFleetResponse.Synced())
HEARTBEAT = WatchFleetResponse(heartbeat=task_pb2.Heartbeat())


def node(name: str, version: str = "1") -> WatchFleetResponse:
    return WatchFleetResponse(node=node_pb2.Node(name=f"nodes/{name}", agent_version=version))


def removed(name: str) -> WatchFleetResponse:
    return WatchFleetResponse(removed_node=f"nodes/{name}")


def told(event: FleetEvent) -> str:
    match event:
        case NodeChanged(node):
            return f"{node.name} {node.agent_version}"
        case NodeRemoved(name):
            return f"{name} gone"
        case CaughtUp():
            return "caught up"


async def played(*streams: list[WatchFleetResponse], end: Exception = AWAY) -> list[str]:
    """What is told when each of these streams breaks after its messages; in the end nothing answers any more."""
    left, now, events = [*streams], [0.0], list[str]()

    async def open_stream() -> AsyncGenerator[WatchFleetResponse]:
        for message in left.pop(0) if left else ():
            yield message
        raise AWAY if left else end

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    server = Server(RetryPolicy(), clock=lambda: now[0], sleep=sleep, chance=lambda: 0.5)

    async def read() -> None:
        async for event in fleet(open_stream, server):
            events.append(told(event))

    with pytest.raises(type(end)):
        await read()
    return events


async def test_all_nodes_come_first_and_then_what_changes() -> None:
    events = await played([node("a"), node("b"), SYNCED, HEARTBEAT, node("a", "2"), removed("b")])
    assert events == ["nodes/a 1", "nodes/b 1", "caught up", "nodes/a 2", "nodes/b gone"]


async def test_a_stream_that_begins_anew_tells_only_what_is_new() -> None:
    first, second = [node("a"), node("b"), SYNCED], [node("a", "2"), node("b"), SYNCED, node("c")]
    assert await played(first, second) == ["nodes/a 1", "nodes/b 1", "caught up", "nodes/a 2", "nodes/c 1"]


async def test_a_node_that_vanished_while_nobody_listened_is_told() -> None:
    events = await played([node("a"), node("b"), SYNCED], [node("a")], [node("a"), SYNCED])
    assert events == ["nodes/a 1", "nodes/b 1", "caught up", "nodes/b gone"]


async def test_a_break_before_all_were_told_takes_none_for_gone() -> None:
    assert await played([node("a"), node("b")], [node("b"), node("a"), SYNCED]) == [
        "nodes/a 1",
        "nodes/b 1",
        "caught up",
    ]


async def test_a_refusal_is_not_tried_again() -> None:
    refused = InvalidRequest("no", reason="INPUT_INVALID", code="INVALID_ARGUMENT")
    assert await played([node("a"), SYNCED], end=refused) == ["nodes/a 1", "caught up"]
