"""P4 for many tasks at once: what followers hear, what groups come to, and what becomes of a wish to cancel one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from comfymesh.tasks.events import CancelRequested
from comfymesh.tasks.record import FINAL
from comfymesh.testkit.checking.views import Following, View
from comfymesh.testkit.checking.violations import Promise, Violation
from comfymesh.testkit.history import Answered, Called, Event, Heard, Joined, Left, Logged, Refused

_CAUGHT_UP = "CAUGHT_UP"
_CLOCKS_SECONDS = 1.0
"""Times of the log and those of clients may come from different clocks."""


def followed(view: View) -> Iterator[Violation]:
    """P4: a follower hears each change of each task once and in order, beginning with the first of what is new."""
    for follower, events in view.followers.items():
        for task, what in _Follower(view).follow(events):
            yield Violation(Promise.P4, task, f"follower {follower} {what}")
        last = events[-1]
        if not isinstance(last, Left) or last.reason:
            yield Violation(Promise.P4, "", f"follower {follower} never heard all that it waited for")


def summed(view: View) -> Iterator[Violation]:
    """P4: what a group was said to have come to is what its tasks have come to."""
    for told in view.sums:
        tasks = [records for records in view.log.values() if records[0].group == told.group]
        ours = Counter(records[-1].state for records in tasks)
        # Dead letters that were requeued meanwhile have made more tasks than were waited for.
        original = Counter(records[-1].state for records in tasks if not records[0].origin)
        if any(told.counts.get(state, 0) < count for state, count in original.items()) or any(
            count > ours[state] for state, count in told.counts.items()
        ):
            yield Violation(
                Promise.P4, "", f"{told.group} was said to be {told.counts}, and its tasks are {dict(ours)}"
            )


def cancelled(events: list[Event], view: View) -> Iterator[Violation]:
    """P4: a wish to cancel a group finds it, and once it was answered, it has reached all tasks created before."""
    created, before = dict[str, list[Logged]](), dict[int, list[list[Logged]]]()
    for event in events:
        match event:
            case Called(method="cancel group"):
                before[event.call] = [records for records in created.values() if records[0].group == event.task]
            case Answered() if event.call in before:
                for records in before.pop(event.call):
                    if not _is_stopped(records, event.at + _CLOCKS_SECONDS):
                        yield Violation(Promise.P4, records[0].task, f"it was left out when {event.task} was cancelled")
            case Refused(reason="GROUP_NOT_FOUND") if event.call in before:
                for records in before.pop(event.call):
                    yield Violation(Promise.P4, records[0].task, f"{records[0].group} was said not to be, and has it")
            case Answered() if event.task in view.log:
                created[event.task] = view.log[event.task]
            case _:
                continue


def _is_stopped(records: list[Logged], by: float) -> bool:
    """Whether a task had ended by then, or had been asked to."""
    ends = (record for record in records if record.state in FINAL or record.event == CancelRequested.__name__)
    return any(record.at <= by for record in ends)


@dataclass(slots=True)
class _Follower:
    """A follower's way through the logs of many tasks.

    Attributes:
        view: The history.
        scope: The group that it follows, empty for everything.
        heard: The place in its log up to which each task was heard.
        live: Whether all that was there at its beginning has been heard.
        tokens: What had been heard at each token.
    """

    view: View
    scope: str = ""
    heard: dict[str, int] = field(default_factory=dict)
    live: bool = False
    tokens: dict[str, tuple[dict[str, int], bool]] = field(default_factory=dict)

    def follow(self, events: list[Following]) -> Iterator[tuple[str, str]]:
        for event in events:
            match event:
                case Joined():
                    heard, self.live = self.tokens.get(event.token, ({}, False))
                    self.heard, self.scope = dict(heard), event.scope
                case Heard():
                    yield from ((event.task, what) for what in self._hear(event))
                    self.tokens[event.token] = dict(self.heard), self.live
                case Left() if not event.reason:
                    yield from self._end(event)
                case _:
                    continue

    def _hear(self, event: Heard) -> Iterator[str]:
        if not event.task:
            self.live = self.live or event.state == _CAUGHT_UP
            return
        place = self.view.position(event.task, event.state, event.attempt, event.time)
        said = f"heard {event.state} (attempt {event.attempt})"
        if place is None:
            yield f"{said}, which the log never had"
            return
        if self.scope and self.view.log[event.task][0].group != self.scope:
            yield f"{said} of a task that is not of {self.scope}"
        last = self.heard.get(event.task)
        if last is not None and place <= last:
            yield f"{said} again or too late"
        elif (last is not None and place > last + 1) or (last is None and self.live and place > 0):
            missed = [record.state for record in self.view.log[event.task][(-1 if last is None else last) + 1 : place]]
            yield f"{said} and never {', '.join(missed)} before it"
        self.heard[event.task] = place

    def _end(self, event: Left) -> Iterator[tuple[str, str]]:
        ours = [task for task, records in self.view.log.items() if self._is_awaited(records)]
        for task in {*event.awaited, *(ours if self.scope else ())}:
            records, place = self.view.log.get(task, []), self.heard.get(task)
            if records and (place is None or records[place].state not in FINAL):
                yield task, "was not told its end, and then that this is all"

    def _is_awaited(self, records: list[Logged]) -> bool:
        return records[0].group == self.scope and not records[0].origin
