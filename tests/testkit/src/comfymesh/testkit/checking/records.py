"""P1 and P2: what the log must look like, task by task."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from comfymesh.tasks import machine
from comfymesh.tasks.events import AttemptFailed, Resolved, Started
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import FINAL, State
from comfymesh.testkit import tasks
from comfymesh.testkit.checking.views import View
from comfymesh.testkit.checking.violations import Promise, Violation
from comfymesh.testkit.history import CLOCKS, LEAVES_NODES, ROUGH_BUS, UNGUARDED, Logged, Prompted

_MAKING = frozenset({"create", "requeue"})
BEGUN = frozenset({Started.__name__, AttemptFailed.__name__})
"""Events by which a task has begun."""
_LEAVES_NODES = frozenset({ROUGH_BUS, *LEAVES_NODES, *(f"{what} is over" for what in LEAVES_NODES)})
_FIRST = machine.create(tasks.definition())
_LEGAL = {(state.value, event.__name__): targets for (state, event), targets in machine.TRANSITIONS.items()}


def lost(view: View) -> Iterator[Violation]:
    """P1: nothing that was answered is missing from the log, and everything in it has come to one end."""
    for call in view.calls.values():
        answer = call.answer
        if answer is not None and call.called.method in _MAKING and answer.task not in view.log:
            yield Violation(Promise.P1, answer.task, "its creation was answered, and the log does not have it")
    for task, records in view.log.items():
        last = records[-1]
        if last.state not in FINAL:
            yield Violation(Promise.P1, task, f"it never ended: it is {last.state} (attempt {last.attempt})")


def chains(view: View) -> Iterator[Violation]:
    """P2: every record was stored in the knowledge of the one before, and follows from it."""
    for task, records in view.log.items():
        for what in _first(records[0]):
            yield Violation(Promise.P2, task, what)
        for before, record in pairwise(records):
            for what in _successor(before, record):
                yield Violation(Promise.P2, task, f"record {record.sequence}: {what}")
        resolutions = sum(record.event == Resolved.__name__ for record in records)
        if resolutions > 1:
            yield Violation(Promise.P2, task, f"its dead letter was resolved {resolutions} times")
        if records[-1].state == State.EXPIRED and any(record.event in BEGUN for record in records):
            yield Violation(Promise.P2, task, "it was too late to begin, and had begun before")
        commits = sum(record.state == State.SUCCEEDED for record in records)
        if commits > 1:
            yield Violation(Promise.P2, task, f"it was committed {commits} times")


def taken_back(view: View) -> Iterator[Violation]:
    """P6: where clocks were set, no node is said to be lost before anything else has happened to one."""
    if not any(fault.what in CLOCKS for fault in view.faults):
        return
    since = min((fault.at for fault in view.faults if fault.what not in _LEAVES_NODES), default=math.inf)
    for task, records in view.log.items():
        for record in records:
            if record.failure == FailureClass.NODE_LOST and record.at < since:
                what = f"attempt {record.attempt} was lost with its node, and nothing had happened to any"
                yield Violation(Promise.P6, task, what)


def timed_out(view: View) -> Iterator[Violation]:
    """P6: nothing is said to have run out of time that has not been there for so long, whoever set a clock."""
    for task, records in view.log.items():
        for record in records:
            there = record.at - records[0].at
            if record.failure == FailureClass.TIMEOUT and there < record.limit:
                what = f"attempt {record.attempt} timed out after {record.limit:g} s, {there:.2f} s after its creation"
                yield Violation(Promise.P6, task, what)


def executions(view: View) -> Iterator[Violation]:
    """P2: no life of a ComfyUI executes a prompt twice, and no other ComfyUI executes it too; an attempt is one prompt.

    Where a ComfyUI died, what it had in memory is gone, and the same attempt may begin there once more.
    """
    began: defaultdict[str, list[Prompted]] = defaultdict(list)
    for prompt in view.prompts:
        if prompt.what == "began":
            began[prompt.prompt_id].append(prompt)
    for prompt_id, prompts in began.items():
        lives, servers = {prompt.server for prompt in prompts}, {prompt.server.partition("/")[0] for prompt in prompts}
        if len(lives) < len(prompts) or len(servers) > 1:
            where = ", ".join(prompt.server for prompt in prompts)
            yield Violation(Promise.P2, prompts[0].task, f"prompt {prompt_id} was executed by {where}")


def _first(record: Logged) -> Iterator[str]:
    if record.after != 0:
        yield f"record {record.sequence} is the first and was stored {_guard(record)}"
    if (record.event, record.state) != (_FIRST.event, _FIRST.state) or record.attempt:
        yield f"record {record.sequence} is the first and says {record.event}, {record.state}, {record.attempt}"


def _successor(before: Logged, record: Logged) -> Iterator[str]:
    if record.after != before.sequence:
        yield f"follows record {before.sequence} and was stored {_guard(record)}"
    if record.state not in _LEGAL.get((before.state, record.event), ()):
        yield f"{record.event} can't lead from {before.state} to {record.state}"
    claimed = (before.state, record.state) == (State.QUEUED, State.ASSIGNED)
    if record.attempt != before.attempt + claimed:
        yield f"{record.event} leads from attempt {before.attempt} to {record.attempt}"
    if record.content != before.content:
        yield f"the task was {before.content} and is {record.content}"


def _guard(record: Logged) -> str:
    return "without a guard" if record.after == UNGUARDED else f"as the successor of {record.after}"
