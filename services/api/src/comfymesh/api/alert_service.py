"""comfymesh.v1.AlertService."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import grpc

from comfymesh import names
from comfymesh.api import fields, paging
from comfymesh.api.access import caller
from comfymesh.api.alerting import Alerting
from comfymesh.api.errors import Violation, invalid
from comfymesh.api.webhooks import Webhooks
from comfymesh.tasks.moments import seconds
from comfymesh.v1 import alert_pb2, alert_service_pb2, alert_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_LONGEST_NAME = 128
_LONGEST_COMMENT = 512
_LONGEST_GLOB = 256
_LONGEST_SILENCE = 90 * 86400.0
_MOST_RULES = 64
_MOST_LABELS = 32
_CHANNEL = re.compile(r"[a-z][a-z0-9-]{0,62}")


class AlertService(alert_service_pb2_grpc.AlertServiceServicer):
    """Shows what the notifier tells, and tells it what people do not want to hear."""

    def __init__(self, alerting: Alerting, webhooks: Webhooks) -> None:
        self._alerting = alerting
        self._webhooks = webhooks

    async def ListAlertRules(
        self, request: alert_service_pb2.ListAlertRulesRequest, context: Context
    ) -> alert_service_pb2.ListAlertRulesResponse:
        """See the proto."""
        setup = await self._alerting.setup()
        return alert_service_pb2.ListAlertRulesResponse(rules=setup.rules, channels=setup.channels)

    async def ListAlerts(
        self, request: alert_service_pb2.ListAlertsRequest, context: Context
    ) -> alert_service_pb2.ListAlertsResponse:
        """See the proto."""
        active = await self._alerting.active()
        firing = alert_pb2.Alert.STATE_FIRING
        chosen = [alert for alert in active.alerts if alert.state == firing or not request.firing_only]
        chosen.sort(key=lambda alert: (-alert.severity, seconds(alert.start_time)))
        update_time = active.update_time if active.HasField("update_time") else None
        return alert_service_pb2.ListAlertsResponse(alerts=chosen, update_time=update_time)

    async def ListAlertNotices(
        self, request: alert_service_pb2.ListAlertNoticesRequest, context: Context
    ) -> alert_service_pb2.ListAlertNoticesResponse:
        """See the proto."""
        if wrong := [*paging.violations(request.page_size), *_alert_violations("alert", request.alert, required=False)]:
            raise invalid(wrong)
        after = _place(request, request.page_token)
        since = seconds(request.after) if request.HasField("after") else 0.0

        def wanted(notice: alert_pb2.AlertNotice) -> bool:
            return (
                (not request.rule or notice.alert.rule == request.rule)
                and (not request.alert or notice.alert.name == request.alert)
                and notice.severity >= request.severity
                and seconds(notice.create_time) >= since
            )

        found, end = await self._alerting.notices(wanted, paging.size(request.page_size), after)
        token = paging.make_token(request, [end]) if end else ""
        return alert_service_pb2.ListAlertNoticesResponse(notices=found, next_page_token=token)

    async def AcknowledgeAlert(
        self, request: alert_service_pb2.AcknowledgeAlertRequest, context: Context
    ) -> alert_service_pb2.AcknowledgeAlertResponse:
        """See the proto."""
        wrong = [
            *_alert_violations("name", request.name, required=True),
            *_text_violations("acknowledged_by", request.acknowledged_by, _LONGEST_NAME, required=True),
        ]
        if wrong:
            raise invalid(wrong)
        await self._alerting.acknowledge(names.parse_alert(request.name), request.acknowledged_by)
        return alert_service_pb2.AcknowledgeAlertResponse()

    async def CreateSilence(
        self, request: alert_service_pb2.CreateSilenceRequest, context: Context
    ) -> alert_service_pb2.CreateSilenceResponse:
        """See the proto."""
        if wrong := list(_silence_violations(request.silence, self._alerting.now())):
            raise invalid(wrong)
        return alert_service_pb2.CreateSilenceResponse(silence=await self._alerting.silence(request.silence))

    async def ListSilences(
        self, request: alert_service_pb2.ListSilencesRequest, context: Context
    ) -> alert_service_pb2.ListSilencesResponse:
        """See the proto."""
        return alert_service_pb2.ListSilencesResponse(silences=await self._alerting.silences())

    async def DeleteSilence(
        self, request: alert_service_pb2.DeleteSilenceRequest, context: Context
    ) -> alert_service_pb2.DeleteSilenceResponse:
        """See the proto."""
        await self._alerting.unsilence(names.parse_silence(request.name))
        return alert_service_pb2.DeleteSilenceResponse()

    async def TestAlertChannel(
        self, request: alert_service_pb2.TestAlertChannelRequest, context: Context
    ) -> alert_service_pb2.TestAlertChannelResponse:
        """See the proto."""
        if not _CHANNEL.fullmatch(request.channel):
            raise invalid([Violation("channel", "must be the name of a channel: 1 to 63 characters out of a-z0-9-")])
        delivery = await self._alerting.test(request.channel)
        return alert_service_pb2.TestAlertChannelResponse(delivery=delivery)

    async def ListWebhookDeliveries(
        self, request: alert_service_pb2.ListWebhookDeliveriesRequest, context: Context
    ) -> alert_service_pb2.ListWebhookDeliveriesResponse:
        """See the proto."""
        wrong = paging.violations(request.page_size)
        if request.task:
            wrong += [Violation("task", v.description) for v in fields.name_violations(request.task, names.parse_task)]
        if wrong:
            raise invalid(wrong)
        after = _place(request, request.page_token)

        def wanted(delivery: alert_pb2.WebhookDelivery) -> bool:
            return (not request.task or delivery.task == request.task) and request.state in {0, delivery.state}

        found, end = await self._webhooks.page(caller.tenant(), wanted, paging.size(request.page_size), after)
        token = paging.make_token(request, [end]) if end else ""
        return alert_service_pb2.ListWebhookDeliveriesResponse(deliveries=found, next_page_token=token)

    async def RedeliverWebhook(
        self, request: alert_service_pb2.RedeliverWebhookRequest, context: Context
    ) -> alert_service_pb2.RedeliverWebhookResponse:
        """See the proto."""
        delivery = await self._webhooks.redeliver(caller.tenant(), names.parse_webhook_delivery(request.name))
        return alert_service_pb2.RedeliverWebhookResponse(delivery=delivery)


def _place(
    request: alert_service_pb2.ListAlertNoticesRequest | alert_service_pb2.ListWebhookDeliveriesRequest, token: str
) -> int:
    return int(paging.read_token(request, token, int)[0]) if token else 0


def _alert_violations(field: str, name: str, *, required: bool) -> Iterator[Violation]:
    if name or required:
        for violation in fields.name_violations(name, names.parse_alert):
            yield Violation(field, violation.description)


def _text_violations(field: str, text: str, longest: int, *, required: bool) -> Iterator[Violation]:
    if required and not text:
        yield Violation(field, "is required")
    if len(text) > longest:
        yield Violation(field, f"has {len(text)} characters, at most {longest} are allowed")


def _silence_violations(silence: alert_pb2.Silence, now: float) -> Iterator[Violation]:
    yield from _text_violations("silence.comment", silence.comment, _LONGEST_COMMENT, required=True)
    yield from _text_violations("silence.created_by", silence.created_by, _LONGEST_NAME, required=False)
    if len(silence.rules) > _MOST_RULES:
        yield Violation("silence.rules", f"has {len(silence.rules)} entries, at most {_MOST_RULES} are allowed")
    if len(silence.labels) > _MOST_LABELS:
        yield Violation("silence.labels", f"has {len(silence.labels)} entries, at most {_MOST_LABELS} are allowed")
    for glob in [*silence.rules, *silence.labels.values()]:
        if len(glob) > _LONGEST_GLOB:
            yield Violation("silence", f"{glob[:32]!r}... is longer than {_LONGEST_GLOB} characters")
    if not silence.HasField("end_time"):
        yield Violation("silence.end_time", "is required: a silence has an end")
        return
    end, start = seconds(silence.end_time), seconds(silence.start_time) if silence.HasField("start_time") else now
    if end <= max(now, start):
        yield Violation("silence.end_time", "must be after now and after start_time")
    if end > now + _LONGEST_SILENCE:
        yield Violation(
            "silence.end_time", "must be within 90 days; what lasts longer is no silence but a rule to change"
        )
