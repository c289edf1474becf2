"""What a watcher of the fleet is told, and when."""

from __future__ import annotations

import pytest

from comfymesh.api.fleet_watch import FleetWatch
from comfymesh.v1 import node_pb2
from comfymesh.v1.fleet_service_pb2 import WatchFleetResponse

HEARTBEAT = 15.0


def node(name: str, **fields: str) -> node_pb2.Node:
    return node_pb2.Node(name=f"nodes/{name}", **fields)


def told(messages: list[WatchFleetResponse]) -> list[str]:
    return [message.node.name or message.removed_node or str(message.WhichOneof("event")) for message in messages]


@pytest.fixture
def watch() -> FleetWatch:
    return FleetWatch(HEARTBEAT, now=0.0)


def test_first_come_all_nodes_and_that_they_are_all(watch: FleetWatch) -> None:
    assert told(watch.look([node("a"), node("b")], 0.0)) == ["nodes/a", "nodes/b", "synced"]


def test_a_fleet_without_nodes_is_told_as_well(watch: FleetWatch) -> None:
    assert told(watch.look([], 0.0)) == ["synced"]


def test_then_comes_what_has_changed_and_nothing_else(watch: FleetWatch) -> None:
    watch.look([node("a"), node("b")], 0.0)
    changed = node("b", agent_version="2")
    (message,) = watch.look([node("a"), changed, node("c")][:2], 1.0)
    assert message.node == changed
    assert told(watch.look([node("a"), changed, node("c")], 2.0)) == ["nodes/c"]


def test_that_a_report_has_come_is_no_news(watch: FleetWatch) -> None:
    seen = node("a")
    watch.look([seen], 0.0)
    later = node("a")
    later.last_report_time.seconds = 5
    assert watch.look([later], 1.0) == []


def test_a_node_that_is_gone_is_told_once_and_may_come_back(watch: FleetWatch) -> None:
    watch.look([node("a")], 0.0)
    (gone,) = watch.look([], 1.0)
    assert gone.removed_node == "nodes/a"
    assert watch.look([], 2.0) == []
    assert told(watch.look([node("a")], 3.0)) == ["nodes/a"]


def test_silence_is_broken_by_heartbeats_and_only_silence(watch: FleetWatch) -> None:
    watch.look([node("a")], 0.0)
    assert told(watch.look([node("a"), node("b")], 14.0)) == ["nodes/b"]
    assert watch.look([node("a"), node("b")], 15.0) == []
    assert told(watch.look([node("a"), node("b")], 29.0)) == ["heartbeat"]
    assert watch.look([node("a"), node("b")], 30.0) == []


def test_what_was_told_is_what_was_seen_then(watch: FleetWatch) -> None:
    seen = node("a")
    watch.look([seen], 0.0)
    seen.agent_version = "2"  # The caller goes on with its own object.
    assert told(watch.look([seen], 1.0)) == ["nodes/a"]
