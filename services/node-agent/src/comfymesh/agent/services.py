"""Everything that an agent does, put together out of parts that several of them share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from comfymesh.agent.attempts import Attempts
from comfymesh.agent.crew import Crew
from comfymesh.agent.domain.pool_values import Memory
from comfymesh.agent.host import Host
from comfymesh.agent.host_clock import HostClock
from comfymesh.agent.metering import Metering
from comfymesh.agent.namesakes import Namesakes
from comfymesh.agent.nvml import Nvml
from comfymesh.agent.obedience import obey
from comfymesh.agent.outfitting import Outfitter
from comfymesh.agent.pooling import Pooling
from comfymesh.agent.preloading import Preloading, Preloads
from comfymesh.agent.reload import Reloading
from comfymesh.agent.reporting import Reporting
from comfymesh.agent.rollout import Rollout
from comfymesh.agent.runtimes.orphans import end_orphans
from comfymesh.agent.settings import AgentSettings
from comfymesh.agent.workplace import Files
from comfymesh.bus import subjects
from comfymesh.bus.intents import IntentStore
from comfymesh.bus.port import Bus, Handler
from comfymesh.runtime.background import Background
from comfymesh.tasks.placing import Site
from comfymesh.telemetry.sampling import sample
from comfymesh.v1 import node_pb2


class Services:
    """What an agent does for its node.

    Args:
        settings: The agent's, as they are at its start.
        bus: The bus.
        files: Where files come from and go to.
        background: Where all of it runs.
        stop: Set once the agent is to stop: from then on new settings start and replace no instance.
    """

    def __init__(
        self, settings: AgentSettings, bus: Bus, files: Files, background: Background, stop: asyncio.Event
    ) -> None:
        self._bus, self._node, self._background, self._stop = bus, settings.agent_node, background, stop
        self._host = host = Host(Nvml().gpus, settings.agent_state_directory)
        self._crew = crew = Crew(background)
        site, slots, seconds = _shown(settings)
        self._reporting = Reporting(bus, self._node, site, crew.instances, slots, seconds, host)
        self._preloads = Preloads()
        self._outfitter = outfitter = Outfitter(settings, bus, files, host, self._reporting.changed, self._preloads)
        self._clock = HostClock(settings.agent_state_directory)
        self._attempts = Attempts(
            bus,
            self._node,
            crew.instances,
            background.failed,
            previews=settings.agent_previews,
            passed=self._clock.passed,
        )
        self._pooling = Pooling(crew, self._attempts, self._memory, outfitter.last_offer, outfitter.outdated)
        self._reporting.pools = self._pooling.pools
        self._rollout = Rollout(crew, outfitter)
        self._wanted = asyncio.Event()
        self._reloading = Reloading(settings, self._follow)
        self._follow(settings)

    @property
    def settings(self) -> AgentSettings:
        """Those that hold now."""
        return self._reloading.settings

    def run(self, reload: asyncio.Event) -> None:
        """Begin with everything. Settings are read again whenever `reload` is set."""
        settings, node, attempts, background = self.settings, self._node, self._attempts, self._background
        metering = Metering(node, self._crew.instances, attempts, self._host)
        preloading = Preloading(self._preloads, self._crew.instances, lambda: self.settings.agent_start_seconds)
        # Until it has been read what is wanted of this node: it may be cordoned.
        attempts.closed, self._reporting.wanted = True, node_pb2.Node.AVAILABILITY_UNSPECIFIED
        for running, name in (
            (self._host.run(), "host"),
            (self._clock.run(), "clock"),
            (Namesakes(self._bus, node, background.failed).run(background), "namesakes"),
            (end_orphans(settings.specs, node=node, state_directory=settings.agent_state_directory), "orphans"),
            (self._pooling.run(), "pools"),
            (attempts.take_work(), "work queue"),
            (self._reporting.run(attempts), "reports"),
            (
                obey(IntentStore(self._bus), node, self._reporting, attempts, self._preloads, self._wanted),
                "intents",
            ),
            (preloading.run(background), "preloading"),
            (self._reloading.run(reload), "settings"),
            (sample(settings.metrics_sample_seconds, metering.sample), "metrics"),
        ):
            background.spawn(running, name)
        self._rolling = background.spawn(self._rollout.run(), "rollout")

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None]:
        """Take what this node is told."""
        told: dict[str, Handler] = {
            subjects.control(self._node): self._attempts.take_order,
            subjects.interest(self._node): self._attempts.take_interest,
            subjects.demand(self._node): self._pooling.take_demand,
            subjects.wanted(self._node): lambda _: self._wanted.set(),
        }
        async with AsyncExitStack() as subscriptions:
            for subject, take in told.items():
                subscription = await self._bus.subscribe(subject, take)
                subscriptions.push_async_callback(subscription.close)
            yield

    async def drain(self) -> None:
        """Take nothing new, and let what has begun end, for as long as the settings say."""
        self._rolling.cancel()
        self._pooling.follow(())
        await self._reporting.announce_drain(self._attempts)
        settings = self.settings
        await self._attempts.drain(settings.agent_drain_seconds, instances_stop=settings.agent_stop_instances)

    async def close(self) -> None:
        """Let go of attempts and instances. What fails leaves all to its next life, or to another agent of the name."""
        await self._attempts.close()
        await self._crew.close(stop=self._stop.is_set() and self.settings.agent_stop_instances)

    def _follow(self, new: AgentSettings) -> None:
        self._outfitter.follow(new)
        self._reporting.follow(*_shown(new))
        self._attempts.previews = new.agent_previews
        if not self._stop.is_set():
            self._rollout.follow(new)
            self._pooling.follow(new.agent_pools)

    def _memory(self) -> Memory:
        return Memory(self._host.room.memory_available_bytes or None, self.settings.agent_memory_reserve_bytes)


def _shown(settings: AgentSettings) -> tuple[Site, int, float]:
    """What reports show of the settings: what the node is, how many attempts an instance holds, and how often."""
    site = Site(
        labels=settings.agent_labels,
        gpu_class=settings.agent_gpu_class,
        vram_bytes=settings.agent_vram_bytes,
        pool=settings.agent_pool,
    )
    return site, 1 + settings.agent_look_ahead, settings.agent_report_seconds
