"""Messages of AlertService as values of the SDK."""

from __future__ import annotations

from comfymesh.client.alert_models import (
    Alert,
    AlertChannel,
    AlertNotice,
    AlertRule,
    AlertState,
    ChannelDelivery,
    DeliveryState,
    NoticeKind,
    Severity,
    Silence,
    WebhookDelivery,
)
from comfymesh.client.convert import enum_from_proto as _enum
from comfymesh.client.convert import time_from_proto as _time
from comfymesh.client.models import TaskState
from comfymesh.v1 import alert_pb2, task_pb2


def severity_from_proto(number: int) -> Severity:
    """A severity."""
    return _enum(Severity, alert_pb2.AlertSeverity.Name, number, "ALERT_SEVERITY_")


def alert_from_proto(message: alert_pb2.Alert) -> Alert:
    """An alert."""
    return Alert(
        name=message.name,
        rule=message.rule,
        severity=severity_from_proto(message.severity),
        state=_enum(AlertState, alert_pb2.Alert.State.Name, message.state, "STATE_"),
        labels=dict(message.labels),
        message=message.message,
        count=message.count,
        start_time=_time(message, "start_time"),
        last_time=_time(message, "last_time"),
        last_notice_time=_time(message, "last_notice_time"),
        acknowledged_by=message.acknowledged_by,
        escalated=message.escalated,
        noticed_by=message.noticed_by,
    )


def delivery_from_proto(message: alert_pb2.ChannelDelivery) -> ChannelDelivery:
    """What became of a message on a channel."""
    state = _enum(DeliveryState, alert_pb2.ChannelDelivery.State.Name, message.state, "STATE_")
    return ChannelDelivery(message.channel, state, message.attempt_count, message.error, _time(message, "end_time"))


def notice_from_proto(message: alert_pb2.AlertNotice) -> AlertNotice:
    """What somebody was told."""
    return AlertNotice(
        name=message.name,
        kind=_enum(NoticeKind, alert_pb2.AlertNotice.Kind.Name, message.kind, "KIND_"),
        alert=alert_from_proto(message.alert),
        severity=severity_from_proto(message.severity),
        new_count=message.new_count,
        suppressed_count=message.suppressed_count,
        title=message.title,
        text=message.text,
        channels=tuple(message.channels),
        create_time=_time(message, "create_time"),
        deliveries=tuple(map(delivery_from_proto, message.deliveries)),
    )


def rule_from_proto(message: alert_pb2.AlertRule) -> AlertRule:
    """A rule."""
    severity = severity_from_proto(message.severity)
    channels = tuple(message.channels)
    return AlertRule(message.name, message.kind, severity, channels, message.runbook, message.definition_json)


def channel_from_proto(message: alert_pb2.AlertChannel) -> AlertChannel:
    """A channel."""
    return AlertChannel(message.name, message.address, severity_from_proto(message.severity))


def silence_from_proto(message: alert_pb2.Silence) -> Silence:
    """A silence."""
    return Silence(
        name=message.name,
        rules=tuple(message.rules),
        labels=dict(message.labels),
        start_time=_time(message, "start_time"),
        end_time=_time(message, "end_time"),
        comment=message.comment,
        created_by=message.created_by,
        create_time=_time(message, "create_time"),
    )


def webhook_from_proto(message: alert_pb2.WebhookDelivery) -> WebhookDelivery:
    """A call to a callback URL."""
    return WebhookDelivery(
        name=message.name,
        task=message.task,
        task_state=_enum(TaskState, task_pb2.Task.State.Name, message.task_state, "STATE_"),
        url=message.url,
        state=_enum(DeliveryState, alert_pb2.WebhookDelivery.State.Name, message.state, "STATE_"),
        attempt_count=message.attempt_count,
        last_status=message.last_status,
        last_error=message.last_error,
        create_time=_time(message, "create_time"),
        next_attempt_time=_time(message, "next_attempt_time"),
        end_time=_time(message, "end_time"),
    )
