"""The alerts that are under way, and when somebody is told of them. Knows nothing of what they are about.

Two kinds of signals make alerts. An *occurrence* has happened at a moment; equal ones are counted, told once, and then
told again as "N more" at most once in each cool-down. A *reading* says whether a condition holds; it fires when that
has lasted, is told again now and then, and its end is told as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from comfymesh.notifier.domain.rules import BaseRule, Condition, Occurrences
from comfymesh.notifier.domain.values import Severity, cut, worst

MOST_ALERTS = 250
"""Alerts under way at once. What comes beyond is counted together, by rule. All of them, and a notice of each, fit into
one message of NATS, whatever hostile texts they carry."""

_OTHERS = {"role": "others"}
_MESSAGE_BYTES = 400
_FACT_BYTES = 96


class Status(StrEnum):
    """Whether an alert has been found bad enough to tell."""

    PENDING = "pending"
    FIRING = "firing"


class NoticeKind(StrEnum):
    """Why somebody is told."""

    FIRING = "firing"
    REPEATED = "repeated"
    ESCALATED = "escalated"
    RESOLVED = "resolved"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that a rule wants to know.

    Attributes:
        rule: The rule's name.
        labels: What tells this alert from others of the rule.
        severity: How bad.
        message: What it is, for people. Hostile.
        facts: What else is known of it, for templates. Hostile.
        path: Which path noticed it, such as `log` or `report`.
    """

    rule: str
    labels: Mapping[str, str]
    severity: Severity
    message: str
    facts: Mapping[str, str] = field(default_factory=dict)
    path: str = "log"

    @property
    def alert_id(self) -> str:
        """The same for all that is counted together."""
        text = "\0".join([self.rule, *(f"{name}\1{value}" for name, value in sorted(self.labels.items()))])
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


