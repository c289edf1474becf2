"""The agent's process."""

from __future__ import annotations

import asyncio
import signal
import sys

from comfymesh.agent import commands
from comfymesh.agent.attempts import Attempts
from comfymesh.agent.crew import Crew
from comfymesh.agent.domain.folders import Folders
from comfymesh.agent.domain.pool_values import Memory
from comfymesh.agent.host import Host
from comfymesh.agent.host_clock import HostClock
from comfymesh.agent.metering import Metering
from comfymesh.agent.namesakes import Namesakes
from comfymesh.agent.node_secret import node_secret
from comfymesh.agent.nvml import Nvml
from comfymesh.agent.obedience import obey
from comfymesh.agent.outfitting import Outfitter
from comfymesh.agent.pooling import Pooling
from comfymesh.agent.preloading import Preloading, Preloads
from comfymesh.agent.reload import Reloading
from comfymesh.agent.reporting import Reporting
from comfymesh.agent.rollout import Rollout
from comfymesh.agent.runtimes.orphans import end_orphans
from comfymesh.agent.seal import seal
from comfymesh.agent.settings import AgentSettings
from comfymesh.agent.url_inputs import UrlInputs
from comfymesh.agent.workplace import Files
from comfymesh.artifacts.store import BlobStore, open_store
from comfymesh.bus import subjects
from comfymesh.bus.intents import IntentStore
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.node_bus import NodeBus
from comfymesh.bus.port import Bus
from comfymesh.egress.fetch import Fetcher, FetchLimits
from comfymesh.egress.guard import Egress
from comfymesh.egress.http import OutwardHttp
from comfymesh.runtime import logcontext, service, supervisor
from comfymesh.runtime.background import Background
from comfymesh.runtime.connect import open_bus, open_node_bus
from comfymesh.tasks.placing import Site
from comfymesh.tasks.record import Key
from comfymesh.telemetry.sampling import sample

_PARTS = {"intents": 75.0, "reports": 60.0}
"""What must work, and for how many seconds it may be silent."""
_INPUT_SILENCE = 15.0
"""Seconds that the server of an input may send nothing."""


async def serve(settings: AgentSettings, stop: asyncio.Event, reload: asyncio.Event | None = None) -> None:
    """Own this node's instances until `stop` is set. Settings are read again whenever `reload` is set."""
    logcontext.bind(node=settings.agent_node)
    outward = OutwardHttp(Egress(settings.egress_allow), total_seconds=None, silence_seconds=_INPUT_SILENCE)
    async with (
        await service.unless_stopped(stop, _open_bus(settings)) as bus,
        outward,
        Background() as background,
    ):
        node, crew = settings.agent_node, Crew(background)
        host = Host(Nvml().gpus, settings.agent_state_directory)
        reporting = Reporting(bus, node, _shown(settings)[0], crew.instances, *_shown(settings)[1:], host)
        preloads = Preloads()
        outfitter = Outfitter(settings, bus, _files(settings, bus, outward), host, reporting.changed, preloads)
        clock = HostClock(settings.agent_state_directory)
        attempts = Attempts(
            bus, node, crew.instances, background.failed, previews=settings.agent_previews, passed=clock.passed
        )
        pooling = Pooling(crew, attempts, lambda: _memory(host, now.settings), outfitter.last_offer, outfitter.outdated)
        reporting.pools = pooling.pools
        rollout = Rollout(crew, outfitter)
        preloading = Preloading(
            preloads,
            crew.instances,
            lambda: now.settings.agent_start_seconds,
        )

        def follow(new: AgentSettings) -> None:
            outfitter.follow(new)
            reporting.follow(*_shown(new))
            attempts.previews = new.agent_previews
            if not stop.is_set():
                rollout.follow(new)
                pooling.follow(new.agent_pools)

        now, wanted = Reloading(settings, follow), asyncio.Event()
        follow(settings)
        metering = Metering(node, crew.instances, attempts, host)
        orphans = end_orphans(settings.specs, node=node, state_directory=settings.agent_state_directory)
        for running, name in (
            (host.run(), "host"),
            (clock.run(), "clock"),
            (Namesakes(bus, node, background.failed).run(background), "namesakes"),
            (orphans, "orphans"),
            (pooling.run(), "pools"),
            (attempts.take_work(), "work queue"),
            (reporting.run(attempts), "reports"),
            (obey(IntentStore(bus), node, reporting, attempts, preloads, wanted), "intents"),
            (preloading.run(background), "preloading"),
            (now.run(reload or asyncio.Event()), "settings"),
            (sample(settings.metrics_sample_seconds, metering.sample), "metrics"),
        ):
            background.spawn(running, name)
        rolling = background.spawn(rollout.run(), "rollout")
        told = {
            subjects.control(node): attempts.take_order,
            subjects.interest(node): attempts.take_interest,
            subjects.demand(node): pooling.take_demand,
            subjects.wanted(node): lambda _: wanted.set(),
        }
        subscriptions = [await bus.subscribe(subject, take) for subject, take in told.items()]
        supervisor.ready(f"node {node} takes work")
        try:
            await service.until(stop, background.failed)
            rolling.cancel()
            pooling.follow(())
            await reporting.announce_drain(attempts)
            await attempts.drain(now.settings.agent_drain_seconds, instances_stop=now.settings.agent_stop_instances)
        finally:
            for subscription in subscriptions:
                await subscription.close()
            await attempts.close()
            # What fails leaves all to its next life, or to another agent that has the name.
            await crew.close(stop=stop.is_set() and now.settings.agent_stop_instances)


def _shown(settings: AgentSettings) -> tuple[Site, int, float]:
    """What reports show of the settings: what the node is, how many attempts an instance holds, and how often."""
    site = Site(
        labels=settings.agent_labels,
        gpu_class=settings.agent_gpu_class,
        vram_bytes=settings.agent_vram_bytes,
        pool=settings.agent_pool,
    )
    return site, 1 + settings.agent_look_ahead, settings.agent_report_seconds


def _memory(host: Host, settings: AgentSettings) -> Memory:
    return Memory(host.room.memory_available_bytes or None, settings.agent_memory_reserve_bytes)


async def _open_bus(settings: AgentSettings) -> JetStreamBus:
    if settings.agent_own_account:
        return await open_node_bus(settings, settings.agent_node)
    return await open_bus(settings, f"agent {settings.agent_node}")


def _files(settings: AgentSettings, bus: Bus, outward: OutwardHttp) -> Files:
    store = open_store(settings.artifacts_url, bus)

    def inputs(key: Key) -> BlobStore:
        return open_store(settings.artifacts_url, bus.for_task(key)) if isinstance(bus, NodeBus) else store

    fetcher = Fetcher(outward, FetchLimits(settings.agent_max_input_bytes))
    urls = UrlInputs(fetcher, settings.input_url_hosts, settings.agent_input_seconds)
    folders = Folders(node_secret(settings.agent_state_directory))
    return Files(store, settings.agent_max_artifact_bytes, folders, inputs, urls.fetch)


async def _serve(settings: AgentSettings, stop: asyncio.Event) -> None:
    reload = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.set)
    await serve(settings, stop, reload)


def main() -> None:
    """Entry point of `comfymesh-agent`. Without arguments, the agent runs."""
    if sys.argv[1:]:
        sys.exit(commands.run(sys.argv[1:]))
    seal()
    service.run("agent", AgentSettings, _serve, _PARTS)
