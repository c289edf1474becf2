"""Looks at everything that a node needs."""

from __future__ import annotations

import asyncio

from comfymesh.agent.checks.bus import check_bus
from comfymesh.agent.checks.findings import Finding, failed, ok
from comfymesh.agent.checks.host import check_disk, check_gpus
from comfymesh.agent.checks.instances import check_instance
from comfymesh.agent.checks.warm_up import check_warm_up
from comfymesh.agent.settings import AgentSettings


async def check(settings: AgentSettings) -> list[Finding]:
    """What there is to say of this host, with settings that could be read."""
    # Those of a pool are alike.
    specs = [*settings.agent_instances, *(pool.members[0] for pool in settings.agent_pools)]
    instances = [check_instance(spec, settings.agent_state_directory) for spec in specs]
    return [
        _judge_instances(settings),
        *await check_bus(settings),
        *await asyncio.gather(*instances),
        *await asyncio.to_thread(lambda: list(check_warm_up(settings.agent_pools))),
        *check_gpus(settings.specs),
        check_disk(settings.agent_state_directory),
    ]


def _judge_instances(settings: AgentSettings) -> Finding:
    tried = f"read the instances of node {settings.agent_node}"
    if not settings.specs:
        return failed(
            "settings",
            tried,
            "there is none",
            "set COMFYMESH_AGENT_INSTANCES or COMFYMESH_AGENT_POOLS, see docs/agent.md",
        )
    return ok("settings", tried, ", ".join(spec.name for spec in settings.specs))
