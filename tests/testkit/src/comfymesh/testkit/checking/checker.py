"""From a history to a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from comfymesh.testkit.checking import (
    artifacts,
    bookings,
    creations,
    crowds,
    deadlines,
    leases,
    letters,
    records,
    sightings,
    wishes,
)
from comfymesh.testkit.checking.story import story
from comfymesh.testkit.checking.views import View, view
from comfymesh.testkit.checking.violations import Promise, Violation
from comfymesh.testkit.history import Event

_MOST_STORIES = 3
_MOST_VIOLATIONS = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checker says of a history: every violation, and the history it was found in."""

    violations: tuple[Violation, ...]
    history: tuple[Event, ...]

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations

    def __str__(self) -> str:
        if self.good:
            return "every promise was kept"
        tasks = list(dict.fromkeys(violation.task for violation in self.violations))
        lines = [str(violation) for violation in self.violations[:_MOST_VIOLATIONS]]
        if len(self.violations) > _MOST_VIOLATIONS:
            lines.append(f"and {len(self.violations) - _MOST_VIOLATIONS} violations more")
        for task in tasks[:_MOST_STORIES]:
            lines += ["", f"the story of {task or 'no task in particular'}:", *story(self.history, task)]
        if len(tasks) > _MOST_STORIES:
            lines += ["", f"and {len(tasks) - _MOST_STORIES} tasks more"]
        return "\n".join(lines)


def check(history: Sequence[Event]) -> Verdict:
    """Judge a history by P1 to P6."""
    events = list(history)
    seen = view(events)
    found = [
        *records.lost(seen),
        *records.chains(seen),
        *records.executions(seen),
        *records.taken_back(seen),
        *records.timed_out(seen),
        *deadlines.met(seen),
        *deadlines.told_early(seen),
        *leases.held(seen),
        *bookings.booked(seen),
        *creations.repeated(seen),
        *sightings.watched(seen),
        *sightings.read(events, seen),
        *sightings.unended(events, seen),
        *crowds.followed(seen),
        *crowds.summed(seen),
        *crowds.cancelled(events, seen),
        *letters.resolved(seen),
        *wishes.shown(seen),
        *artifacts.kept(seen),
        *_defects(seen),
    ]
    return Verdict(tuple(found), tuple(events))


def _defects(seen: View) -> Iterator[Violation]:
    """P9: no process met what it had not been made for."""
    for defect in seen.defects:
        yield Violation(Promise.P9, "", f"a defect of {defect.process}: {defect.what}")
