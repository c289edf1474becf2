"""The scheduler's core: told what happened, answers what to do. The same object runs in production and in tests.

It trusts nothing but the log. What it decides it does not believe until the log has it, so a decision that is refused,
or whose outcome is unknown, costs a repetition and nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from comfymesh.scheduler.domain.decisions import Change, Decision, ReadCatalog, SendWork, StopWork
from comfymesh.scheduler.domain.events import CatalogRead, Deaf, Event, LogRead, NodeReported, TaskChanged, Tick
from comfymesh.scheduler.domain.fleet import Place, Report
from comfymesh.scheduler.domain.placement import Candidate, Feasibility, choose
from comfymesh.scheduler.domain.queueing import WaitingTasks
from comfymesh.tasks.events import Assigned, AttemptFailed, Released
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import HELD, Key, State, TaskError, TaskRecord

_ENDS_REMEMBERED = 10_000


class Core:
    """Allocates tasks to instances.

    Args:
        report_ttl: A node that has not reported for so long is lost, in seconds.
        resend_after: Work that a node's report lacks for so long is sent again, in seconds.
    """

    def __init__(self, *, report_ttl: float, resend_after: float) -> None:
        self._report_ttl = report_ttl
        self._resend_after = resend_after
        self._log_read = False
        self._tasks: dict[Key, TaskChanged] = {}
        self._ended: dict[Key, int] = {}
        self._waiting = WaitingTasks()
        self._deciding: dict[Key, Place] = {}
        self._held: defaultdict[Place, set[Key]] = defaultdict(set)
        self._on_node: defaultdict[str, set[Key]] = defaultdict(set)
        self._told: dict[Key, float] = {}
        self._reports: dict[str, Report] = {}
        self._last_seen: dict[str, float] = {}
        self._feasibility = Feasibility()
        self._asked: set[str] = set()

    def handle(self, event: Event, now: float) -> list[Decision]:
        """Take in an event at `now` (seconds since the epoch) and decide what follows."""
        decisions: list[Decision] = []
        match event:
            case TaskChanged():
                decisions.extend(self._task_changed(event, now))
            case LogRead():
                self._log_read = True
            case NodeReported():
                decisions.extend(self._node_reported(event.report, now))
            case CatalogRead():
                self._feasibility.learn(event.digest, event.catalog)
            case Deaf():
                self._last_seen = dict.fromkeys(self._last_seen, now)
            case Tick():
                decisions.extend(self._lose_silent_nodes(now))
        decisions.extend(self._assign(now))
        return decisions

    # Tasks

    def _task_changed(self, change: TaskChanged, now: float) -> Iterator[Decision]:
        record = change.record
        known = self._tasks.get(record.key)
        newest = known.sequence if known else self._ended.get(record.key, 0)
        # What is known already is no news, and must not undo a decision that is under way. Its own outcome does.
        if change.sequence < newest or (change.sequence == newest != change.settles):
            return
        decided = record.key in self._deciding
        self._forget(record.key)
        if record.is_final:
            self._remember_end(change)
            return
        self._tasks[record.key] = change
        if record.state in HELD:
            self._hold(record, now)
        else:
            self._waiting.add(record, round(record.definition.create_time * 1e6), now)
        if record.state is State.ASSIGNED and decided:
            yield self._send(change, now)
        if record.state is State.CANCELLING and self._log_read:
            yield StopWork(record.node, record.key, record.attempt, record.reason)

    def _remember_end(self, change: TaskChanged) -> None:
        """What was read before the end may be told after it; for some time it must not pass for news."""
        self._ended[change.record.key] = change.sequence
        if len(self._ended) > _ENDS_REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def _forget(self, key: Key) -> None:
        self._waiting.discard(key)
        self._told.pop(key, None)
        if (place := self._deciding.pop(key, None)) is not None:
            self._held[place].discard(key)
        known = self._tasks.pop(key, None)
        if known is not None:
            self._held[Place(known.record.node, known.record.instance)].discard(key)
            self._on_node[known.record.node].discard(key)

    def _hold(self, record: TaskRecord, now: float) -> None:
        self._held[Place(record.node, record.instance)].add(record.key)
        self._on_node[record.node].add(record.key)
        self._told[record.key] = now
        self._last_seen.setdefault(record.node, now)

    # Nodes

    def _node_reported(self, report: Report, now: float) -> Iterator[Decision]:
        before = self._reports.get(report.node)
        restarted = before is not None and before.boot_id != report.boot_id
        self._reports[report.node] = report
        self._last_seen[report.node] = now
        yield from self._read_catalogs(report)
        if self._log_read:
            yield from self._send_what_it_lacks(report, now, at_once=restarted)
            yield from self._stop_what_it_should_not_have(report)

    def _read_catalogs(self, report: Report) -> Iterator[Decision]:
        for instance in report.instances.values():
            if instance.catalog and instance.catalog not in self._asked:
                self._asked.add(instance.catalog)
                yield ReadCatalog(instance.catalog)

    def _send_what_it_lacks(self, report: Report, now: float, *, at_once: bool) -> Iterator[Decision]:
        for key in list(self._on_node[report.node]):
            task = self._tasks[key]
            waited = now - self._told[key] >= self._resend_after
            if report.held.get(key) != task.record.attempt and (at_once or waited):
                yield self._send(task, now)

    def _stop_what_it_should_not_have(self, report: Report) -> Iterator[Decision]:
        for key, attempt in report.held.items():
            task = self._tasks.get(key)
            record = task.record if task else None
            owns = record is not None and record.node == report.node and record.attempt == attempt
            if not owns or record is None or record.state not in HELD:
                yield StopWork(report.node, key, attempt, "the attempt was given to somebody else, or has ended")
            elif record.state is State.CANCELLING:
                yield StopWork(report.node, key, attempt, record.reason)

    def _send(self, task: TaskChanged, now: float) -> Decision:
        self._told[task.record.key] = now
        return SendWork(task.record, task.sequence)

    def _lose_silent_nodes(self, now: float) -> Iterator[Decision]:
        if not self._log_read:
            return
        for node, seen in list(self._last_seen.items()):
            if now - seen < self._report_ttl:
                continue
            self._reports.pop(node, None)
            # Should an append fail for want of a connection, the node's attempts are looked at again after another TTL.
            self._last_seen[node] = now
            for key in list(self._on_node[node]):
                yield _take_back(self._tasks[key], now - seen)
            if not self._on_node[node]:
                del self._last_seen[node]

    # Placement

    def _assign(self, now: float) -> Iterator[Decision]:
        self._waiting.wake(now)
        if not self._log_read or not len(self._waiting):
            return
        hopeless = set()
        while True:
            heads = (head for head in self._waiting.heads() if head[2] not in hopeless)
            head = min(heads, key=lambda head: head[0], default=None)
            if head is None:
                return
            task = self._tasks[head[1]]
            place = choose(task.record, self._candidates(), self._feasibility)
            if place is None:
                hopeless.add(head[2])
            else:
                yield self._decide(task, place)

    def _decide(self, task: TaskChanged, place: Place) -> Decision:
        key = task.record.key
        self._waiting.discard(key)
        self._deciding[key] = place
        self._held[place].add(key)
        return Change(task.record, task.sequence, Assigned(place.node, place.instance))

    def _candidates(self) -> Iterator[Candidate]:
        for report in self._reports.values():
            for instance in report.instances.values():
                place = Place(report.node, instance.name)
                yield Candidate(place, report, instance, len(self._held[place]))


def _take_back(task: TaskChanged, silence: float) -> Decision:
    record = task.record
    message = f"node {record.node} has not reported for {silence:.0f} s"
    if record.state is State.ASSIGNED:
        return Change(record, task.sequence, Released(f"handed back: {message}"))
    return Change(record, task.sequence, AttemptFailed(TaskError(FailureClass.NODE_LOST, message)))
