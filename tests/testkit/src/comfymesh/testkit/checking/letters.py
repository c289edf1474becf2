"""P3 for dead letters: however often one is requeued it makes one task, and it is requeued or dropped, never both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from comfymesh.tasks.events import Resolved
from comfymesh.testkit.checking.views import Call, View
from comfymesh.testkit.checking.violations import Promise, Violation


def resolved(view: View) -> Iterator[Violation]:
    """P3: see the module."""
    answered: defaultdict[str, list[Call]] = defaultdict(list)
    for call in view.calls.values():
        if call.called.method in {"requeue", "drop"} and call.answer is not None:
            answered[call.called.task].append(call)
    for letter, calls in answered.items():
        for what in _of_one(view, letter, calls):
            yield Violation(Promise.P3, letter, what)
    made: defaultdict[str, list[str]] = defaultdict(list)
    for task, records in view.log.items():
        if records[0].origin:
            made[records[0].origin].append(task)
    for letter, tasks in made.items():
        if len(tasks) > 1:
            yield Violation(Promise.P3, letter, f"it was requeued as {', '.join(tasks)}")


def _of_one(view: View, letter: str, calls: list[Call]) -> Iterator[str]:
    methods = {call.called.method for call in calls}
    if len(methods) > 1:
        yield "its requeueing was answered, and its dropping too"
    if not any(record.event == Resolved.__name__ for record in view.log.get(letter, ())):
        yield f"it was answered that it is resolved ({', '.join(sorted(methods))}), and the log does not say so"
    tasks = {call.answer.task for call in calls if call.answer is not None and call.called.method == "requeue"}
    if len(tasks) > 1:
        yield f"its requeueing was answered with {', '.join(sorted(tasks))}"
