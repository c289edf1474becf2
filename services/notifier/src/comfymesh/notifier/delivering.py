"""Hands notices to a channel: each of them, in order, however often it takes, and beside all other channels.

How far a channel has been told is kept on the bus, so that a notice is sent again after a restart only if it was being
sent when the notifier ended. Receivers can tell that by its id.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

from google.protobuf.message import DecodeError

from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusUnavailableError, CaughtUp, Entry
from comfymesh.bus.streams import ALERTING, ALERTS
from comfymesh.notifier.domain.retrying import pause_before
from comfymesh.notifier.domain.rules import Channel
from comfymesh.notifier.sending import SendError
from comfymesh.runtime.patience import patiently
from comfymesh.tasks.moments import timestamp
from comfymesh.telemetry import catalogue
from comfymesh.telemetry.metrics import METRICS
from comfymesh.v1 import alert_pb2

logger = logging.getLogger(__name__)

_REMEMBERED = 1000
_GOOD = frozenset({alert_pb2.AlertNotice.KIND_RESOLVED, alert_pb2.AlertNotice.KIND_TEST})


class Target(Protocol):
    """Where messages can be sent to; see sending.Address."""

    async def send(self, title: str, text: str, *, bad: bool, timeout: float) -> None:
        """Send a message, or raise SendError."""
        ...


class Delivery:
    """Tells one channel.

    Args:
        channel: The channel.
        target: Where it sends to.
        bus: Where notices are.
        clock: Answers seconds since the epoch.
        sleep: Waits for some seconds.
    """

    def __init__(
        self,
        channel: Channel,
        target: Target,
        bus: Bus,
        clock: Callable[[], float],
        sleep: Callable[[float], asyncio.Future[None]] | None = None,
    ) -> None:
        self._channel = channel
        self._target = target
        self._bus = bus
        self._clock = clock
        self._sleep = sleep or asyncio.sleep
        self._told: dict[str, None] = {}
        self._sending = asyncio.Lock()

    @property
    def name(self) -> str:
        """The channel's name."""
        return self._channel.name

    async def begin(self) -> int:
        """Where to go on in the notices. A channel that is new is told of what comes from now on."""
        return await patiently(self._begin, BusUnavailableError, what=f"read how far {self._channel.name} is")

    async def run(self, position: int) -> None:
        """Tell the channel of every notice after `position`, for ever."""
        source = self._bus.tail(ALERTS, subjects.ALL_NOTICES, position)
        async with aclosing(source) as messages:  # type: ignore[type-var]  # all of them are generators
            async for message in messages:
                if isinstance(message, CaughtUp) or message.sequence <= position:
                    continue
                try:
                    notice = alert_pb2.AlertNotice.FromString(message.data)
                except DecodeError as error:
                    logger.warning("a notice on %s can't be read: %s", message.subject, error)
                    continue
                if self._channel.name in notice.channels:
                    await self._keep(notice, await self.tell(notice), message.sequence)

    async def tell(self, notice: alert_pb2.AlertNotice) -> alert_pb2.ChannelDelivery:
        """Send a notice until it was taken or must be given up; answers what became of it."""
        async with self._sending:
            delivery = alert_pb2.ChannelDelivery(channel=self._channel.name)
            if notice.name in self._told:
                delivery.state = alert_pb2.ChannelDelivery.STATE_DELIVERED
            else:
                await self._try(notice, delivery)
            delivery.end_time.CopyFrom(timestamp(self._clock()))
            delivered = delivery.state == alert_pb2.ChannelDelivery.STATE_DELIVERED
            METRICS.add(catalogue.NOTICES, 1, "delivered" if delivered else "failed")
            return delivery

    async def _try(self, notice: alert_pb2.AlertNotice, delivery: alert_pb2.ChannelDelivery) -> None:
        patience = 0.0 if notice.kind == alert_pb2.AlertNotice.KIND_TEST else self._channel.give_up_after
        give_up = self._clock() + patience
        while True:
            delivery.attempt_count += 1
            try:
                await self._target.send(
                    notice.title, _text(notice), bad=notice.kind not in _GOOD, timeout=self._channel.timeout
                )
            except SendError as error:
                delivery.error = str(error)
                pause = pause_before(delivery.attempt_count + 1)
                self._complain(notice, delivery)
                if self._clock() + pause >= give_up:
                    delivery.state = alert_pb2.ChannelDelivery.STATE_FAILED
                    return
                await self._sleep(pause)
            else:
                delivery.state, delivery.error = alert_pb2.ChannelDelivery.STATE_DELIVERED, ""
                self._remember(notice.name)
                return

    def _complain(self, notice: alert_pb2.AlertNotice, delivery: alert_pb2.ChannelDelivery) -> None:
        logger.warning(
            "channel %s did not take %s: %s",
            self._channel.name,
            notice.name,
            delivery.error,
            extra={"action": "channel_failed", "channel": self._channel.name, "attempt": delivery.attempt_count},
        )

    def _remember(self, name: str) -> None:
        self._told[name] = None
        if len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]

    async def _begin(self) -> int:
        subject = subjects.cursor(self._channel.name)
        known = await self._bus.last(ALERTING, subject)
        last = (await self._bus.state(ALERTS)).last
        if known is not None:
            return min(int(known.data), last)
        await self._bus.append([Entry(subject, str(last).encode())])
        return last

    async def _keep(self, notice: alert_pb2.AlertNotice, delivery: alert_pb2.ChannelDelivery, position: int) -> None:
        """Note what became of a notice, and that the channel has come so far."""
        notice_id = notice.name.partition("/")[2]
        entries = [
            Entry(subjects.delivered(notice_id, self._channel.name), delivery.SerializeToString()),
            Entry(subjects.cursor(self._channel.name), str(position).encode()),
        ]
        await patiently(lambda: self._bus.append(entries), BusUnavailableError, what="note what was told")


def _text(notice: alert_pb2.AlertNotice) -> str:
    return f"{notice.text}\nnotice: {notice.name.partition('/')[2]}"
