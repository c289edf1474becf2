"""What is wrong with a mesh is named, with what to do; what is well is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from comfymesh.cli import diagnosis
from comfymesh.cli.diagnosis import Finding, Level
from comfymesh.client import Availability, Estimate, Gpu, Host, Instance, InstanceState, Node, NodeState, Queue
from comfymesh.client.scheduling_models import QueueShare

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WELL = Node(
    "nodes/gpu-1",
    NodeState.ACTIVE,
    Availability.OPEN,
    gpus=(Gpu("GPU-1", "L40S", 48 << 30, temperature_celsius=60, uncorrected_errors=0),),
    instances=(Instance("comfyui-0", InstanceState.READY),),
    agent_version="1.0",
    host=Host(100, 50, 100, 50),
)


def bad(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level is not Level.OK]


def test_a_node_that_is_well_is_counted_and_no_more() -> None:
    (finding,) = diagnosis.of_nodes([WELL])
    assert finding == Finding(Level.OK, "1 of 1 nodes can run tasks")


def test_a_fleet_without_nodes_can_run_nothing() -> None:
    (finding,) = diagnosis.of_nodes([])
    assert finding.level is Level.FAILURE
    assert "comfymesh-agent check" in finding.advice


@pytest.mark.parametrize(
    ("node", "what"),
    [
        (replace(WELL, state=NodeState.UNREACHABLE), "gpu-1 does not report"),
        (replace(WELL, availability=Availability.CORDONED, wanted_reason="fan"), "no new work: cordoned (fan)"),
        (replace(WELL, instances=()), "has no ComfyUI instance"),
        (
            replace(WELL, instances=(Instance("comfyui-0", InstanceState.QUARANTINED, "crash loop"),)),
            "gpu-1/comfyui-0 is quarantined: crash loop",
        ),
    ],
)
def test_what_keeps_a_node_from_running_tasks_is_named(node: Node, what: str) -> None:
    failure, warning = bad(list(diagnosis.of_nodes([node])))
    assert failure == Finding(Level.FAILURE, "0 of 1 nodes can run tasks", "see below what each of them lacks")
    assert warning.level is Level.WARNING
    assert what in warning.what
    assert warning.advice


@pytest.mark.parametrize(
    ("node", "what"),
    [
        (replace(WELL, host=Host(100, 4, 100, 50)), "short of memory: 4 B of 100 B"),
        (replace(WELL, host=Host(100, 50, 100, 4)), "short of disk"),
        (replace(WELL, gpus=(replace(WELL.gpus[0], uncorrected_errors=3),)), "3 uncorrected memory errors"),
        (replace(WELL, gpus=(replace(WELL.gpus[0], temperature_celsius=95),)), "is at 95 C"),
    ],
)
def test_what_will_become_trouble_is_named(node: Node, what: str) -> None:
    (warning,) = bad(list(diagnosis.of_nodes([node])))
    assert warning.level is Level.WARNING
    assert what in warning.what


def test_what_is_not_known_is_no_trouble() -> None:
    unknown = replace(WELL, host=Host(), gpus=(Gpu("GPU-1", "L40S", 48 << 30),))
    assert bad(list(diagnosis.of_nodes([unknown]))) == []


def test_agents_of_different_versions_are_told() -> None:
    (warning,) = bad(list(diagnosis.of_nodes([WELL, replace(WELL, name="nodes/gpu-2", agent_version="0.9")])))
    assert "0.9, 1.0" in warning.what


@pytest.mark.parametrize(
    ("waited", "start", "level"),
    [
        (30, None, Level.OK),
        (700, Estimate(timedelta(seconds=5), timedelta(seconds=1)), Level.OK),
        (700, None, Level.WARNING),
    ],
)
def test_a_long_wait_without_an_end_in_sight_is_told(waited: int, start: Estimate | None, level: Level) -> None:
    total = QueueShare(3, 1, NOW - timedelta(seconds=waited), start)
    (finding,) = diagnosis.of_queue(Queue(total), NOW)
    assert finding.level is level
    assert "3 tasks wait and 1 run" in finding.what
