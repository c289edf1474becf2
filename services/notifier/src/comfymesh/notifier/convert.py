"""Alerts and notices as messages for the api, and rules as people see them."""

from __future__ import annotations

from comfymesh.notifier.domain.alerts import Alert, Notice, NoticeKind, Status
from comfymesh.notifier.domain.rules import BaseRule, Rules
from comfymesh.notifier.domain.values import Severity
from comfymesh.notifier.domain.windows import Silence
from comfymesh.notifier.domain.wording import clean, word
from comfymesh.tasks.moments import seconds, timestamp
from comfymesh.v1 import alert_pb2

SEVERITIES = {
    Severity.INFO: alert_pb2.ALERT_SEVERITY_INFO,
    Severity.WARNING: alert_pb2.ALERT_SEVERITY_WARNING,
    Severity.ERROR: alert_pb2.ALERT_SEVERITY_ERROR,
    Severity.CRITICAL: alert_pb2.ALERT_SEVERITY_CRITICAL,
}
_STATES = {Status.PENDING: alert_pb2.Alert.STATE_PENDING, Status.FIRING: alert_pb2.Alert.STATE_FIRING}
_KINDS = {
    NoticeKind.FIRING: alert_pb2.AlertNotice.KIND_FIRING,
    NoticeKind.REPEATED: alert_pb2.AlertNotice.KIND_REPEATED,
    NoticeKind.ESCALATED: alert_pb2.AlertNotice.KIND_ESCALATED,
    NoticeKind.RESOLVED: alert_pb2.AlertNotice.KIND_RESOLVED,
}
_LONGEST_MESSAGE = 2000


def alert_message(alert: Alert) -> alert_pb2.Alert:
    """An alert as callers see it."""
    signal = alert.signal
    message = alert_pb2.Alert(
        name=f"alerts/{alert.alert_id}",
        rule=signal.rule,
        severity=SEVERITIES[signal.severity],
        state=_STATES[alert.status],
        labels={name: clean(value, _LONGEST_MESSAGE) for name, value in signal.labels.items()},
        message=clean(signal.message, _LONGEST_MESSAGE),
        count=alert.count,
        start_time=timestamp(alert.since),
        last_time=timestamp(alert.last_seen),
        acknowledged_by=clean(alert.acknowledged_by, _LONGEST_MESSAGE),
        escalated=alert.escalated,
        noticed_by=signal.path,
    )
    if alert.told_at is not None:
        message.last_notice_time.CopyFrom(timestamp(alert.told_at))
    return message


def notice_message(notice: Notice, rules: Rules) -> alert_pb2.AlertNotice:
    """A notice as it is stored and sent: with its words, and the channels that it goes to."""
    said = word(notice, rules.named(notice.alert.signal.rule))
    return alert_pb2.AlertNotice(
        name=f"alertNotices/{notice.notice_id}",
        kind=_KINDS[notice.kind],
        alert=alert_message(notice.alert),
        severity=SEVERITIES[notice.severity],
        new_count=notice.new,
        suppressed_count=notice.suppressed,
        title=said.title,
        text=said.text,
        channels=rules.receivers(notice.to, notice.severity),
        create_time=timestamp(notice.time),
    )


def rule_message(rule: BaseRule) -> alert_pb2.AlertRule:
    """A rule as callers see it."""
    fields = rule.model_dump(mode="json", by_alias=True)
    return alert_pb2.AlertRule(
        name=rule.name,
        kind=fields["kind"],
        severity=SEVERITIES[rule.severity],
        channels=rule.channels,
        runbook=rule.runbook,
        definition_json=rule.model_dump_json(by_alias=True, exclude_defaults=True),
    )


def silence_of(silence_id: str, message: alert_pb2.Silence) -> Silence:
    """A silence that somebody made."""
    return Silence(
        silence_id,
        tuple(message.rules),
        seconds(message.start_time),
        seconds(message.end_time),
        dict(message.labels),
    )
