"""What a scheduler that starts has read before it decides."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from comfymesh import names
from comfymesh.artifacts.store import open_store
from comfymesh.bus import subjects
from comfymesh.bus.checkpoints import temporary
from comfymesh.bus.policies import PolicyStore
from comfymesh.bus.tasklog import TaskLog
from comfymesh.scheduler.clock import SteadyClock
from comfymesh.scheduler.domain.decisions import Decision
from comfymesh.scheduler.domain.events import Event, LogRead, NodeReported, PolicyChanged, TaskChanged
from comfymesh.scheduler.live import LAYOUT, LiveTasks
from comfymesh.scheduler.loop import Scheduler
from comfymesh.tasks.policy import PolicySettings
from comfymesh.testkit.late_bus import LateBus
from comfymesh.testkit.tasks import queued
from comfymesh.testkit.waiting import until
from comfymesh.v1 import node_pb2
from comfymesh.wire.v1 import node_report_pb2, spec_pb2


class Listener:
    """Stands in for the core."""

    def __init__(self) -> None:
        self.heard = list[type[Event]]()

    def handle(self, event: Event, _: float) -> list[Decision]:
        self.heard.append(type(event))
        return []

    def demand(self, _: float) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("late", [subjects.SCHEDULING_SETTINGS, subjects.ALL_REPORTS])
async def test_the_log_is_judged_by_the_policy_and_nothing_is_decided_before_the_reports_are_read(late: str) -> None:
    bus, core = LateBus(late), Listener()
    await TaskLog(bus).create(queued(), spec_pb2.Spec())
    await PolicyStore(bus).replace(PolicySettings(breaker_failures=1), 0)
    report = node_report_pb2.NodeReport(node=node_pb2.Node(name=names.node("a")))
    await bus.publish(subjects.report("a"), report.SerializeToString())
    live, clock = LiveTasks(temporary(LAYOUT)), SteadyClock(lambda: 0.0, lambda: 0.0)
    async with Scheduler(cast("Any", core), bus, open_store("nats:", bus), clock, 600.0, live):
        for _ in range(100):
            await asyncio.sleep(0)
        assert LogRead not in core.heard
        bus.come.set()
        await until(lambda: LogRead in core.heard, "the end of the log")
    assert (core.heard[0], core.heard[-1]) == (PolicyChanged, LogRead)
    assert {TaskChanged, NodeReported} == set(core.heard[1:-1])
