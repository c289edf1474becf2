"""Which rules an ended attempt concerns, and what each makes of it."""

from __future__ import annotations

from collections.abc import Mapping

from comfymesh.notifier.domain.alerts import Signal
from comfymesh.notifier.domain.events import Outcome, TaskTold
from comfymesh.notifier.domain.patterns import matches
from comfymesh.notifier.domain.rules import BaseRule, Failures, TaskFailed
from comfymesh.notifier.domain.values import Severity, cut, like, worst

_LABEL_BYTES = 96


def concerns(rule: Failures, event: TaskTold) -> bool:
    """Whether a rule wants to know of a failure."""
    if event.outcome is Outcome.SUCCEEDED or (isinstance(rule, TaskFailed) and event.outcome is not Outcome.FAILED):
        return False
    facts = event.facts
    return (
        (not rule.classes or facts.get("class", "") in rule.classes)
        and like(rule.tenants, facts.get("tenant", ""))
        and like(rule.workflows, facts.get("workflow", ""))
        and all(name in event.labels and like((glob,), event.labels[name]) for name, glob in rule.labels.items())
        and (rule.error is None or matches(rule.error, _text(event)))
    )


def failure_signal(rule: Failures, event: TaskTold) -> Signal:
    """What a rule makes of a failure that concerns it."""
    raised = (severity for pattern, severity in rule.keywords.items() if matches(pattern, _text(event)))
    severity: Severity = worst(rule.severity, *raised)
    said, path = event.facts.get("message", ""), event.facts.get("noticed_by", "log")
    return Signal(rule.name, labels_of(rule, event.facts), severity, said, event.facts, path)


def labels_of(rule: BaseRule, facts: Mapping[str, str]) -> dict[str, str]:
    """What tells an alert of a rule from its others."""
    return {name: cut(facts.get(name, ""), _LABEL_BYTES) for name in rule.group_by}


def _text(event: TaskTold) -> str:
    return f"{event.facts.get('class', '')}\n{event.facts.get('message', '')}\n{event.detail}"
