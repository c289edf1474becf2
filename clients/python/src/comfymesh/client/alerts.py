"""Alerts, silences, channels and webhooks: what the notifier tells, and what people tell it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from comfymesh.client.alert_convert import (
    alert_from_proto,
    channel_from_proto,
    delivery_from_proto,
    notice_from_proto,
    rule_from_proto,
    silence_from_proto,
    webhook_from_proto,
)
from comfymesh.client.alert_models import AlertSetup, DeliveryState, Severity
from comfymesh.client.calls import Calls, task_name
from comfymesh.client.paging import Pages
from comfymesh.v1 import alert_pb2
from comfymesh.v1 import alert_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from datetime import timedelta

    from comfymesh.client.alert_models import Alert, AlertNotice, ChannelDelivery, Silence, WebhookDelivery
    from comfymesh.client.models import Task


class AlertCalls(Calls):
    """The part of a client that sees to alerts. Every call raises ComfyMeshError where it fails."""

    async def alert_setup(self) -> AlertSetup:
        """The rules and channels that the notifier follows."""
        answer = await self._call(self._transport.list_alert_rules, pb.ListAlertRulesRequest())
        return AlertSetup(tuple(map(rule_from_proto, answer.rules)), tuple(map(channel_from_proto, answer.channels)))

    async def alerts(self, *, firing_only: bool = False) -> Sequence[Alert]:
        """The alerts under way, the worst first."""
        answer = await self._call(self._transport.list_alerts, pb.ListAlertsRequest(firing_only=firing_only))
        return [alert_from_proto(alert) for alert in answer.alerts]

    async def alert_notices(
        self,
        *,
        rule: str = "",
        alert: str = "",
        severity: Severity | None = None,
        after: datetime | None = None,
        page_size: int = 0,
    ) -> AsyncGenerator[AlertNotice]:
        """What was told, oldest first.

        Args:
            rule: Only of this rule.
            alert: Only of this alert: ``alerts/{alert}``, or its last part alone.
            severity: Only what is at least so bad.
            after: Only what was told at or after this time.
            page_size: How many to fetch at a time; 0 lets the server decide.
        """
        request = pb.ListAlertNoticesRequest(
            rule=rule,
            alert=_name("alerts", alert) if alert else "",
            severity=f"ALERT_SEVERITY_{severity}" if severity else "ALERT_SEVERITY_UNSPECIFIED",
            page_size=page_size,
        )
        if after is not None:
            request.after.FromDatetime(after)
        async for page in Pages(request, lambda: self._call(self._transport.list_alert_notices, request)):
            for notice in page.notices:
                yield notice_from_proto(notice)

    async def acknowledge_alert(self, alert: str, by: str) -> None:
        """Says that somebody sees to an alert: it is not told again until it has ended.

        Args:
            alert: ``alerts/{alert}``, or its last part alone.
            by: Who.
        """
        request = pb.AcknowledgeAlertRequest(name=_name("alerts", alert), acknowledged_by=by)
        await self._call(self._transport.acknowledge_alert, request)

    async def silence_alerts(
        self,
        lasts: timedelta,
        comment: str,
        *,
        rules: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        by: str = "",
    ) -> Silence:
        """Lets nobody be told of some alerts for some time.

        Args:
            lasts: For how long, from now on.
            comment: Why.
            rules: Rules that it is for, with ``*`` for anything; all where there is none.
            labels: What alerts must be about, such as ``node``.
            by: Who wants it.
        """
        silence = alert_pb2.Silence(rules=rules, labels=labels or {}, comment=comment, created_by=by)
        silence.end_time.FromDatetime(datetime.now(UTC) + lasts)
        answer = await self._call(self._transport.create_silence, pb.CreateSilenceRequest(silence=silence))
        return silence_from_proto(answer.silence)

    async def silences(self) -> Sequence[Silence]:
        """The silences that have not ended, by the time of their end."""
        answer = await self._call(self._transport.list_silences, pb.ListSilencesRequest())
        return [silence_from_proto(silence) for silence in answer.silences]

    async def end_silence(self, silence: str) -> None:
        """Ends a silence: ``silences/{silence}``, or its last part alone."""
        await self._call(self._transport.delete_silence, pb.DeleteSilenceRequest(name=_name("silences", silence)))

    async def test_alert_channel(self, channel: str) -> ChannelDelivery:
        """Sends a message on a channel; answers what became of it."""
        answer = await self._call(self._transport.test_alert_channel, pb.TestAlertChannelRequest(channel=channel))
        return delivery_from_proto(answer.delivery)

    async def webhook_deliveries(
        self, *, task: str | Task = "", state: DeliveryState | None = None, page_size: int = 0
    ) -> AsyncGenerator[WebhookDelivery]:
        """Calls to callback URLs, those that changed longest ago first.

        Args:
            task: Only of this task.
            state: Only those that are so far.
            page_size: How many to fetch at a time; 0 lets the server decide.
        """
        request = pb.ListWebhookDeliveriesRequest(
            task=task_name(task) if task else "",
            state=f"STATE_{state}" if state else "STATE_UNSPECIFIED",
            page_size=page_size,
        )
        async for page in Pages(request, lambda: self._call(self._transport.list_webhook_deliveries, request)):
            for delivery in page.deliveries:
                yield webhook_from_proto(delivery)

    async def redeliver_webhook(self, delivery: str) -> WebhookDelivery:
        """Lets a call be tried again: ``webhookDeliveries/{delivery}``, or its last part alone."""
        request = pb.RedeliverWebhookRequest(name=_name("webhookDeliveries", delivery))
        answer = await self._call(self._transport.redeliver_webhook, request)
        return webhook_from_proto(answer.delivery)


def _name(collection: str, name: str) -> str:
    return name if "/" in name else f"{collection}/{name}"
