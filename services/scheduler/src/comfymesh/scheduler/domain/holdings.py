"""Attempts that nodes have: what the log says that they should hold, against what their reports say that they do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from comfymesh.scheduler.domain.decisions import Change, Decision, SendWork, StopWork
from comfymesh.scheduler.domain.events import TaskChanged
from comfymesh.scheduler.domain.fleet import Report
from comfymesh.tasks.events import AttemptFailed, Released
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import Key, State, TaskError


class Holdings:
    """What each node has, and when it was heard last.

    Args:
        report_ttl: A node that has not reported for so long is silent, in seconds.
        resend_after: What a node was told, and does not show for so long, is told again, in seconds.
    """

    def __init__(self, *, report_ttl: float, resend_after: float) -> None:
        self._report_ttl = report_ttl
        self._resend_after = resend_after
        self._on_node: defaultdict[str, dict[Key, TaskChanged]] = defaultdict(dict)
        self._told: dict[Key, float] = {}
        self._boots: dict[str, str] = {}
        self._last_seen: dict[str, float] = {}

    def hold(self, task: TaskChanged, now: float) -> None:
        """The log says that a node has this attempt."""
        record = task.record
        self._on_node[record.node][record.key] = task
        self._told[record.key] = now
        self._last_seen.setdefault(record.node, now)

    def let_go(self, task: TaskChanged) -> None:
        """It has it no more."""
        record = task.record
        self._told.pop(record.key, None)
        self._on_node[record.node].pop(record.key, None)
        if not self._on_node[record.node]:
            del self._on_node[record.node]

    def heard(self, report: Report, now: float) -> bool:
        """A node reports. Answers whether it has restarted since its last report."""
        before = self._boots.get(report.node)
        self._boots[report.node] = report.boot_id
        self._last_seen[report.node] = now
        return before is not None and before != report.boot_id

    def deaf(self, now: float) -> None:
        """We could not hear anybody: silence up to `now` says nothing."""
        self._last_seen = dict.fromkeys(self._last_seen, now)

    def settle(self, report: Report, now: float, *, at_once: bool) -> Iterator[Decision]:
        """Send a node what it lacks, again or `at_once`, and stop what it should not have."""
        for key, task in self._on_node.get(report.node, {}).items():
            waited = now - self._told[key] >= self._resend_after
            if report.held.get(key) != task.record.attempt and (at_once or waited):
                self._told[key] = now
                yield SendWork(task.record, task.sequence)
        for key, attempt in report.held.items():
            yield from self._stop(report.node, key, attempt)

    def _stop(self, node: str, key: Key, attempt: int) -> Iterator[Decision]:
        task = self._on_node.get(node, {}).get(key)
        record = task.record if task is not None else None
        if record is None or record.attempt != attempt:
            yield StopWork(node, key, attempt, "the attempt was given to somebody else, or has ended")
        elif record.state is State.CANCELLING:
            yield StopWork(node, key, attempt, record.reason)

    def silent(self, now: float) -> list[tuple[str, list[Decision]]]:
        """Nodes that have not reported for too long, each with what becomes of its attempts.

        Should an append fail for want of a connection, a node's attempts are looked at again after another TTL.
        """
        found: list[tuple[str, list[Decision]]] = []
        for node, seen in list(self._last_seen.items()):
            if now - seen < self._report_ttl:
                continue
            self._boots.pop(node, None)
            attempts = self._on_node.get(node, {})
            if attempts:
                self._last_seen[node] = now
            else:
                del self._last_seen[node]
            found.append((node, [_take_back(task, now - seen) for task in attempts.values()]))
        return found


def _take_back(task: TaskChanged, silence: float) -> Decision:
    record = task.record
    message = f"node {record.node} has not reported for {silence:.0f} s"
    if record.state is State.ASSIGNED:
        return Change(record, task.sequence, Released(f"handed back: {message}"))
    return Change(record, task.sequence, AttemptFailed(TaskError(FailureClass.NODE_LOST, message)))
