"""Every gRPC service of the api, put together out of parts that several of them share."""

from __future__ import annotations

import time
from dataclasses import replace

from comfymesh.api import sweeping
from comfymesh.api.access.audit import Audit
from comfymesh.api.access.quotas import Quotas
from comfymesh.api.alert_service import AlertService
from comfymesh.api.alerting import Alerting
from comfymesh.api.artifacts import Artifacts
from comfymesh.api.asset_service import AssetService
from comfymesh.api.assets import Assets
from comfymesh.api.catalogs import FleetCatalogs
from comfymesh.api.creation import Creation
from comfymesh.api.dead_letter_service import DeadLetterService
from comfymesh.api.dead_letters import DeadLetters
from comfymesh.api.download_urls import DownloadUrls
from comfymesh.api.fleet_service import FleetService
from comfymesh.api.following import Following
from comfymesh.api.group_service import GroupService
from comfymesh.api.groups import Groups
from comfymesh.api.inputs import Inputs
from comfymesh.api.insight import Insight
from comfymesh.api.key_service import KeyService
from comfymesh.api.policies import Policies
from comfymesh.api.room import Room
from comfymesh.api.scheduling_service import SchedulingService
from comfymesh.api.settings import ApiSettings
from comfymesh.api.sources import Sources
from comfymesh.api.submitting import Submitting
from comfymesh.api.task_service import TaskService
from comfymesh.api.tenant_service import TenantService
from comfymesh.api.turns import Turns
from comfymesh.api.uploads import Uploads
from comfymesh.api.usage_service import UsageService
from comfymesh.api.watching import Watching
from comfymesh.api.webhooks import Webhooks
from comfymesh.api.workflow_service import WorkflowService
from comfymesh.api.workflows.registry import Workflows
from comfymesh.api.workflows.reviewing import Reviewing
from comfymesh.api.workflows.store import WorkflowStore
from comfymesh.artifacts.store import BlobStore
from comfymesh.bus.intents import IntentStore
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.policies import PolicyStore
from comfymesh.egress.guard import Egress
from comfymesh.graphs import DEFAULT_LIMITS
from comfymesh.runtime.background import Background


class Services:
    """The services.

    Args:
        settings: The api's.
        bus: The bus.
        store: Where artifacts and assets are.
        sources: What is known of the mesh.
        audit: Told what operators do.
    """

    def __init__(
        self, settings: ApiSettings, bus: JetStreamBus, store: BlobStore, sources: Sources, audit: Audit
    ) -> None:
        self._settings, self._bus, self._store, self._of, self._audit = settings, bus, store, sources, audit
        self._quotas = Quotas(sources.directory, sources.model, sources.hub, sources.assets, sources.shelf, time.time)
        self._assets = Assets(bus, store, time.time, settings.api_max_asset_bytes, self._quotas)
        self._artifacts = Artifacts(sources.log, bus, store)
        self._inputs = Inputs(self._assets, settings.input_url_hosts, Egress(settings.egress_allow))
        limits = replace(DEFAULT_LIMITS, max_bytes=settings.api_max_graph_bytes)
        self._following = Following(sources.hub, sources.log, sources.model, settings.api_heartbeat_seconds)
        self._workflows = Workflows(
            WorkflowStore(bus), sources.shelf, self._following, self._quotas, self._assets.use, time.time, limits
        )
        self._insight = Insight(bus, time.monotonic)

    def run(self, background: Background) -> None:
        """Begin what they do by themselves."""
        settings, of = self._settings, self._of
        terms = sweeping.terms(settings.api_blob_grace_hours, settings.api_asset_retention_days)
        sweeper = sweeping.Sweeper(
            self._bus, self._store, (of.model, of.hub), of.directory, self._assets, terms, time.time
        )
        background.spawn(sweeping.run(sweeper, Turns(self._bus, "sweeper"), terms.grace), "sweeper")
        background.spawn(self._insight.run(), "insight")

    def all(self) -> tuple[object, ...]:
        """One servicer for each service."""
        of, bus, following = self._of, self._bus, self._following
        return (
            self._tasks(),
            GroupService(Groups(following, of.log, bus), following),
            DeadLetterService(of.log, DeadLetters(of.log, time.time, of.directory, self._quotas), following),
            self._files(),
            WorkflowService(
                self._workflows,
                Reviewing(self._workflows, of.fleet, self._assets, self._inputs, of.directory),
                of.shelf,
            ),
            FleetService(
                of.fleet, IntentStore(bus), of.directory, FleetCatalogs(of.fleet, self._store), following.heartbeat
            ),
            AlertService(Alerting(bus, time.time), Webhooks(bus, time.time)),
            TenantService(of.directory, self._quotas, self._audit, following.told),
            KeyService(of.directory, time.time),
            SchedulingService(Policies(PolicyStore(bus)), self._insight),
            UsageService(bus, time.time),
        )

    def _tasks(self) -> TaskService:
        of, settings = self._of, self._settings
        creation = Creation(
            of.directory,
            of.fleet,
            self._inputs,
            self._workflows,
            self._store,
            time.time,
            settings.api_settle_seconds,
        )
        watching = Watching(of.hub, of.log, self._bus, of.model, self._insight, settings.api_heartbeat_seconds)
        submitting = Submitting(creation, of.log, self._quotas)
        return TaskService(of.log, submitting, watching, self._following, self._artifacts, of.fleet, self._insight)

    def _files(self) -> AssetService:
        return AssetService(
            self._assets,
            Uploads(self._bus, self._store, self._assets, time.time, self._quotas),
            self._artifacts,
            DownloadUrls(self._assets, self._artifacts, self._store, time.time),
            Room(self._settings.api_max_uploads, "uploads"),
            self._settings.api_upload_silence_seconds,
        )
