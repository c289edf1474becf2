"""Obeys what operators want of this node."""

from __future__ import annotations

import logging

from comfymesh.agent.attempts import Attempts
from comfymesh.agent.reporting import Reporting
from comfymesh.bus.intents import Availability, IntentStore
from comfymesh.v1 import node_pb2

logger = logging.getLogger(__name__)

_DRAINED = "the node is being drained"


async def obey(intents: IntentStore, node: str, reporting: Reporting, attempts: Attempts) -> None:
    """Follow the node's intent, for ever. Before the first one the node takes work.

    An intent that a restart of NATS lets come again changes nothing.
    """
    async for intent in intents.follow(node):
        if intent is None or intent.availability == reporting.wanted:
            continue
        shown = Availability.Name(intent.availability).removeprefix("AVAILABILITY_")
        logger.info("this node is to be %s: %s", shown, intent.reason, extra={"action": "intent"})
        attempts.closed = intent.availability != node_pb2.Node.AVAILABILITY_OPEN
        reporting.want(intent.availability)
        if intent.availability == node_pb2.Node.AVAILABILITY_DRAINING:
            attempts.hand_back(_DRAINED)
