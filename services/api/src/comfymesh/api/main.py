"""The API's process."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace

from comfymesh.api import sweeping, taskrows
from comfymesh.api.access import setup
from comfymesh.api.access.audit import Audit
from comfymesh.api.access.directory import Directory
from comfymesh.api.access.quotas import Quotas
from comfymesh.api.access.stored import StoredAssets
from comfymesh.api.alert_service import AlertService
from comfymesh.api.alerting import Alerting
from comfymesh.api.artifacts import Artifacts
from comfymesh.api.asset_service import AssetService
from comfymesh.api.assets import Assets
from comfymesh.api.catalogs import FleetCatalogs
from comfymesh.api.creation import Creation
from comfymesh.api.dead_letter_service import DeadLetterService
from comfymesh.api.dead_letters import DeadLetters
from comfymesh.api.desk import answering
from comfymesh.api.download_urls import DownloadUrls
from comfymesh.api.fleet import FleetView
from comfymesh.api.fleet_service import FleetService
from comfymesh.api.following import Following
from comfymesh.api.group_service import GroupService
from comfymesh.api.groups import Groups
from comfymesh.api.hub import Hub
from comfymesh.api.inputs import Inputs
from comfymesh.api.insight import Insight
from comfymesh.api.interceptors import Door
from comfymesh.api.key_service import KeyService
from comfymesh.api.metering import Metering
from comfymesh.api.policies import Policies
from comfymesh.api.readmodel import ReadModel
from comfymesh.api.room import Room
from comfymesh.api.scheduling_service import SchedulingService
from comfymesh.api.server import Place, serving
from comfymesh.api.settings import ApiSettings
from comfymesh.api.submitting import Submitting
from comfymesh.api.task_service import TaskService
from comfymesh.api.tenant_service import TenantService
from comfymesh.api.turns import Turns
from comfymesh.api.uploads import Uploads
from comfymesh.api.usage_service import UsageService
from comfymesh.api.watching import Watching
from comfymesh.api.webhooks import Webhooks
from comfymesh.api.workflow_service import WorkflowService
from comfymesh.api.workflows.desk import Workflows
from comfymesh.api.workflows.reviewing import Reviewing
from comfymesh.api.workflows.shelf import Shelf
from comfymesh.api.workflows.store import WorkflowStore
from comfymesh.artifacts.store import open_store
from comfymesh.bus.checkpoints import open_kept
from comfymesh.bus.intents import IntentStore
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.lag import Lag
from comfymesh.bus.policies import PolicyStore
from comfymesh.bus.tasklog import TaskLog
from comfymesh.egress.guard import Egress
from comfymesh.graphs import DEFAULT_LIMITS
from comfymesh.runtime import presence, service, workers
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
        log, model = TaskLog(bus), ReadModel(kept)
        hub, fleet = Hub(model), FleetView(bus, store, time.monotonic)
        background.spawn(fleet.follow(background), "fleet view")
        background.spawn(fleet.follow_intents(), "intents")
        lag = Lag(bus, hub.position)
        background.spawn(hub.follow(lag.noting(log.events(kept.reading.start))), "task hub")
        directory, stored_assets, shelf = Directory(bus, time.time), StoredAssets(bus, time.time), Shelf(bus)
        background.spawn(directory.follow(), "directory")
        background.spawn(stored_assets.follow(), "stored assets")
        background.spawn(shelf.follow(), "shelf of workflows")
        gate = await setup.gate(settings, directory, background)
        # Nobody is let in, and nothing is listed or watched, before all that was stored has been read.
        for ready in (directory.ready, stored_assets.ready, shelf.ready, hub.ready):
            await service.first(ready, stop, background.failed)

        quotas = Quotas(directory, model, hub, stored_assets, shelf, time.time)
        audit = Audit(bus, time.time)
        assets = Assets(bus, store, time.time, settings.api_max_asset_bytes, quotas)
        artifacts = Artifacts(log, bus, store)
        terms = sweeping.terms(settings.api_blob_grace_hours, settings.api_asset_retention_days)
        sweeper = sweeping.Sweeper(bus, store, (model, hub), directory, assets, terms, time.time)
        background.spawn(sweeping.run(sweeper, Turns(bus, "sweeper"), terms.grace), "sweeper")
        limits = replace(DEFAULT_LIMITS, max_bytes=settings.api_max_graph_bytes)
        inputs = Inputs(assets, settings.input_url_hosts, Egress(settings.egress_allow))
        workflows = Workflows(WorkflowStore(bus), shelf, model, quotas, time.time, limits)
        creation = Creation(directory, fleet, inputs, workflows, store, time.time, settings.api_settle_seconds)
        insight = Insight(bus, time.monotonic)
        background.spawn(insight.run(), "insight")
        watching = Watching(hub, log, bus, model, insight, settings.api_heartbeat_seconds)
        following = Following(hub, log, model, settings.api_heartbeat_seconds)
        servicers = (
            TaskService(log, Submitting(creation, log, quotas), watching, following, artifacts, fleet, insight),
            GroupService(Groups(following, log, bus), following),
            DeadLetterService(log, DeadLetters(log, time.time, directory, quotas), following),
            AssetService(
                assets,
                Uploads(bus, store, assets, time.time, quotas),
                artifacts,
                DownloadUrls(assets, artifacts, store, time.time),
                Room(settings.api_max_uploads, "uploads"),
                settings.api_upload_silence_seconds,
            ),
            WorkflowService(workflows, Reviewing(workflows, fleet, assets, inputs, directory), shelf),
            FleetService(fleet, IntentStore(bus), directory, FleetCatalogs(fleet, store), following.heartbeat),
            AlertService(Alerting(bus, time.time), Webhooks(bus, time.time)),
            TenantService(directory, quotas, audit),
            KeyService(directory, time.time),
            SchedulingService(Policies(PolicyStore(bus)), insight),
            UsageService(bus, time.time),
        )
        place = Place(
            settings.api_listen,
            certificates,
            settings.api_max_connection_calls,
            settings.api_compress_responses,
            shared=bool(settings.api_worker_of),
        )
        room = Room(settings.api_max_calls)
        background.spawn(sample(settings.metrics_sample_seconds, Metering(hub, room, lag).sample), "metrics")
        door = Door(gate, room, audit)
        async with _desk(settings, bus, background), serving(place, door, servicers) as server:
            logger.info("listening on port %d", server.port, extra={"action": "listening", "port": server.port})
            background.spawn(presence.show(bus, "api"), "presence")
            if settings.api_worker_of:
                background.spawn(_stop_when_orphaned(settings.api_worker_of, stop), "parent")
            try:
                await service.until(stop, background.failed)
                await server.announce(settings.api_drain_notice_seconds)
            finally:
                hub.drain()
                await server.drain(settings.api_drain_seconds)
                model.close()


async def _stop_when_orphaned(parent: int, stop: asyncio.Event) -> None:
    await workers.until_orphaned(parent)
    logger.warning("the process that started this worker has gone", extra={"action": "worker_orphaned"})
    stop.set()


def _desk(settings: ApiSettings, bus: JetStreamBus, background: Background) -> AbstractAsyncContextManager[None]:
    return answering(settings.nats_url, nats_tls(settings), bus, background) if settings.api_desk else nullcontext()


def main() -> None:
    """Entry point of `comfymesh-api`."""
    service.run("api", ApiSettings, serve)
