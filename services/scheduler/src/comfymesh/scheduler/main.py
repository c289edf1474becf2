"""The scheduler's process."""

from __future__ import annotations

import asyncio
import socket
import time
from datetime import timedelta
from uuid import uuid4

from comfymesh.artifacts.store import open_store
from comfymesh.bus.checkpoints import open_kept
from comfymesh.bus.tasklog import TaskLog
from comfymesh.runtime import service
from comfymesh.runtime.background import Background
from comfymesh.runtime.connect import open_bus
from comfymesh.scheduler.clock import SteadyClock
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.janitor import Janitor
from comfymesh.scheduler.lease import Lease
from comfymesh.scheduler.live import LAYOUT, LiveTasks
from comfymesh.scheduler.loop import Scheduler
from comfymesh.scheduler.metering import Metering
from comfymesh.scheduler.settings import SchedulerSettings
from comfymesh.tasks.retention import Retention
from comfymesh.telemetry.sampling import sample

_TICK = 0.25
_PARTS = {"decisions": 10.0, "lease": 10.0}
"""What must work, and for how many seconds it may be silent."""


async def serve(settings: SchedulerSettings, stop: asyncio.Event) -> None:
    """Schedule, or stand by, until `stop` is set."""
    async with await service.unless_stopped(stop, open_bus(settings, "scheduler")) as bus, Background() as background:
        store = open_store(settings.artifacts_url, bus)
        core = Core(report_ttl=settings.scheduler_report_ttl, resend_after=settings.scheduler_resend_after)
        retention = Retention(timedelta(days=settings.task_retention_days).total_seconds())
        janitor = Janitor(TaskLog(bus), retention, time.time)
        kept = await service.unless_stopped(stop, open_kept(bus, settings.checkpoint_dir, "scheduler", LAYOUT))
        live = LiveTasks(kept)
        clock = SteadyClock(time.time, time.monotonic)
        metering = Metering(bus, clock, settings.scheduler_report_ttl, live.start.sequence if live.start else 0)
        async with (
            Scheduler(core, bus, store, clock, _TICK, live, metering) as scheduler,
            Lease(bus, _holder()) as lease,
        ):
            scheduler.lead(leading=False)
            background.spawn(sample(settings.metrics_sample_seconds, scheduler.measure), "metrics")
            background.spawn(_take_turns(scheduler, lease), "turns")
            background.spawn(janitor.run(), "janitor")
            await service.until(stop, scheduler.failed, lease.failed, background.failed)


async def _take_turns(scheduler: Scheduler, lease: Lease) -> None:
    while True:
        scheduler.lead(leading=await lease.changed())


def _holder() -> str:
    """A name that no other process has, not even the next life of this one."""
    return f"{socket.gethostname()}/{uuid4().hex}"


def main() -> None:
    """Run the scheduler until it is told to stop."""
    service.run("scheduler", SchedulerSettings, serve, _PARTS)
