"""What people read: the title and the text of a notice. What comes from ComfyUI and callers is cut and cleaned."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from comfymesh.notifier.domain.alerts import Notice, NoticeKind
from comfymesh.notifier.domain.rules import BaseRule
from comfymesh.notifier.domain.templates import fill

_LONGEST_TITLE = 200
_LONGEST_LINE = 500
_WORDS = {
    NoticeKind.FIRING: "",
    NoticeKind.REPEATED: "again: ",
    NoticeKind.ESCALATED: "nobody has acknowledged: ",
    NoticeKind.RESOLVED: "over: ",
    NoticeKind.TEST: "test: ",
}
_SHOWN = (
    "tenant",
    "workflow",
    "task",
    "class",
    "exception_type",
    "graph_node_class",
    "node",
    "instance",
    "gpu",
    "role",
)


@dataclass(frozen=True, slots=True)
class Wording:
    """A title of one line, and a text of some."""

    title: str
    text: str


def word(notice: Notice, rule: BaseRule | None) -> Wording:
    """What a notice says."""
    facts = _facts(notice)
    summary = fill(rule.summary, facts) if rule and rule.summary else facts["message"]
    severity = "OK" if notice.kind is NoticeKind.RESOLVED else notice.severity.upper()
    title = f"[{severity}] {_WORDS[notice.kind]}{notice.alert.signal.rule}{_times(notice)}"
    lines = [
        clean(summary, _LONGEST_LINE),
        *_counts(notice),
        *(f"{name}: {facts[name]}" for name in _SHOWN if facts.get(name)),
        f"noticed by: {notice.alert.signal.path}",
        f"alert: {notice.alert.alert_id}",
        *([f"what to do: {rule.runbook}"] if rule and rule.runbook else []),
    ]
    return Wording(clean(title, _LONGEST_TITLE), "\n".join(line for line in lines if line))


def clean(text: str, most: int) -> str:
    """One line without control characters, invisible or direction-changing ones; cut where it is too long."""
    flat = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c)[0] != "C")
    flat = " ".join(flat.split())
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"


def _facts(notice: Notice) -> Mapping[str, str]:
    signal = notice.alert.signal
    told = {name: clean(value, _LONGEST_LINE) for name, value in {**signal.facts, **signal.labels}.items()}
    return {
        **told,
        "message": clean(signal.message, _LONGEST_LINE),
        "rule": signal.rule,
        "severity": notice.severity.value,
        "count": str(notice.alert.count),
        "suppressed": str(notice.suppressed),
    }


def _times(notice: Notice) -> str:
    return f" ({notice.new} times)" if notice.new > 1 and not notice.suppressed else ""


def _counts(notice: Notice) -> list[str]:
    if notice.suppressed and notice.kind is NoticeKind.REPEATED:
        return [f"{notice.suppressed} more suppressed since the last message, {notice.alert.count} in all"]
    return []
