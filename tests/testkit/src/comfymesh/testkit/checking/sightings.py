"""P4: what watchers and readers see of the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from comfymesh.tasks.record import FINAL
from comfymesh.testkit.checking.views import Stream, View
from comfymesh.testkit.checking.violations import Promise, Violation
from comfymesh.testkit.history import Answered, Called, Closed, Ended, Event, Opened, Progressed, Told

_WAITING = "WAITING"
_MOST_NAMED = 5


def watched(view: View) -> Iterator[Violation]:
    """P4: every watcher is told each change once and in order, and the end; its progress never goes back."""
    for watcher, events in view.streams.items():
        for task, what in _Watcher(view).follow(events):
            yield Violation(Promise.P4, task, f"watcher {watcher} {what}")


@dataclass(slots=True)
class _Watcher:
    """One watcher's way through the log of a task.

    Attributes:
        view: The history.
        last: Place in the task's log of what it was told last, None before the first.
        due: The next place that it must be told, None where any will do.
        places: Which place each token stands for.
        fractions: The furthest progress of each attempt.
    """

    view: View
    last: int | None = None
    due: int | None = None
    places: dict[str, int] = field(default_factory=dict)
    fractions: dict[int, float] = field(default_factory=lambda: defaultdict(float))

    def follow(self, events: list[Stream]) -> Iterator[tuple[str, str]]:
        for event in events:
            match event:
                case Opened():
                    self._opened(event)
                case Told():
                    yield from ((event.task, what) for what in self._told(event))
                case Progressed():
                    yield from ((event.task, what) for what in self._progressed(event))
                    self._learn(event.token)
                case Closed():
                    yield from ((event.task, what) for what in self._closed(event))

    def _opened(self, event: Opened) -> None:
        if not event.token:
            self.last = self.due = None
        elif (place := self.places.get(event.token)) is not None:
            self.last, self.due = place, place + 1

    def _told(self, event: Told) -> Iterator[str]:
        place = self.view.position(event.task, event.state, event.attempt, event.time)
        if place is None:
            yield f"was told {event.state} (attempt {event.attempt}), which the log never had"
            return
        again_the_end = event.state in FINAL and self.last == place
        if self.due is not None and place != self.due and not again_the_end:
            yield self._out_of_turn(event, place, self.due)
        self.last, self.due = place, place + 1
        self._learn(event.token)

    def _out_of_turn(self, event: Told, place: int, due: int) -> str:
        told = f"was told {event.state} (attempt {event.attempt})"
        if place < due:
            return f"{told} again or too late"
        missed = [record.state for record in self.view.log[event.task][due:place]]
        more = f" and {len(missed) - _MOST_NAMED} more" if len(missed) > _MOST_NAMED else ""
        return f"{told} and never {', '.join(missed[:_MOST_NAMED])}{more} before it"

    def _progressed(self, event: Progressed) -> Iterator[str]:
        if event.phase == _WAITING:
            return
        if event.fraction < self.fractions[event.attempt]:
            before = self.fractions[event.attempt]
            yield f"saw progress of attempt {event.attempt} go back from {before:.3f} to {event.fraction:.3f}"
        self.fractions[event.attempt] = max(event.fraction, self.fractions[event.attempt])
        now = self.view.log[event.task][self.last] if self.last is not None else None
        if now is not None and (event.attempt < now.attempt or now.state in FINAL):
            yield f"saw progress of attempt {event.attempt} when it had been told {now.state} ({now.attempt})"

    def _closed(self, event: Closed) -> Iterator[str]:
        if event.reason:
            return
        records = self.view.log.get(event.task, [])
        # Behind its end a task can have the resolution of a dead letter, which its watchers need not be told.
        if self.last is None or not records or records[self.last].state not in FINAL:
            told = records[self.last].state if self.last is not None and records else "nothing"
            yield f"was told {told} last, and then that this is the end; the log says otherwise"

    def _learn(self, token: str) -> None:
        if self.last is not None:
            self.places[token] = self.last


def read(events: list[Event], view: View) -> Iterator[Violation]:
    """P4: whoever asks is answered with what the log had at some moment of the call, never with less than was known."""
    readers = _Readers(view)
    for event in events:
        match event:
            case Called():
                readers.floor[event.call, event.task] = readers.known[event.task] if event.task else 0
            case Opened():
                readers.fresh[event.watcher] = readers.known[event.task] if not event.token else 0
            case Answered():
                yield from readers.saw(event, readers.floor.get((event.call, event.task), 0))
            case Told():
                yield from readers.saw(event, readers.fresh.pop(event.watcher, 0))
            case _:
                continue


@dataclass(slots=True)
class _Readers:
    """What anybody knows of each task, and what was known when each call and each fresh stream began."""

    view: View
    known: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    floor: dict[tuple[int, str], int] = field(default_factory=dict)
    fresh: dict[str, int] = field(default_factory=dict)

    def saw(self, event: Answered | Told, least: int) -> Iterator[Violation]:
        place = self.view.position(event.task, event.state, event.attempt, event.time)
        if place is None:
            if isinstance(event, Answered) and event.task in self.view.log:
                yield Violation(Promise.P4, event.task, f"an answer said {event.state}, which the log never had")
            return
        if place < least:
            newer = self.view.log[event.task][least].state
            yield Violation(Promise.P4, event.task, f"an answer said {event.state} when {newer} was known already")
        self.known[event.task] = max(self.known[event.task], place)


def unended(events: list[Event], view: View) -> Iterator[Violation]:
    """P4: once all is quiet, every watcher has been told the end."""
    if not any(isinstance(event, Ended) for event in events):
        return
    for watcher, stream in view.streams.items():
        last = stream[-1]
        if not isinstance(last, Closed) or last.reason:
            how = f"ended with {last.reason}" if isinstance(last, Closed) else "was open to the last"
            yield Violation(Promise.P4, last.task, f"watcher {watcher} was never told the end: its stream {how}")
