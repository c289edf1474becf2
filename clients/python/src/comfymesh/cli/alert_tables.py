"""Alerts, notices, silences and webhooks as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from comfymesh.cli.columns import PlainTable
from comfymesh.cli.text import age, one_line, short_name
from comfymesh.client import DeliveryState, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from comfymesh.client import Alert, AlertChannel, AlertNotice, AlertRule, Silence, WebhookDelivery

_STYLES = {Severity.WARNING: "yellow", Severity.ERROR: "red", Severity.CRITICAL: "bold red"}
_DELIVERY_STYLES = {DeliveryState.DELIVERED: "green", DeliveryState.FAILED: "red"}


def alert_table(alerts: Sequence[Alert], now: datetime) -> PlainTable:
    """Alerts, a line for each."""
    table = PlainTable("ALERT", "SEVERITY", "RULE", "ABOUT", "COUNT", "SINCE", "TOLD", "SEEN TO BY", "MESSAGE")
    for alert in alerts:
        table.add_row(
            short_name(alert.name),
            _severity(alert.severity),
            one_line(alert.rule),
            _labels(alert.labels),
            str(alert.count),
            age(alert.start_time, now),
            age(alert.last_notice_time, now) if alert.last_notice_time else "-",
            one_line(alert.acknowledged_by) or "-",
            one_line(alert.message),
        )
    return table


def notice_table(notices: Sequence[AlertNotice], now: datetime) -> PlainTable:
    """What was told, a line for each."""
    table = PlainTable("TOLD", "SEVERITY", "WHY", "RULE", "ABOUT", "NEW", "CHANNELS", "MESSAGE")
    for notice in notices:
        table.add_row(
            age(notice.create_time, now),
            _severity(notice.severity),
            notice.kind.lower(),
            one_line(notice.alert.rule) or "-",
            _labels(notice.alert.labels),
            str(notice.new_count),
            _deliveries(notice),
            one_line(notice.alert.message or notice.title),
        )
    return table


def rule_table(rules: Sequence[AlertRule]) -> PlainTable:
    """Rules, a line for each."""
    table = PlainTable("RULE", "KIND", "SEVERITY", "CHANNELS", "WHAT TO DO")
    for rule in rules:
        channels = ", ".join(map(one_line, rule.channels)) or "all"
        table.add_row(
            one_line(rule.name), one_line(rule.kind), _severity(rule.severity), channels, one_line(rule.runbook)
        )
    return table


def channel_table(channels: Sequence[AlertChannel]) -> PlainTable:
    """Channels, a line for each."""
    table = PlainTable("CHANNEL", "ADDRESS", "FROM SEVERITY")
    for channel in channels:
        table.add_row(one_line(channel.name), one_line(channel.address), _severity(channel.severity))
    return table


def silence_table(silences: Sequence[Silence], now: datetime) -> PlainTable:
    """Silences, a line for each."""
    table = PlainTable("SILENCE", "RULES", "ABOUT", "ENDS", "BY", "WHY")
    for silence in silences:
        left = "-" if silence.end_time is None else f"in {round((silence.end_time - now).total_seconds() / 60)} min"
        table.add_row(
            short_name(silence.name),
            ", ".join(map(one_line, silence.rules)) or "all",
            _labels(silence.labels),
            left,
            one_line(silence.created_by) or "-",
            one_line(silence.comment),
        )
    return table


def webhook_table(deliveries: Sequence[WebhookDelivery], now: datetime) -> PlainTable:
    """Calls to callback URLs, a line for each."""
    table = PlainTable("DELIVERY", "TASK", "TELLS OF", "STATE", "TRIES", "MADE", "STATUS", "URL", "LAST ERROR")
    for delivery in deliveries:
        table.add_row(
            short_name(delivery.name),
            short_name(delivery.task),
            delivery.task_state.lower(),
            Text(delivery.state.lower(), style=_DELIVERY_STYLES.get(delivery.state, "")),
            str(delivery.attempt_count),
            age(delivery.create_time, now),
            str(delivery.last_status or "-"),
            one_line(delivery.url),
            one_line(delivery.last_error) or "-",
        )
    return table


def _severity(severity: Severity) -> Text:
    return Text(severity.lower(), style=_STYLES.get(severity, ""))


def _labels(labels: Mapping[str, str]) -> str:
    return " ".join(f"{one_line(name)}={one_line(value)}" for name, value in sorted(labels.items())) or "-"


def _deliveries(notice: AlertNotice) -> str:
    known = {delivery.channel: delivery.state.lower() for delivery in notice.deliveries}
    return ", ".join(f"{one_line(channel)} ({known.get(channel, 'pending')})" for channel in notice.channels) or "none"
