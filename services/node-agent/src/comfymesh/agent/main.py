"""The agent's process."""

from __future__ import annotations

import asyncio
import signal
import sys

from comfymesh.agent import commands, sources
from comfymesh.agent.seal import seal
from comfymesh.agent.services import Services
from comfymesh.agent.settings import AgentSettings
from comfymesh.runtime import logcontext, service, supervisor
from comfymesh.runtime.background import Background

_PARTS = {"intents": 75.0, "reports": 60.0}
"""What must work, and for how many seconds it may be silent."""


async def serve(settings: AgentSettings, stop: asyncio.Event, reload: asyncio.Event | None = None) -> None:
    """Own this node's instances until `stop` is set. Settings are read again whenever `reload` is set."""
    logcontext.bind(node=settings.agent_node)
    async with (
        await service.unless_stopped(stop, sources.open_bus(settings)) as bus,
        sources.outward(settings) as outward,
        Background() as background,
    ):
        services = Services(settings, bus, sources.files(settings, bus, outward), background, stop)
        services.run(reload or asyncio.Event())
        try:
            async with services.listening():
                supervisor.ready(f"node {settings.agent_node} takes work")
                await service.until(stop, background.failed)
                await services.drain()
        finally:
            await services.close()


async def _serve(settings: AgentSettings, stop: asyncio.Event) -> None:
    reload = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # `entry` has had it wait.
    await serve(settings, stop, reload)


def main() -> None:
    """Run the agent, or one of its commands. The process begins in `entry`."""
    if sys.argv[1:]:
        sys.exit(commands.run(sys.argv[1:]))
    seal()
    service.run("agent", AgentSettings, _serve, _PARTS)
