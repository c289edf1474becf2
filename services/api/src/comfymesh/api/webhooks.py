"""Calls to callback URLs, as the queue of the notifier has them."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import DecodeError

from comfymesh.api.alerting import every
from comfymesh.api.errors import not_found
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, Entry, Message, SequenceConflictError
from comfymesh.bus.streams import WEBHOOKS
from comfymesh.tasks.moments import timestamp
from comfymesh.v1 import alert_pb2
from comfymesh.wire.v1 import alerting_pb2


class Webhooks:
    """Webhook deliveries.

    Args:
        bus: The bus.
        clock: Answers seconds since the epoch.
    """

    def __init__(self, bus: Bus, clock: Callable[[], float]) -> None:
        self._bus = bus
        self._clock = clock

    async def page(
        self, tenant: str, wanted: Callable[[alert_pb2.WebhookDelivery], bool], size: int, after: int
    ) -> tuple[list[alert_pb2.WebhookDelivery], int]:
        """Up to `size` deliveries of a tenant after a place, and the place to go on, 0 at the end."""
        found = list[alert_pb2.WebhookDelivery]()
        async for message in every(self._bus, WEBHOOKS, subjects.webhook(tenant, "*"), after):
            webhook = _read(message)
            if webhook is None or not wanted(webhook.delivery):
                continue
            if len(found) == size:
                return found, after
            found.append(webhook.delivery)
            after = message.sequence
        return found, 0

    async def redeliver(self, tenant: str, delivery_id: str) -> alert_pb2.WebhookDelivery:
        """Let a delivery begin anew.

        Raises:
            RefusedError: WEBHOOK_DELIVERY_NOT_FOUND.
        """
        subject = subjects.webhook(tenant, delivery_id)
        while True:
            message = await self._bus.last(WEBHOOKS, subject)
            webhook = None if message is None else _read(message)
            if message is None or webhook is None:
                raise not_found("webhook_delivery", f"webhookDeliveries/{delivery_id}")
            delivery = webhook.delivery
            delivery.state = alert_pb2.WebhookDelivery.STATE_PENDING
            delivery.attempt_count = 0
            delivery.ClearField("end_time")
            delivery.next_attempt_time.CopyFrom(timestamp(self._clock()))
            try:
                await self._bus.append([Entry(subject, webhook.SerializeToString(), message.sequence)])
            except SequenceConflictError:
                continue  # The notifier has just noted a try.
            return delivery


def _read(message: Message) -> alerting_pb2.Webhook | None:
    try:
        return alerting_pb2.Webhook.FromString(message.data)
    except DecodeError:
        return None
