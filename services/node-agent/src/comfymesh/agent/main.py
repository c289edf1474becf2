"""The agent's process."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from comfymesh.agent import commands
from comfymesh.agent.attempts import Attempts
from comfymesh.agent.care import care_of, gpu_of, pace_of
from comfymesh.agent.comfyui.session import ComfySession
from comfymesh.agent.domain.folders import Folders
from comfymesh.agent.domain.residency import Residency
from comfymesh.agent.host import Host
from comfymesh.agent.instance import Instance
from comfymesh.agent.leftovers import Leftovers
from comfymesh.agent.metering import Metering
from comfymesh.agent.node_secret import node_secret
from comfymesh.agent.nvml import Nvml
from comfymesh.agent.obedience import obey
from comfymesh.agent.reporting import Reporting
from comfymesh.agent.runtimes.factory import build
from comfymesh.agent.runtimes.orphans import end_orphans
from comfymesh.agent.runtimes.specs import InstanceSpec
from comfymesh.agent.seal import seal
from comfymesh.agent.settings import AgentSettings
from comfymesh.agent.url_inputs import UrlInputs
from comfymesh.agent.workplace import Files, Workplace
from comfymesh.artifacts.store import BlobStore, open_store
from comfymesh.bus import subjects
from comfymesh.bus.intents import IntentStore
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.node_bus import NodeBus
from comfymesh.bus.port import Bus
from comfymesh.bus.tasklog import TaskLog
from comfymesh.egress.fetch import Fetcher, FetchLimits
from comfymesh.egress.guard import Egress
from comfymesh.egress.http import OutwardHttp
from comfymesh.runtime import logcontext, service, supervisor
from comfymesh.runtime.background import Background
from comfymesh.runtime.connect import open_bus, open_node_bus
from comfymesh.tasks.placing import Site
from comfymesh.tasks.record import Key
from comfymesh.telemetry.sampling import sample

_STOP_GRACE = timedelta(seconds=5)
_INPUT_SILENCE = 15.0
"""Seconds that the server of an input may send nothing."""


async def serve(settings: AgentSettings, stop: asyncio.Event) -> None:
    """Own this node's instances until `stop` is set."""
    logcontext.bind(node=settings.agent_node)
    outward = OutwardHttp(Egress(settings.egress_allow), total_seconds=None, silence_seconds=_INPUT_SILENCE)
    async with (
        await service.unless_stopped(stop, _open_bus(settings)) as bus,
        outward,
        Background() as background,
    ):
        instances: dict[str, Instance] = {}
        slots = 1 + settings.agent_look_ahead
        host = Host(Nvml().gpus, settings.agent_state_directory)
        background.spawn(host.run(), "host")
        reporting = Reporting(
            bus, settings.agent_node, _site(settings), instances, slots, settings.agent_report_seconds, host
        )
        instances.update(_instances(settings, bus, _files(settings, bus, outward), reporting, host))
        attempts = Attempts(bus, settings.agent_node, instances, background.failed, previews=settings.agent_previews)
        orphans = end_orphans(
            settings.agent_instances, node=settings.agent_node, state_directory=settings.agent_state_directory
        )
        background.spawn(orphans, "orphans")
        running = [background.spawn(i.run(), f"instance {i.name}") for i in instances.values()]
        background.spawn(attempts.take_work(), "work queue")
        background.spawn(reporting.run(attempts), "reports")
        background.spawn(obey(IntentStore(bus), settings.agent_node, reporting, attempts), "intents")
        metering = Metering(settings.agent_node, instances, attempts, host)
        background.spawn(sample(settings.metrics_sample_seconds, metering.sample), "metrics")
        orders = await bus.subscribe(subjects.control(settings.agent_node), attempts.take_order)
        interest = await bus.subscribe(subjects.interest(settings.agent_node), attempts.take_interest)
        supervisor.ready(f"node {settings.agent_node} takes work")
        try:
            await service.until(stop, background.failed)
            await reporting.announce_drain(attempts)
            await attempts.drain(settings.agent_drain_seconds, instances_stop=settings.agent_stop_instances)
        finally:
            await orders.close()
            await interest.close()
            await attempts.close()
            await _leave(instances, running, stop=settings.agent_stop_instances)


async def _open_bus(settings: AgentSettings) -> JetStreamBus:
    if settings.agent_own_account:
        return await open_node_bus(settings, settings.agent_node)
    return await open_bus(settings, f"agent {settings.agent_node}")


def _site(settings: AgentSettings) -> Site:
    return Site(
        labels=settings.agent_labels,
        gpu_class=settings.agent_gpu_class,
        vram_bytes=settings.agent_vram_bytes,
        pool=settings.agent_pool,
    )


def _files(settings: AgentSettings, bus: Bus, outward: OutwardHttp) -> Files:
    store = open_store(settings.artifacts_url, bus)

    def inputs(key: Key) -> BlobStore:
        return open_store(settings.artifacts_url, bus.for_task(key)) if isinstance(bus, NodeBus) else store

    fetcher = Fetcher(outward, FetchLimits(settings.agent_max_input_bytes))
    urls = UrlInputs(fetcher, settings.input_url_hosts, settings.agent_input_seconds)
    folders = Folders(node_secret(settings.agent_state_directory))
    return Files(store, settings.agent_max_artifact_bytes, folders, inputs, urls.fetch)


def _instances(
    settings: AgentSettings, bus: Bus, files: Files, reporting: Reporting, host: Host
) -> dict[str, Instance]:
    def instance(spec: InstanceSpec) -> Instance:
        runtime = build(
            spec,
            node=settings.agent_node,
            state_directory=settings.agent_state_directory,
            mount_roots=settings.agent_mount_roots,
        )
        pace = pace_of(settings)

        def open_workplace(url: str) -> Workplace:
            session, log = ComfySession(url, pace=pace), TaskLog(bus)
            leftovers = Leftovers(session, log, settings.agent_node, spec.name)
            residency = Residency(reporting.changed, settings.agent_gpu_class or host.gpu_class(gpu_of(spec)))
            workplace = Workplace(session, log, files, leftovers, runtime.log_tail, residency)
            workplace.sweep = runtime.remove_folders
            return workplace

        return Instance(
            name=spec.name,
            kind=spec.runtime,
            runtime=runtime,
            store=files.store,
            open_workplace=open_workplace,
            changed=reporting.changed,
            care=care_of(spec, settings),
        )

    return {spec.name: instance(spec) for spec in settings.agent_instances}


async def _leave(instances: dict[str, Instance], running: list[asyncio.Task[None]], *, stop: bool) -> None:
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    if stop:
        await asyncio.gather(*(instance.stop(_STOP_GRACE) for instance in instances.values()))
    for instance in instances.values():
        await instance.close()


def main() -> None:
    """Entry point of `comfymesh-agent`. Without arguments, the agent runs."""
    if sys.argv[1:]:
        sys.exit(commands.run(sys.argv[1:]))
    seal()
    service.run("agent", AgentSettings, serve)
