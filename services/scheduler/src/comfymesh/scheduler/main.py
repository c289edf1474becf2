"""The scheduler's process."""

from __future__ import annotations

import asyncio
import time

from comfymesh.artifacts.store import open_store
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.runtime import service
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.loop import Scheduler
from comfymesh.scheduler.settings import SchedulerSettings

_TICK = 0.25


async def serve(settings: SchedulerSettings, stop: asyncio.Event) -> None:
    """Schedule until `stop` is set."""
    opening = JetStreamBus.open(settings.nats_url, "scheduler", replicas=settings.nats_replicas)
    async with await service.unless_stopped(stop, opening) as bus:
        store = open_store(settings.artifacts_url, bus)
        core = Core(report_ttl=settings.scheduler_report_ttl, resend_after=settings.scheduler_resend_after)
        async with Scheduler(core, bus, store, time.time, _TICK) as scheduler:
            await service.until(stop, scheduler.failed)


def main() -> None:
    """Entry point of `comfymesh-scheduler`."""
    service.run("scheduler", SchedulerSettings, serve)
