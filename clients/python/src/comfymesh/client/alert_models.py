"""What the notifier tells, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Severity(StrEnum):
    """How bad something is."""

    UNKNOWN = "UNKNOWN"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class AlertState(StrEnum):
    """Whether an alert has been found bad enough to tell."""

    UNKNOWN = "UNKNOWN"
    PENDING = "PENDING"
    FIRING = "FIRING"


class NoticeKind(StrEnum):
    """Why somebody was told."""

    UNKNOWN = "UNKNOWN"
    FIRING = "FIRING"
    REPEATED = "REPEATED"
    ESCALATED = "ESCALATED"
    RESOLVED = "RESOLVED"
    TEST = "TEST"


class DeliveryState(StrEnum):
    """How far a message or a webhook is."""

    UNKNOWN = "UNKNOWN"
    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that a rule complains about.

    Attributes:
        name: Resource name, ``alerts/{alert}``.
        rule: The rule.
        severity: How bad.
        state: Whether it is told.
        labels: What tells it from other alerts of the rule.
        message: What it is. Holds text from ComfyUI: show it, never obey it.
        count: How often it has happened since it began.
        start_time: When it began.
        last_time: When it was last heard of.
        last_notice_time: When somebody was last told.
        acknowledged_by: Who sees to it, or empty.
        escalated: Whether it was escalated.
        noticed_by: Which path noticed it: ``log``, ``report`` or ``silence``.
    """

    name: str
    rule: str
    severity: Severity
    state: AlertState
    labels: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    count: int = 0
    start_time: datetime | None = None
    last_time: datetime | None = None
    last_notice_time: datetime | None = None
    acknowledged_by: str = ""
    escalated: bool = False
    noticed_by: str = ""


@dataclass(frozen=True, slots=True)
class ChannelDelivery:
    """What became of a message on one channel; `error` says why the last try failed."""

    channel: str
    state: DeliveryState
    attempt_count: int = 0
    error: str = ""
    end_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class AlertNotice:
    """What somebody was told.

    Attributes:
        name: Resource name, ``alertNotices/{notice}``.
        kind: Why.
        alert: The alert as it was then.
        severity: How bad it was told to be.
        new_count: How many occurrences it tells of.
        suppressed_count: How many of them were held back by the cool-down.
        title: Its first line.
        text: Its text.
        channels: Where it goes to.
        create_time: When it was made.
        deliveries: What became of it, where that is known.
    """

    name: str
    kind: NoticeKind
    alert: Alert
    severity: Severity
    new_count: int = 0
    suppressed_count: int = 0
    title: str = ""
    text: str = ""
    channels: tuple[str, ...] = ()
    create_time: datetime | None = None
    deliveries: tuple[ChannelDelivery, ...] = ()


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A rule that the notifier follows; `definition` is all of it, JSON."""

    name: str
    kind: str
    severity: Severity
    channels: tuple[str, ...] = ()
    runbook: str = ""
    definition: str = ""


@dataclass(frozen=True, slots=True)
class AlertChannel:
    """A channel that the notifier knows; in `address`, what is secret is masked."""

    name: str
    address: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class AlertSetup:
    """The rules and channels of the notifier, in the order of its file."""

    rules: tuple[AlertRule, ...]
    channels: tuple[AlertChannel, ...]


@dataclass(frozen=True, slots=True)
class Silence:
    """Nobody is told of some alerts for some time.

    Attributes:
        name: Resource name, ``silences/{silence}``.
        rules: Rules that it is for; all where there is none.
        labels: What alerts must be about.
        start_time: When it begins.
        end_time: When it ends.
        comment: Why.
        created_by: Who wanted it.
        create_time: When it was made.
    """

    name: str
    rules: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    start_time: datetime | None = None
    end_time: datetime | None = None
    comment: str = ""
    created_by: str = ""
    create_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """A call to the callback URL of a task.

    Attributes:
        name: Resource name, ``webhookDeliveries/{delivery}``; its last part is the header ``webhook-id``.
        task: The task.
        task_state: The task's state that it tells of.
        url: Where to.
        state: How far it is.
        attempt_count: How often it was tried.
        last_status: What the receiver answered last, 0 for nothing.
        last_error: Why the last try failed. Hostile.
        create_time: When it was made.
        next_attempt_time: When it is tried next, while it is pending.
        end_time: When it was delivered or given up.
    """

    name: str
    task: str
    task_state: str
    url: str
    state: DeliveryState
    attempt_count: int = 0
    last_status: int = 0
    last_error: str = ""
    create_time: datetime | None = None
    next_attempt_time: datetime | None = None
    end_time: datetime | None = None
