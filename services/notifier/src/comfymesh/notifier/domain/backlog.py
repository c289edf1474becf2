"""How the queue stands: what waits, since when, and what runs without a word. Follows the log, keeps no history."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field

from comfymesh.notifier.domain.events import Measured
from comfymesh.tasks.record import Key

_MOST_QUIET = 100


@dataclass(slots=True)
class _Running:
    heard: float
    facts: Mapping[str, str]


@dataclass(slots=True)
class Backlog:
    """Waiting and running tasks."""

    _waiting: dict[Key, float] = field(default_factory=dict)
    _by_age: list[tuple[float, Key]] = field(default_factory=list)
    _running: dict[Key, _Running] = field(default_factory=dict)

    def waits(self, key: Key, since: float) -> None:
        """A task waits, since then (seconds since the epoch)."""
        self.gone(key)
        self._waiting[key] = since
        heapq.heappush(self._by_age, (since, key))

    def runs(self, key: Key, since: float, facts: Mapping[str, str]) -> None:
        """A task runs, and was last heard of then."""
        self.gone(key)
        self._running[key] = _Running(since, facts)

    def progressed(self, key: Key, moment: float) -> None:
        """A task that runs told of its progress then."""
        if (running := self._running.get(key)) is not None:
            running.heard = max(running.heard, moment)

    def running(self) -> list[Key]:
        """Tasks that run."""
        return list(self._running)

    def was_deaf(self, seconds: float) -> None:
        """For so long nobody could be heard: who said nothing meanwhile was not quiet."""
        for running in self._running.values():
            running.heard += seconds

    def gone(self, key: Key) -> None:
        """A task neither waits nor runs."""
        self._waiting.pop(key, None)
        self._running.pop(key, None)

    def measure(self, now: float) -> Measured:
        """How it stands now."""
        while self._by_age and self._waiting.get(self._by_age[0][1]) != self._by_age[0][0]:
            heapq.heappop(self._by_age)
        oldest = now - self._by_age[0][0] if self._by_age else 0.0
        quietest = heapq.nsmallest(_MOST_QUIET, self._running.items(), key=lambda item: item[1].heard)
        quiet = {key.task_id: (max(0.0, now - running.heard), running.facts) for key, running in quietest}
        return Measured(len(self._waiting), max(0.0, oldest), quiet)
