"""Removes what an agent leaves behind on its host: its instances, for whoever uninstalls it."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from comfymesh.agent.runtimes.contract import RuntimeFailed
from comfymesh.agent.runtimes.factory import build
from comfymesh.agent.runtimes.specs import InstanceSpec
from comfymesh.agent.settings import AgentSettings

logger = logging.getLogger(__name__)

_GRACE = timedelta(seconds=10)


async def remove_instances(settings: AgentSettings) -> bool:
    """Stop every instance that the settings name and remove what belongs to it; answers whether all are gone."""
    removed = await asyncio.gather(*(_remove(spec, settings) for spec in settings.specs))
    return all(removed)


async def _remove(spec: InstanceSpec, settings: AgentSettings) -> bool:
    runtime = build(spec, node=settings.agent_node, state_directory=settings.agent_state_directory)
    try:
        await runtime.stop(_GRACE)
    except RuntimeFailed as error:
        logger.error("instance %s could not be removed: %s", spec.name, error)  # noqa: TRY400  # the message says it all
        return False
    finally:
        await runtime.close()
    return True
