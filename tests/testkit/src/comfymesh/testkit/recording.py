"""Taking a history down, and keeping it as text (`comfymesh.testkit.history` has what is in one)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from comfymesh.testkit.history import Event

_KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}


class Recorder:
    """Takes events down as they happen.

    Args:
        clock: Answers seconds, never goes back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._calls = 0
        self.events: list[Event] = []

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._began

    def note(self, event: Event) -> None:
        """Take down an event."""
        self.events.append(event)

    def next_call(self) -> int:
        """A number that no call has had."""
        self._calls += 1
        return self._calls


def dump(events: Sequence[Event]) -> str:
    """The history as text, a line each."""
    return "".join(json.dumps({"kind": type(event).__name__, **asdict(event)}) + "\n" for event in events)


def load(text: str) -> list[Event]:
    """The history in a text.

    Raises:
        ValueError: a line is not an event.
    """
    return list(_events(text))


def save(events: Sequence[Event], path: Path) -> None:
    """Write a history to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump(events))


def _events(text: str) -> Iterator[Event]:
    for number, line in enumerate(text.splitlines(), start=1):
        fields = json.loads(line)
        kind = _KINDS.get(fields.pop("kind", ""))
        if kind is None:
            raise ValueError(f"line {number} is no event of a history: {line[:80]}")
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
        yield kind(**values)
