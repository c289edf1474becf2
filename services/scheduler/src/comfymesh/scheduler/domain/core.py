"""The scheduler's core: told what happened, answers what to do. The same object runs in production and in tests.

It trusts nothing but the log. A task that waits is offered to an instance, and has been placed when its node has
claimed it in the log. An offer that is lost, or refused, or taken up too late, costs a repetition and nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from comfymesh.scheduler.domain.decisions import Change, Decision, OfferWork, ReadCatalog, SendWork, StopWork
from comfymesh.scheduler.domain.events import (
    CatalogRead,
    Deaf,
    Event,
    Leading,
    LogRead,
    NodeReported,
    PolicyChanged,
    TaskChanged,
    TaskEnded,
    TaskRan,
    Tick,
)
from comfymesh.scheduler.domain.explaining import explain, sum_up
from comfymesh.scheduler.domain.fleet import Place, Report
from comfymesh.scheduler.domain.offers import Offers
from comfymesh.scheduler.domain.placement import Candidate, Feasibility, choose
from comfymesh.scheduler.domain.queueing import StartDeadlines, WaitingTasks
from comfymesh.scheduler.domain.views import Explanation, QueueOverview
from comfymesh.tasks.events import AttemptFailed, Expired, Released
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import HELD, Key, State, TaskError, TaskRecord

_ENDS_REMEMBERED = 10_000


class Core:
    """Allocates tasks to instances.

    Args:
        report_ttl: A node that has not reported for so long is lost, in seconds.
        resend_after: What a node was told, and does not show for so long, is told again, in seconds.
    """

    def __init__(self, *, report_ttl: float, resend_after: float) -> None:
        self._report_ttl = report_ttl
        self._resend_after = resend_after
        self._log_read = False
        self._leading = True
        self._tasks: dict[Key, TaskChanged] = {}
        self._ended: dict[Key, int] = {}
        self._waiting = WaitingTasks()
        self._deadlines = StartDeadlines()
        self._offers = Offers()
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
            case TaskEnded():
                self._task_ended(event.key, event.sequence)
            case LogRead():
                self._log_read = True
            case Leading():
                self._lead(event.leading, now)
            case NodeReported():
                decisions.extend(self._node_reported(event.report, now))
            case CatalogRead():
                self._feasibility.learn(event.digest, event.catalog)
            case TaskRan() | PolicyChanged():
                pass
            case Deaf():
                self._last_seen = dict.fromkeys(self._last_seen, now)
            case Tick():
                self._put_back(self._offers.made_before(now - self._resend_after), now)
                decisions.extend(self._lose_silent_nodes(now))
        decisions.extend(self._expire(now))
        decisions.extend(self._offer(now))
        return decisions

    @property
    def _deciding(self) -> bool:
        return self._log_read and self._leading

    def _lead(self, leading: bool, now: float) -> None:  # noqa: FBT001  # the event's own word
        self._leading = leading
        if not leading:
            self._put_back(list(self._offers), now)

    # Tasks

    def _task_changed(self, change: TaskChanged, now: float) -> Iterator[Decision]:
        record = change.record
        if record.is_final:
            self._task_ended(record.key, change.sequence)
            return
        if not self._is_news(record.key, change.sequence):
            return
        self._forget(record.key)
        self._tasks[record.key] = change
        if record.state in HELD:
            self._hold(record, now)
        else:
            self._wait(record, now)
            self._deadlines.add(record)
        if record.state is State.CANCELLING and self._deciding:
            yield StopWork(record.node, record.key, record.attempt, record.reason)

    def _is_news(self, key: Key, sequence: int) -> bool:
        """What is known already must not undo what is under way."""
        known = self._tasks.get(key)
        return sequence > (known.sequence if known else self._ended.get(key, 0))

    def _task_ended(self, key: Key, sequence: int) -> None:
        """What was read before the end may be told after it; for some time it must not pass for news."""
        if not self._is_news(key, sequence):
            return
        self._forget(key)
        self._ended[key] = sequence
        if len(self._ended) > _ENDS_REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def _forget(self, key: Key) -> None:
        self._waiting.discard(key)
        self._deadlines.discard(key)
        self._offers.withdraw(key)
        self._told.pop(key, None)
        known = self._tasks.pop(key, None)
        if known is not None:
            self._held[Place(known.record.node, known.record.instance)].discard(key)
            self._on_node[known.record.node].discard(key)

    def _wait(self, record: TaskRecord, now: float) -> None:
        self._waiting.add(record, round(record.definition.create_time * 1e6), now)

    def _hold(self, record: TaskRecord, now: float) -> None:
        self._held[Place(record.node, record.instance)].add(record.key)
        self._on_node[record.node].add(record.key)
        self._told[record.key] = now
        self._last_seen.setdefault(record.node, now)

    def _expire(self, now: float) -> Iterator[Decision]:
        """Tasks that should have begun by now end. An offer of one is withdrawn; a claim that is quicker wins."""
        if not self._deciding:
            return
        for key in list(self._deadlines.pop(now)):
            self._waiting.discard(key)
            self._offers.withdraw(key)
            # Until the log tells how it ended: the append may fail for want of a connection.
            self._deadlines.set(key, now + self._resend_after)
            task = self._tasks[key]
            yield Change(task.record, task.sequence, Expired())

    # Nodes

    def _node_reported(self, report: Report, now: float) -> Iterator[Decision]:
        before = self._reports.get(report.node)
        restarted = before is not None and before.boot_id != report.boot_id
        self._reports[report.node] = report
        self._last_seen[report.node] = now
        self._put_back(self._offers.unwelcome(report, restarted=restarted), now)
        yield from self._read_catalogs(report)
        if self._deciding:
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
                self._told[key] = now
                yield SendWork(task.record, task.sequence)

    def _stop_what_it_should_not_have(self, report: Report) -> Iterator[Decision]:
        for key, attempt in report.held.items():
            task = self._tasks.get(key)
            record = task.record if task else None
            owns = record is not None and record.node == report.node and record.attempt == attempt
            if not owns or record is None or record.state not in HELD:
                yield StopWork(report.node, key, attempt, "the attempt was given to somebody else, or has ended")
            elif record.state is State.CANCELLING:
                yield StopWork(report.node, key, attempt, record.reason)

    def _lose_silent_nodes(self, now: float) -> Iterator[Decision]:
        if not self._deciding:
            return
        for node, seen in list(self._last_seen.items()):
            if now - seen < self._report_ttl:
                continue
            self._reports.pop(node, None)
            self._put_back(self._offers.of_node(node), now)
            # Should an append fail for want of a connection, the node's attempts are looked at again after another TTL.
            self._last_seen[node] = now
            for key in list(self._on_node[node]):
                yield _take_back(self._tasks[key], now - seen)
            if not self._on_node[node]:
                del self._last_seen[node]

    # Views

    def explain(self, key: Key, now: float) -> Explanation | None:
        """Why a task waits at `now`; None where it does not."""
        task = self._tasks.get(key)
        if task is None or task.record.state is not State.QUEUED:
            return None
        if task.record.not_before > now:
            return Explanation("it is put off for a while after its last attempt", 0)
        return explain(task.record, self._candidates(), self._feasibility)

    def overview(self, now: float) -> QueueOverview:  # noqa: ARG002  # estimates will need it
        """What waits and runs."""
        return sum_up(change.record for change in self._tasks.values())

    # Placement

    def _put_back(self, keys: list[Key], now: float) -> None:
        """These tasks were offered in vain and wait again. Should a claim still come, the log has the last word."""
        for key in keys:
            self._offers.withdraw(key)
            self._wait(self._tasks[key].record, now)

    def _offer(self, now: float) -> Iterator[Decision]:
        self._waiting.wake(now)
        if not self._deciding or not len(self._waiting):
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
                self._waiting.discard(task.record.key)
                self._offers.make(task.record.key, place, now)
                yield OfferWork(task.record, task.sequence, place)

    def _candidates(self) -> Iterator[Candidate]:
        for report in self._reports.values():
            for instance in report.instances.values():
                place = Place(report.node, instance.name)
                yield Candidate(place, report, instance, len(self._held[place]) + self._offers.count(place))


def _take_back(task: TaskChanged, silence: float) -> Decision:
    record = task.record
    message = f"node {record.node} has not reported for {silence:.0f} s"
    if record.state is State.ASSIGNED:
        return Change(record, task.sequence, Released(f"handed back: {message}"))
    return Change(record, task.sequence, AttemptFailed(TaskError(FailureClass.NODE_LOST, message)))
