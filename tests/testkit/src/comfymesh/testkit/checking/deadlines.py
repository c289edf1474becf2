"""P6: a task that was to begin by some time does, or is told to be too late."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from comfymesh.tasks.events import Assigned, Expired
from comfymesh.testkit.checking.records import BEGUN
from comfymesh.testkit.checking.views import View
from comfymesh.testkit.checking.violations import Promise, Violation
from comfymesh.testkit.history import CLOCKS, LEAVES_SCHEDULERS, MENDED, ROUGH_BUS, Fault, Logged

_SLACK_SECONDS = 1.5
"""A scheduler looks four times a second at what is too late, and its orders have a way to go."""
_AFTER_SECONDS = 5.0
"""By then what happened to a scheduler or to the bus is over: a standby takes over within three."""
_AFTER_CLOCKS_SECONDS = 10.0
"""By then a scheduler whose clock was set goes by the right time again."""

_DECISIONS = frozenset({Assigned.__name__, Expired.__name__})

Span = tuple[float, float]


def met(view: View) -> Iterator[Violation]:
    """P6: see the module. Nobody is blamed while a scheduler can't act, or the bus does not take what it says.

    But once one could act for a while, and the task waited all that time, it was to be told: neither assigned nor
    expired only later. On real machines anything may keep anybody from acting.
    """
    if not view.is_virtual:
        return
    hindrances = [_hindrance(fault, view.faults) for fault in view.faults if _hinders(fault)]
    for task, records in view.log.items():
        waited = itertools.takewhile(lambda record: record.event not in BEGUN, records)
        for before, record in itertools.pairwise(waited):
            late = (max(before.at, record.start_by), record.at)
            if _decides(record) and _longest_free(late, hindrances) > _SLACK_SECONDS:
                did = f"was {record.state} {record.at - record.start_by:.3f} s after that"
                yield Violation(Promise.P6, task, f"it had to begin by {record.start_by:.3f} s, and {did}")


def _decides(record: Logged) -> bool:
    """Whether it ends the wait of a task that may be too late."""
    return record.event in _DECISIONS and record.start_by > 0


def told_early(view: View) -> Iterator[Violation]:
    """P6: nothing is told that it is too late before that time. Clocks that are set say what time that is."""
    if any(fault.what in CLOCKS for fault in view.faults):
        return
    for task, records in view.log.items():
        last = records[-1]
        if last.event == Expired.__name__ and last.at < last.start_by:
            early = last.start_by - last.at
            yield Violation(Promise.P6, task, f"it was told that it is too late {early:.3f} s before its time")


def _longest_free(span: Span, hindrances: Sequence[Span]) -> float:
    """For how many seconds on end nothing hindered a scheduler within a span; 0 for one that ends before it begins."""
    place, end, longest = *span, 0.0
    for began, over in sorted(hindrances):
        longest = max(longest, min(began, end) - place)
        place = max(place, over)
    return max(longest, end - place)


def _hinders(fault: Fault) -> bool:
    what = fault.what.removesuffix(" is over")
    return what not in LEAVES_SCHEDULERS and not fault.target.startswith(("agent", "api", "ledger"))


def _hindrance(fault: Fault, faults: Sequence[Fault]) -> Span:
    """From when to when a fault keeps what was decided from being stored. Others may be over before it is."""
    end = MENDED if fault.what == ROUGH_BUS else f"{fault.what} is over"
    ends = (other for other in faults if other.what == end and fault.target.startswith(other.target))
    over = (other.at for other in ends if other.at >= fault.at)
    return fault.at, next(over, fault.at) + (_AFTER_CLOCKS_SECONDS if fault.what in CLOCKS else _AFTER_SECONDS)
