"""The API's process."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from contextlib import AbstractAsyncContextManager, nullcontext

from comfymesh.api import taskrows
from comfymesh.api.access import setup
from comfymesh.api.access.audit import Audit
from comfymesh.api.access.certificates import Certificates
from comfymesh.api.desk import answering
from comfymesh.api.interceptors import Door
from comfymesh.api.metering import Metering
from comfymesh.api.room import Room
from comfymesh.api.server import Place, Server, serving
from comfymesh.api.services import Services
from comfymesh.api.settings import ApiSettings
from comfymesh.api.sources import Sources
from comfymesh.artifacts.store import open_store
from comfymesh.bus.checkpoints import open_kept
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.runtime import presence, service, supervisor, workers
from comfymesh.runtime.background import Background
from comfymesh.runtime.connect import nats_tls, open_bus
from comfymesh.telemetry.sampling import sample

logger = logging.getLogger(__name__)

_SLACK_SECONDS = 5.0
"""Workers may take so much longer than their drain to end."""


async def serve(settings: ApiSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    setup.check(settings)
    await (_serve(settings, stop) if settings.api_workers == 1 else _serve_by_workers(settings, stop))


async def _serve_by_workers(settings: ApiSettings, stop: asyncio.Event) -> None:
    """Python keeps one core busy at most, so there is a process for each."""
    with workers.sharing(settings.api_listen) as listen:
        environments = [_of_worker(settings, listen, number + 1) for number in range(settings.api_workers)]
        command = (sys.executable, "-P", "-c", "from comfymesh.api.main import main; main()")
        grace = settings.api_drain_notice_seconds + settings.api_drain_seconds + _SLACK_SECONDS
        logger.info("%d workers share %s", settings.api_workers, listen, extra={"action": "workers"})
        await workers.keep(workers.Crew(command, environments, grace), stop)


def _of_worker(settings: ApiSettings, listen: str, number: int) -> dict[str, str]:
    """What the settings of a worker, counted from one, have in place of ours."""
    host, _, port = settings.metrics_listen.rpartition(":")
    return {
        "COMFYMESH_API_WORKERS": "1",
        "COMFYMESH_API_WORKER_OF": str(os.getpid()),
        "COMFYMESH_API_LISTEN": listen,
        "COMFYMESH_METRICS_LISTEN": f"{host}:{int(port) + number if int(port) else 0}" if host else "",
    }


async def _serve(settings: ApiSettings, stop: asyncio.Event) -> None:
    certificates = setup.certificates(settings)
    async with await service.unless_stopped(stop, open_bus(settings, "api")) as bus, Background() as background:
        store = open_store(settings.artifacts_url, bus)
        kept = await service.unless_stopped(stop, open_kept(bus, settings.checkpoint_dir, "api", taskrows.LAYOUT))
        sources = Sources.follow(bus, store, kept, background)
        gate = await setup.gate(settings, sources.directory, background)
        telling = background.spawn(kept.tell(lambda: sources.hub.position), "progress of the start")
        await sources.ready(stop, background.failed)
        telling.cancel()
        supervisor.status("running")

        audit, room = Audit(bus, time.time), Room(settings.api_max_calls)
        services = Services(settings, bus, store, sources, audit)
        services.run(background)
        metering = Metering(sources.hub, room, sources.lag)
        background.spawn(sample(settings.metrics_sample_seconds, metering.sample), "metrics")
        door = Door(gate, room, audit)
        async with (
            _desk(settings, bus, background),
            serving(_place(settings, certificates), door, services.all()) as server,
        ):
            logger.info("listening on port %d", server.port, extra={"action": "listening", "port": server.port})
            background.spawn(presence.show(bus, "api"), "presence")
            if settings.api_worker_of:
                background.spawn(_stop_when_orphaned(settings.api_worker_of, stop), "parent")
            await _until_drained(settings, stop, background.failed, server, sources)


async def _until_drained(
    settings: ApiSettings, stop: asyncio.Event, failed: asyncio.Event, server: Server, sources: Sources
) -> None:
    try:
        await service.until(stop, failed)
        await server.announce(settings.api_drain_notice_seconds)
    finally:
        sources.hub.drain()
        await server.drain(settings.api_drain_seconds)
        sources.model.close()


def _place(settings: ApiSettings, certificates: Certificates | None) -> Place:
    return Place(
        settings.api_listen,
        certificates,
        settings.api_max_connection_calls,
        settings.api_compress_responses,
        shared=bool(settings.api_worker_of),
    )


async def _stop_when_orphaned(parent: int, stop: asyncio.Event) -> None:
    await workers.until_orphaned(parent)
    logger.warning("the process that started this worker has gone", extra={"action": "worker_orphaned"})
    stop.set()


def _desk(settings: ApiSettings, bus: JetStreamBus, background: Background) -> AbstractAsyncContextManager[None]:
    return answering(settings.nats_url, nats_tls(settings), bus, background) if settings.api_desk else nullcontext()


def main() -> None:
    """Run the API until it is told to stop."""
    service.run("api", ApiSettings, serve)