@dataclass(slots=True, kw_only=True)
class Alert:
    """One alert. Times in seconds since the epoch.

    Attributes:
        signal: The worst, or else the last, of what was heard.
        since: When it began, first of all or again after its end.
        last_seen: When it was last heard of.
        status: Whether it is bad enough to tell.
        count: Occurrences since it began.
        recent: When the last few happened, as many as the rule counts.
        told: How many of them were told, or are not to be told since they were silenced when they happened.
        told_at: When somebody was last told, None for never.
        told_severity: How bad it was told to be.
        due: When somebody is to be told next, None for not.
        cleared_at: Since when a condition does not hold any more.
        escalated: Whether that was done.
        acknowledged_by: Who sees to it, empty for nobody.
    """

    signal: Signal
    since: float
    last_seen: float
    status: Status = Status.PENDING
    count: int = 0
    recent: list[float] = field(default_factory=list)
    told: int = 0
    told_at: float | None = None
    told_severity: Severity = Severity.INFO
    due: float | None = None
    cleared_at: float | None = None
    escalated: bool = False
    acknowledged_by: str = ""

    @property
    def alert_id(self) -> str:
        """Its name."""
        return self.signal.alert_id

    @property
    def was_told(self) -> bool:
        """Whether anybody was told of it."""
        return self.told_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What somebody is told.

    Attributes:
        notice_id: The same however often it is sent.
        alert: The alert as it was then.
        kind: Why.
        severity: How bad.
        new: Occurrences that this tells of.
        suppressed: How many of them were held back by the cool-down.
        to: Names of channels as a rule has them; empty for all.
        time: When.
    """

    notice_id: str
    alert: Alert
    kind: NoticeKind
    severity: Severity
    new: int
    suppressed: int
    to: tuple[str, ...]
    time: float


@dataclass(slots=True)
class Numbering:
    """Names that no two notices share.

    Attributes:
        mark: Of this line of numbers; one that begins anew has another.
        last: The number that was given last.
    """

    mark: str
    last: int = 0

    def next(self) -> str:
        """A new name."""
        self.last += 1
        return f"{self.mark}-{self.last}"


IsQuiet = Callable[[str, Mapping[str, str], float], bool]
"""Whether an alert of a rule, about these labels, is silenced at a time."""


class AlertBook:
    """All alerts that are under way.

    Args:
        rules: The rules by name.
        is_quiet: Says what is silenced.
        alerts: Those that are under way, by their names.
        numbering: Names notices.
    """

    def __init__(
        self, rules: Mapping[str, BaseRule], is_quiet: IsQuiet, alerts: dict[str, Alert], numbering: Numbering
    ) -> None:
        self._rules = rules
        self._is_quiet = is_quiet
        self._numbering = numbering
        self.alerts = alerts

    def occurred(self, signal: Signal, now: float) -> list[Notice]:
        """Something has happened."""
        rule = self._rules[signal.rule]
        assert isinstance(rule, Occurrences)
        signal = _bounded(signal)
        alert = self._find(signal, now)
        alert.count += 1
        alert.last_seen = now
        alert.recent = [*alert.recent, now][-rule.count :]
        _hear(alert, signal)
        if len(alert.recent) == rule.count and now - alert.recent[0] <= rule.window:
            alert.status = Status.FIRING
        if self._is_quiet(rule.name, alert.signal.labels, now):
            alert.told += 1
        elif alert.status is Status.FIRING:
            alert.due = _due(alert, rule, now)
        return list(self._settle(alert, now))

    def read(self, signal: Signal, now: float, *, holds: bool) -> list[Notice]:
        """Whether a condition holds now."""
        rule = self._rules[signal.rule]
        assert isinstance(rule, Condition)
        if not holds:
            known = self.alerts.get(signal.alert_id)
            if known is None:
                return []
            if known.status is Status.PENDING:
                del self.alerts[known.alert_id]
                return []
            if known.cleared_at is None:
                known.cleared_at = now
            return list(self._settle(known, now))
        signal = _bounded(signal)
        alert = self._find(signal, now)
        alert.count = 1
        alert.last_seen, alert.cleared_at = now, None
        _hear(alert, signal)
        if alert.status is Status.PENDING and now - alert.since >= rule.pending:
            alert.status, alert.due = Status.FIRING, now
        return list(self._settle(alert, now))

    def passed(self, now: float) -> list[Notice]:
        """Time has passed."""
        return [notice for alert in list(self.alerts.values()) for notice in self._settle(alert, now)]

    def acknowledge(self, alert_id: str, by: str) -> bool:
        """Somebody sees to an alert: it is neither repeated nor escalated. Answers whether there is one."""
        alert = self.alerts.get(alert_id)
        if alert is not None:
            alert.acknowledged_by = by
        return alert is not None

    def _find(self, signal: Signal, now: float) -> Alert:
        """The alert of a signal, perhaps a new one."""
        known = self.alerts.get(signal.alert_id)
        if known is None and len(self.alerts) >= MOST_ALERTS:
            signal = replace(signal, labels=_OTHERS)
            known = self.alerts.get(signal.alert_id)
        if known is None:
            known = Alert(signal=signal, since=now, last_seen=now)
            self.alerts[signal.alert_id] = known
        return known

    def _settle(self, alert: Alert, now: float) -> Iterator[Notice]:
        """Tell what is due of an alert, and let it go when it is over."""
        rule = self._rules.get(alert.signal.rule)
        if rule is None:
            del self.alerts[alert.alert_id]  # The rule is there no more.
            return
        quiet = self._is_quiet(rule.name, alert.signal.labels, now)
        over = _is_over(alert, rule, now, quiet=quiet)
        if not quiet:
            yield from self._tell(alert, rule, now, over=over)
        if over:
            del self.alerts[alert.alert_id]

    def _tell(self, alert: Alert, rule: BaseRule, now: float, *, over: bool) -> Iterator[Notice]:
        if over:
            if alert.was_told and rule.recovery:
                yield self._notice(alert, rule, NoticeKind.RESOLVED, now)
        elif alert.cleared_at is None:
            if alert.due is not None and alert.due <= now and not (alert.acknowledged_by and alert.was_told):
                yield self._notice(alert, rule, NoticeKind.REPEATED if alert.was_told else NoticeKind.FIRING, now)
            if _has_to_escalate(alert, rule, now):
                alert.escalated = True
                yield self._notice(alert, rule, NoticeKind.ESCALATED, now)

    def _notice(self, alert: Alert, rule: BaseRule, kind: NoticeKind, now: float) -> Notice:
        """Make a notice, and note in the alert that it was told."""
        new, was_told = alert.count - alert.told, alert.was_told
        if kind in {NoticeKind.FIRING, NoticeKind.REPEATED}:
            alert.told, alert.told_at, alert.told_severity = alert.count, now, alert.signal.severity
            alert.due = now + rule.repeat if isinstance(rule, Condition) and rule.repeat else None
        severity, to = _reach(alert, rule, kind)
        return Notice(
            notice_id=self._numbering.next(),
            alert=replace(alert, recent=[]),
            kind=kind,
            severity=severity,
            new=new,
            suppressed=new if was_told else 0,
            to=to,
            time=now,
        )


def _hear(alert: Alert, signal: Signal) -> None:
    severity = worst(alert.signal.severity, signal.severity)
    alert.signal = replace(signal, labels=alert.signal.labels, severity=severity)


def _bounded(signal: Signal) -> Signal:
    """The signal with no more text than there is room for."""
    facts = {name: cut(value, _FACT_BYTES) for name, value in signal.facts.items() if name != "message"}
    return replace(signal, message=cut(signal.message, _MESSAGE_BYTES), facts=facts)


def _due(alert: Alert, rule: Occurrences, now: float) -> float:
    """When an occurrence is to be told: soon, at the end of the cool-down, or at once if it is worse than was told."""
    if alert.told_at is None:
        return alert.due if alert.due is not None else now + rule.wait
    if alert.signal.severity.rank > alert.told_severity.rank:
        return now
    return alert.told_at + rule.cooldown


def _is_over(alert: Alert, rule: BaseRule, now: float, *, quiet: bool) -> bool:
    """Whether an alert has ended.

    An occurrence that is still to be told has not, unless nobody wants to hear of it. Nor has one that was told within
    the cool-down: the next would be another alert, which is told at once.
    """
    if isinstance(rule, Condition):
        return alert.cleared_at is not None and now - alert.cleared_at >= rule.clear_for
    assert isinstance(rule, Occurrences)
    untold = alert.due is not None and not alert.acknowledged_by and not quiet
    told = alert.told_at is not None and now - alert.told_at < rule.cooldown
    return not untold and not told and now - alert.last_seen >= max(rule.cooldown, rule.window)


def _has_to_escalate(alert: Alert, rule: BaseRule, now: float) -> bool:
    wish = rule.escalate
    open_yet = alert.was_told and not alert.escalated and not alert.acknowledged_by
    return wish is not None and open_yet and now - alert.since >= wish.after


def _reach(alert: Alert, rule: BaseRule, kind: NoticeKind) -> tuple[Severity, tuple[str, ...]]:
    """How bad a notice is, and who is told."""
    wish = rule.escalate
    if wish is None or kind is not NoticeKind.ESCALATED:
        return alert.signal.severity, rule.channels
    return worst(alert.signal.severity, wish.severity), wish.channels or rule.channels
