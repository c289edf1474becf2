"""Draws docs/states.md from the table of transitions: `python -m comfymesh.tasks.diagram > docs/states.md`."""

from __future__ import annotations

import sys

from comfymesh.tasks.failures import POLICIES
from comfymesh.tasks.machine import TRANSITIONS
from comfymesh.tasks.record import FINAL

_WRITERS = {
    "Assigned": "agent",
    "Started": "agent",
    "Succeeded": "agent",
    "AttemptFailed": "agent; scheduler for a lost node",
    "Released": "agent; scheduler for a lost node",
    "CancelRequested": "api",
    "Cancelled": "agent",
    "Expired": "scheduler",
    "Resolved": "api",
}

_INTRODUCTION = """\
# States of a task

Made from the table in `tasks/machine.py` by `python -m comfymesh.tasks.diagram`; a test compares.

Creation makes a task QUEUED. Nothing leaves a final state; what becomes of a failed task is noted behind its end, once.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *_diagram(), "", *_transitions(), "", *_policies(), ""])


def _diagram() -> list[str]:
    arrows = [
        f"    {before} --> {after}: {event.__name__}" for (before, event), ends in TRANSITIONS.items() for after in ends
    ]
    finals = [f"    {state} --> [*]" for state in sorted(FINAL) if any(state in ends for ends in TRANSITIONS.values())]
    return ["```mermaid", "stateDiagram-v2", "    [*] --> QUEUED: Created", *arrows, *finals, "```"]


def _transitions() -> list[str]:
    rows = [
        f"| {before} | {event.__name__} | {' or '.join(ends)} | {_WRITERS[event.__name__]} |"
        for (before, event), ends in TRANSITIONS.items()
    ]
    return ["| in state | event | leads to | appended by |", "| --- | --- | --- | --- |", *rows]


def _policies() -> list[str]:
    head = [
        "## What follows a failed attempt",
        "",
        "| failure class | ends the task after | next attempt elsewhere | first wait |",
        "| --- | --- | --- | --- |",
    ]
    rows = []
    for failure, policy in POLICIES.items():
        times = f"{policy.max_failures} of them" if policy.max_failures else "never"
        times += ", or as many more as the caller allows" if policy.caller_decides else ""
        where = "yes" if policy.elsewhere else "no"
        rows.append(f"| {failure} | {times} | {where} | {policy.back_off.total_seconds():g} s |")
    return [*head, *rows]


if __name__ == "__main__":
    sys.stdout.write(page())
