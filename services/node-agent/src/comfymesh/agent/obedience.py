"""Obeys what operators want of this node."""

from __future__ import annotations

import asyncio
import logging

from comfymesh.agent.attempts import Attempts
from comfymesh.agent.preloading import Preloads
from comfymesh.agent.reporting import Reporting
from comfymesh.bus.intents import Availability, Intent, IntentStore
from comfymesh.bus.port import BusUnavailableError
from comfymesh.runtime.health import HEALTH
from comfymesh.runtime.patience import is_set
from comfymesh.v1 import node_pb2

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 30.0
_RETRY_SECONDS = 2.0
_DRAINED = "the node is being drained"


async def obey(
    intents: IntentStore,
    node: str,
    reporting: Reporting,
    attempts: Attempts,
    preloads: Preloads,
    told: asyncio.Event,
) -> None:
    """Look what is wanted whenever somebody tells that it has changed, and now and then, for ever.

    A node in an account of its own may read its intent, and follow no stream. What it is told may be lost.
    """
    while True:
        told.clear()
        try:
            intent = await intents.read(node)
        except BusUnavailableError as error:
            logger.debug("what is wanted of this node can't be read now: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        HEALTH.well("intents")
        preloads.want(intent.preloads)
        _obey(intent, reporting, attempts)
        await is_set(told, _LOOK_SECONDS)


def _obey(intent: Intent, reporting: Reporting, attempts: Attempts) -> None:
    if intent.availability == reporting.wanted:
        return
    shown = Availability.Name(intent.availability).removeprefix("AVAILABILITY_")
    logger.info("this node is to be %s: %s", shown, intent.reason, extra={"action": "intent"})
    attempts.closed = intent.availability != node_pb2.Node.AVAILABILITY_OPEN
    reporting.want(intent.availability)
    if intent.availability == node_pb2.Node.AVAILABILITY_DRAINING:
        attempts.hand_back(_DRAINED)
    else:
        attempts.keep()
