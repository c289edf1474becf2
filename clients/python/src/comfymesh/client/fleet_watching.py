"""Watches the fleet over streams that may break, without the caller noticing."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from comfymesh.client.errors import Unavailable
from comfymesh.client.events import CaughtUp, NodeChanged, NodeRemoved
from comfymesh.client.fleet_convert import node_from_proto
from comfymesh.client.statuses import STREAM_BROKEN
from comfymesh.v1 import fleet_service_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from comfymesh.client.events import FleetEvent
    from comfymesh.client.fleet_models import Node
    from comfymesh.client.retries import Server

    OpenFleet = Callable[[], AsyncGenerator[fleet_service_pb2.WatchFleetResponse]]


async def fleet(open_stream: OpenFleet, server: Server) -> AsyncGenerator[FleetEvent]:
    """What happens to nodes, without end. Begins with all nodes, then `CaughtUp`, which comes once.

    Raises:
        ComfyMeshError: The watch was refused, or the server stayed away for too long.
    """
    retrier, known = server.retrier(), _Known()
    while True:
        try:
            known.begin()
            async with aclosing(open_stream()) as messages:
                async for message in messages:
                    retrier.succeeded()
                    for event in known.news(message):
                        yield event
            broken = Unavailable("The server ended a stream that has no end.", reason=STREAM_BROKEN, code="UNAVAILABLE")
        except Unavailable as error:
            broken = error
        await retrier.failed(broken)


class _Known:
    """What has been told, over all streams. Each of them begins with all nodes anew."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._caught_up = False
        self._unseen: set[str] = set()

    def begin(self) -> None:
        """A new stream is opened."""
        self._unseen = set(self._nodes)

    def news(self, message: fleet_service_pb2.WatchFleetResponse) -> Iterator[FleetEvent]:
        """What a message tells that has not been told."""
        match message.WhichOneof("event"):
            case "node":
                yield from self._changed(node_from_proto(message.node))
            case "removed_node":
                yield from self._removed(message.removed_node)
            case "synced":
                for name in sorted(self._unseen):
                    yield from self._removed(name)
                if not self._caught_up:
                    self._caught_up = True
                    yield CaughtUp()

    def _changed(self, node: Node) -> Iterator[FleetEvent]:
        self._unseen.discard(node.name)
        if self._nodes.get(node.name) != node:
            self._nodes[node.name] = node
            yield NodeChanged(node)

    def _removed(self, name: str) -> Iterator[FleetEvent]:
        self._unseen.discard(name)
        if self._nodes.pop(name, None) is not None:
            yield NodeRemoved(name)
