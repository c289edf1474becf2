"""What operators want of each node, as it is stored: the last message on its subject."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusUnavailableError, CaughtUp, Entry, Message
from comfymesh.bus.streams import INTENTS
from comfymesh.bus.subjects import ALL_INTENTS, intent, parse_intent
from comfymesh.v1 import node_pb2
from comfymesh.wire.v1 import node_intent_pb2

logger = logging.getLogger(__name__)

Availability = node_pb2.Node.Availability
OPEN = node_pb2.Node.AVAILABILITY_OPEN


@dataclass(frozen=True, slots=True)
class Intent:
    """What is wanted of a node.

    Attributes:
        node: Which.
        availability: Whether it is meant to take work.
        reason: Why, in the operator's words.
    """

    node: str
    availability: Availability = OPEN
    reason: str = ""


class IntentStore:
    """Reads and writes intents.

    Args:
        bus: Where they are.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def write(self, wanted: Intent) -> None:
        """Store what is wanted from now on, and tell the node to look; of two at once the later one holds.

        Raises:
            BusUnavailableError: not confirmed; it may or may not have been stored.
        """
        message = node_intent_pb2.NodeIntent(availability=wanted.availability, reason=wanted.reason)
        await self._bus.append([Entry(intent(wanted.node), message.SerializeToString())])
        # What is stored holds, whether the node hears of it now or looks by itself later.
        with contextlib.suppress(BusUnavailableError):
            await self._bus.publish(subjects.wanted(wanted.node), b"")

    async def read(self, node: str) -> Intent:
        """What is wanted of a node: nothing in particular, if nobody ever said.

        Raises:
            BusUnavailableError: the bus does not answer.
        """
        last = await self._bus.last(INTENTS, intent(node))
        return (_read(last) if last else None) or Intent(node)

    async def follow(self) -> AsyncIterator[Intent]:
        """Every intent that holds, then each new one, without end."""
        async for item in self._bus.tail(INTENTS, ALL_INTENTS):
            if not isinstance(item, CaughtUp) and (read := _read(item)) is not None:
                yield read


def _read(message: Message) -> Intent | None:
    try:
        read = node_intent_pb2.NodeIntent.FromString(message.data)
    except DecodeError as error:
        logger.warning("an intent can't be read: %s", error, extra={"action": "intent_unreadable"})
        return None
    return Intent(parse_intent(message.subject), read.availability or OPEN, read.reason)
