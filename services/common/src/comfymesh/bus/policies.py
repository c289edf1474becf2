"""The policy of scheduling, as it is stored: one message, changed with a guard and followed by every scheduler."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import cached_property

from google.protobuf.message import DecodeError

from comfymesh.bus.port import Bus, CaughtUp, Entry, Message
from comfymesh.bus.streams import SETTINGS
from comfymesh.bus.subjects import SCHEDULING_SETTINGS
from comfymesh.tasks import policy_codec
from comfymesh.tasks.moments import timestamp
from comfymesh.tasks.policy import PolicySettings
from comfymesh.v1 import scheduling_policy_pb2

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredPolicy:
    """The policy, its position in the stream (0 before the first change), and when it was stored."""

    settings: PolicySettings = field(default_factory=PolicySettings)
    sequence: int = 0
    time: float = 0.0

    @cached_property
    def message(self) -> scheduling_policy_pb2.SchedulingPolicy:
        """The policy as callers see it."""
        message = policy_codec.to_message(self.settings)
        message.etag = str(self.sequence)
        if self.time:
            message.update_time.CopyFrom(timestamp(self.time))
        return message


class PolicyStore:
    """Reads and changes the policy.

    Args:
        bus: Where it is.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def read(self) -> StoredPolicy:
        """The policy, never stale.

        Raises:
            BusUnavailableError: the bus does not answer.
        """
        last = await self._bus.last(SETTINGS, SCHEDULING_SETTINGS)
        return _stored(last) if last else StoredPolicy()

    async def replace(self, settings: PolicySettings, after: int) -> None:
        """Store other settings in place of those at sequence `after`.

        Raises:
            SequenceConflictError: those are not the last any more.
            BusUnavailableError: not confirmed; the settings may or may not have been stored.
        """
        data = policy_codec.to_message(settings).SerializeToString()
        await self._bus.append([Entry(SCHEDULING_SETTINGS, data, after)])

    async def changes(self) -> AsyncIterator[PolicySettings | CaughtUp]:
        """The settings, if any were ever stored, that these hold, and again after each change, without end."""
        async for item in self._bus.tail(SETTINGS, SCHEDULING_SETTINGS):
            yield item if isinstance(item, CaughtUp) else _stored(item).settings


def _stored(message: Message) -> StoredPolicy:
    try:
        read = scheduling_policy_pb2.SchedulingPolicy.FromString(message.data)
    except DecodeError as error:
        # Whoever changes it next mends it. Until then tasks had better run by the defaults than not at all.
        logger.error("the policy can't be read, so the defaults hold: %s", error, extra={"action": "policy_unreadable"})  # noqa: TRY400
        return StoredPolicy(sequence=message.sequence, time=message.time)
    return StoredPolicy(policy_codec.from_message(read), message.sequence, message.time)
