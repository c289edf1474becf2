"""Tells a watcher of the fleet what has changed, as often as it is looked at and no oftener."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from comfymesh.v1 import node_pb2, task_pb2
from comfymesh.v1.fleet_service_pb2 import WatchFleetResponse

LOOK_SECONDS = 1.0
"""Nodes report every few seconds and whenever something changes there; people and dashboards need no more than this."""


class FleetWatch:
    """What one watcher has been told. Pure: whoever has it says how the fleet is now, and sends what is answered.

    Args:
        heartbeat: Longest silence in seconds.
        now: Seconds of a monotonic clock.
    """

    def __init__(self, heartbeat: float, now: float) -> None:
        self._heartbeat = heartbeat
        self._told: dict[str, bytes] = {}
        self._synced = False
        self._last = now

    def look(self, nodes: Iterable[node_pb2.Node], now: float) -> list[WatchFleetResponse]:
        """What the watcher is to be told of a fleet of these nodes."""
        messages = [*self._news(list(nodes)), *self._sync()]
        if not messages and now - self._last >= self._heartbeat:
            messages = [WatchFleetResponse(heartbeat=task_pb2.Heartbeat())]
        if messages:
            self._last = now
        return messages

    def _news(self, nodes: list[node_pb2.Node]) -> Iterator[WatchFleetResponse]:
        for node in nodes:
            if self._told.get(node.name) != (seen := _content(node)):
                self._told[node.name] = seen
                yield WatchFleetResponse(node=node)
        for name in self._told.keys() - {node.name for node in nodes}:
            del self._told[name]
            yield WatchFleetResponse(removed_node=name)

    def _sync(self) -> Iterator[WatchFleetResponse]:
        if not self._synced:
            self._synced = True
            yield WatchFleetResponse(synced=WatchFleetResponse.Synced())


def _content(node: node_pb2.Node) -> bytes:
    """All but the time of the report: it changes with each, and what is silent for too long becomes unreachable."""
    content = node_pb2.Node()
    content.CopyFrom(node)
    content.ClearField("last_report_time")
    return content.SerializeToString(deterministic=True)
