"""A notifier's core for tests: rules as a few lines, time that a test moves, and everything that was told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfymesh.notifier.domain.alerts import Notice, Numbering
from comfymesh.notifier.domain.core import Core
from comfymesh.notifier.domain.events import Deaf, Event, NodeReported, Outcome, TaskTold, Tick
from comfymesh.notifier.domain.rules import Rules
from comfymesh.notifier.domain.state import State
from comfymesh.testkit.tasks import NOW

CHANNELS = [{"name": "ops", "url": "json://127.0.0.1"}, {"name": "boss", "url": "json://127.0.0.1"}]


def rules_of(*rules: Mapping[str, Any], maintenance: tuple[Mapping[str, Any], ...] = ()) -> Rules:
    """Rules, with two channels that they may name. Those without a name are called after their kind."""
    named = [{"name": str(rule["kind"]).replace("_", "-"), **rule} for rule in rules]
    return Rules.model_validate({"version": 1, "channels": CHANNELS, "rules": named, "maintenance": maintenance})


def a_failure(sequence: int = 1, outcome: Outcome = Outcome.FAILED, **facts: str) -> TaskTold:
    """A task, or an attempt, has failed."""
    common = {"tenant": "default", "task": f"t{sequence}", "class": "NODE_EXCEPTION", "message": "it broke"}
    return TaskTold(sequence=sequence, outcome=outcome, facts=common | {k.rstrip("_"): v for k, v in facts.items()})


class Telling:
    """A core, its time, and what it has told.

    Args:
        rules: What it is to tell of.
        state: What it knows from before.
    """

    def __init__(self, rules: Rules, state: State | None = None) -> None:
        self.now = NOW
        self.rules = rules
        self.core = Core(rules, state or State(Numbering("test")), self.now)
        self.told: list[Notice] = []
        self._sequence = self.core.state.position

    def happens(self, event: Event) -> list[Notice]:
        """Something happens; answers what is told of it."""
        notices = self.core.handle(event, self.now)
        self.told += notices
        return notices

    def fails(self, times: int = 1, **facts: Any) -> list[Notice]:
        """Tasks fail; answers what is told of them."""
        notices = list[Notice]()
        for _ in range(times):
            self._sequence += 1
            notices += self.happens(a_failure(self._sequence, **facts))
        return notices

    def succeeds(self, times: int = 1) -> None:
        """Tasks end well."""
        for _ in range(times):
            self._sequence += 1
            self.happens(a_failure(self._sequence, Outcome.SUCCEEDED))

    def passes(self, seconds: float, step: float = 1.0, *, deaf: bool = False) -> list[Notice]:
        """Time passes; answers what is told meanwhile."""
        notices, end = list[Notice](), self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + step)
            notices += self.happens(Deaf() if deaf else Tick())
        return notices

    def reports(self, node: str = "a", *, leaving: bool = False, **more: Any) -> list[Notice]:
        """A node reports."""
        return self.happens(NodeReported(node, leaving, **{"down": {}, **more}))

    def begins_again(self) -> Telling:
        """The notifier is started again, from what it has stored."""
        again = Telling(self.rules, self.core.state)
        again.now = self.now
        again.core = Core(self.rules, self.core.state, self.now)
        return again
