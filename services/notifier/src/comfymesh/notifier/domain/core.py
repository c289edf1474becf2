"""Decides what is told: events in, notices out.

Edges come from the task log and are taken in once each, in order. Levels (nodes, queue, roles) are looked at again on
every tick. Silence means something only while we could have heard: for silence, time stands still while the notifier is
not there or the bus is away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from comfymesh.notifier.domain import rules as r
from comfymesh.notifier.domain.alerts import Alert, AlertBook, Notice, Signal, Status
from comfymesh.notifier.domain.events import (
    Acknowledged,
    Deaf,
    Event,
    Heard,
    LogPassed,
    Measured,
    NodeReported,
    Outcome,
    TaskTold,
    Tick,
)
from comfymesh.notifier.domain.levels import View, holding, is_silent, rate_key
from comfymesh.notifier.domain.rate import Rate
from comfymesh.notifier.domain.selecting import concerns, failure_signal, labels_of
from comfymesh.notifier.domain.state import KnownNode, State
from comfymesh.notifier.domain.values import like
from comfymesh.notifier.domain.windows import Silence

FORGET_NODE = 24 * 3600.0
"""A node that was lost for so long is not expected back. Seconds."""

ROLES = ("api", "scheduler")
"""Parts of the mesh that show that they live."""

_MOST_RATES = 500

R = TypeVar("R", bound=r.BaseRule)


class Core:
    """The notifier's mind.

    Args:
        rules: What people want to be told of.
        state: What is known from before; changed in place.
        now: When it begins to listen.

    Attributes:
        silences: Those in force, by id; whoever hears of them sets them.
        complete: Whether all has been read of which conditions are made; until then none is looked at, but for the
            loss of the bus. Set as well.
    """

    def __init__(self, rules: r.Rules, state: State, now: float) -> None:
        self._rules = rules
        self.state = state
        self.silences: dict[str, Silence] = {}
        self.complete = True
        self._book = AlertBook({rule.name: rule for rule in rules.rules}, self._is_quiet, state.alerts, state.numbering)
        self._view = View(state.nodes, state.rates, state.roles)
        self._was_deaf(now - state.time if state.time else 0.0)
        state.time = now
        for role in ROLES:
            state.roles.setdefault(role, now)

    def handle(self, event: Event, now: float) -> list[Notice]:
        """What is told because of an event. It is in the state's outbox too, until whoever stores it takes it out."""
        notices = list(self._handle(event, now))
        self.state.outbox += notices
        self.state.time = now
        return notices

    def _handle(self, event: Event, now: float) -> Iterator[Notice]:
        match event:
            case TaskTold():
                yield from self._told(event, now)
            case LogPassed(sequence):
                self.state.position = max(self.state.position, sequence)
            case NodeReported():
                yield from self._reported(event, now)
            case Heard(role):
                self._view.roles[role] = now
            case Measured():
                self._view.queue = event
            case Tick() | Deaf():
                self._listen(now, deaf=isinstance(event, Deaf))
                yield from self._look(now)
            case Acknowledged(alert_id, by):
                self._book.acknowledge(alert_id, by)

    def _told(self, event: TaskTold, now: float) -> Iterator[Notice]:
        if event.sequence <= self.state.position:
            return  # Taken in before.
        self.state.position = event.sequence
        for rule in [*self._of(r.TaskFailed), *self._of(r.AttemptFailed)]:
            if concerns(rule, event):
                yield from self._book.occurred(failure_signal(rule, event), now)
        if event.outcome is not Outcome.RETRIED:
            for counting in self._of(r.FailureRate):
                self._count(counting, event, now)

    def _count(self, rule: r.FailureRate, event: TaskTold, now: float) -> None:
        key = rate_key(rule, labels_of(rule, event.facts))
        rate = self.state.rates.get(key)
        if rate is None or rate.window != rule.window:
            if len(self.state.rates) >= _MOST_RATES:
                return
            rate = self.state.rates[key] = Rate(rule.window)
        rate.add(now, failed=event.outcome is Outcome.FAILED)

    def _reported(self, event: NodeReported, now: float) -> Iterator[Notice]:
        before = self.state.nodes.get(event.node)
        self.state.nodes[event.node] = KnownNode(now, event.leaving, dict(event.down))
        self._view.reports[event.node] = event
        crashed = (name for name, down in event.down.items() if down and before and before.down.get(name) is False)
        for name in crashed:
            facts = {"node": event.node, "instance": name}
            for rule in self._of(r.InstanceCrashed):
                if like(rule.nodes, event.node):
                    said = f"instance {name} on {event.node} went down"
                    signal = Signal(rule.name, labels_of(rule, facts), rule.severity, said, facts, "report")
                    yield from self._book.occurred(signal, now)

    def _listen(self, now: float, *, deaf: bool) -> None:
        view = self._view
        if deaf:
            view.deaf_since = now if view.deaf_since is None else view.deaf_since
        elif view.deaf_since is not None:
            self._was_deaf(now - view.deaf_since)
            view.deaf_since = None

    def _was_deaf(self, seconds: float) -> None:
        for known in self.state.nodes.values():
            known.heard += seconds
        for role in self.state.roles:
            self.state.roles[role] += seconds

    def _look(self, now: float) -> Iterator[Notice]:
        if not self.complete:
            # The loss of the bus is told all the same: what was not read by then is not read before it is back.
            for lost in self._of(r.Silent) if self._view.deaf_since is not None else ():
                yield from self._read(lost, now)
            return
        self._forget(now)
        for rule in self._of(r.Condition):
            yield from self._read(rule, now)
        yield from self._book.passed(now)

    def _read(self, rule: r.Condition, now: float) -> Iterator[Notice]:
        """Compare what holds now with the alerts that are under way."""
        signals = {signal.alert_id: signal for signal in holding(rule, self._view, now)}
        for signal in signals.values():
            yield from self._book.read(signal, now, holds=True)
        for alert in list(self.state.alerts.values()):
            if alert.signal.rule == rule.name and alert.alert_id not in signals and not self._unknown(rule, alert, now):
                yield from self._book.read(alert.signal, now, holds=False)

    def _unknown(self, rule: r.Condition, alert: Alert, now: float) -> bool:
        """Whether nobody can say if what was told still holds, since the node that reported it is silent."""
        reported = isinstance(rule, r.GpuMemory | r.GpuTemperature | r.DiskLow)
        told = reported and alert.status is Status.FIRING
        return told and is_silent(self._view, alert.signal.facts.get("node", ""), now)

    def _forget(self, now: float) -> None:
        for node, known in list(self.state.nodes.items()):
            if self._view.listening(now) - known.heard > FORGET_NODE:
                del self.state.nodes[node]
                self._view.reports.pop(node, None)
        for key, rate in list(self.state.rates.items()):
            if not rate.counts(now)[0]:
                del self.state.rates[key]

    def _is_quiet(self, rule: str, labels: Mapping[str, str], now: float) -> bool:
        silenced = any(silence.covers(rule, labels, now) for silence in self.silences.values())
        return silenced or any(window.covers(rule, labels, now) for window in self._rules.maintenance)

    def _of(self, kind: type[R]) -> list[R]:
        return [rule for rule in self._rules.rules if isinstance(rule, kind)]
