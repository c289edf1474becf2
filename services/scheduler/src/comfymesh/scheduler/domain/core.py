"""The scheduler's core: told what happened, answers what to do. The same object runs in production and in tests.

It trusts nothing but the log. A task that waits is offered to an instance, and has been placed when its node has
claimed it in the log. An offer that is lost, or refused, or taken up too late, costs a repetition and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from comfymesh.scheduler.domain.breaker import Breakers
from comfymesh.scheduler.domain.deadlines import StartDeadlines
from comfymesh.scheduler.domain.decisions import (
    Change,
    Decision,
    OfferWork,
    ReadCatalog,
    ReadRecord,
    StopWork,
    TakeBack,
)
from comfymesh.scheduler.domain.demand import Told, demand
from comfymesh.scheduler.domain.dispatch import Dispatcher
from comfymesh.scheduler.domain.estimates import Estimates
from comfymesh.scheduler.domain.events import (
    CatalogRead,
    Deaf,
    Event,
    Leading,
    LogRead,
    NodeReported,
    PolicyChanged,
    RecordRead,
    TaskChanged,
    TaskEnded,
    TaskRan,
    Tick,
)
from comfymesh.scheduler.domain.explaining import Explainer
from comfymesh.scheduler.domain.filters import Filters
from comfymesh.scheduler.domain.fleet import Place, Report
from comfymesh.scheduler.domain.holdings import Holdings
from comfymesh.scheduler.domain.lanes import Waiting
from comfymesh.scheduler.domain.learning import learn
from comfymesh.scheduler.domain.memory import Memory
from comfymesh.scheduler.domain.offers import Offers
from comfymesh.scheduler.domain.outlook import Outlook
from comfymesh.scheduler.domain.placement import Feasibility
from comfymesh.scheduler.domain.preemption import Preemption
from comfymesh.scheduler.domain.queueing import WaitingTasks
from comfymesh.scheduler.domain.seat import Seat
from comfymesh.scheduler.domain.seats import Seats
from comfymesh.scheduler.domain.slots import Slots
from comfymesh.scheduler.domain.views import Estimate, Explanation
from comfymesh.tasks.events import Expired
from comfymesh.tasks.record import HELD, Key, State, TaskRecord

PREEMPTED = "preempted by a task of higher priority"
_ENDS_REMEMBERED = 10_000
_RECORDS_KEPT = 10_000
"""Records of waiting tasks that are kept. Those of the others are read again when they are needed."""


_LEAVES_THE_QUEUE = (NodeReported, TaskRan, RecordRead)
"""Events after which nothing waits, runs or has ended that did not before. There are many: who waits for a warm
instance is not looked at again for them."""


class Core:
    """Allocates tasks to instances.

    Args:
        report_ttl: A node that has not reported for so long is lost, in seconds.
        resend_after: What a node was told, and does not show for so long, is told again, in seconds.
    """

    def __init__(self, *, report_ttl: float, resend_after: float) -> None:
        self._resend_after = resend_after
        self._log_read = False
        self._leading = True
        self._tasks: dict[Key, TaskChanged | Waiting] = {}
        self._records: dict[Key, TaskRecord] = {}
        self._ended: dict[Key, int] = {}
        self._seats = Seats()
        self._breakers = Breakers(self._seats)
        self._estimates = Estimates()
        self._feasibility = Feasibility()
        self._filters = Filters(self._seats.kinds, self._feasibility)
        self._outlook = Outlook()
        self._dispatcher = Dispatcher(self._seats, self._estimates, self._filters)
        self._memory = Memory(self._seats, self._filters)
        self._preemption = Preemption(self._seats, self._filters)
        self._waiting = WaitingTasks(self._seats, self._estimates, self._dispatcher, self._memory)
        self._slots = Slots(self._seats, self._waiting, self._memory)
        self._deadlines = StartDeadlines()
        self._offers = Offers()
        self._explainer = Explainer(
            self._filters, self._seats, self._waiting, self._offers, self._dispatcher, self._outlook
        )
        self._holdings = Holdings(report_ttl=report_ttl, resend_after=resend_after)
        self._begun: dict[Key, Waiting] = {}

    def handle(self, event: Event, now: float) -> list[Decision]:
        """Take in an event at `now` (seconds since the epoch) and decide what follows."""
        decisions = list(self._take_in(event, now))
        decisions.extend(self._expire(now))
        decisions.extend(self._offer(now, in_turn=not isinstance(event, _LEAVES_THE_QUEUE)))
        return decisions

    def _take_in(self, event: Event, now: float) -> Iterator[Decision]:
        match event:
            case TaskChanged():
                yield from self._task_changed(event, now)
            case TaskEnded():
                self._task_ended(event.key, event.sequence, now)
            case RecordRead():
                yield from self._record_read(event)
            case NodeReported():
                yield from self._node_reported(event.report, now)
            case Tick():
                self._put_back(self._offers.made_before(now - self._resend_after), now)
                yield from self._lose_silent_nodes(now)
                self._memory.review(now)
                self._feasibility.forget_unused({kind.catalog for kind in self._seats.kinds})
                yield from self._preempt(now)
            case _:
                self._note(event, now)

    def _note(self, event: Event, now: float) -> None:
        """Take in what asks for nothing by itself."""
        match event:
            case LogRead():
                self._log_read = True
            case Leading():
                self._lead(event.leading, now)
            case CatalogRead():
                self._feasibility.learn(event.digest, event.catalog)
                self._seats.kinds.changed()
                self._dispatcher.look_again()
            case TaskRan():
                learn(self._estimates, event.run)
                self._breakers.ended(event.run, now, live=self._log_read)
                self._memory.ended(event.run)
            case PolicyChanged():
                self._waiting.set(event.settings)
                self._breakers.set(event.settings)
                self._memory.set(event.settings)
                self._preemption.set(event.settings)
            case Deaf():
                self._holdings.deaf(now)

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
            self._task_ended(record.key, change.sequence, now)
            return
        if not self._is_news(record.key, change.sequence):
            return
        place = Place(record.node, record.instance) if record.state in HELD else None
        known = self._forget(record.key, place)
        if place is not None:
            self._hold(change, place, known, now)
        else:
            self._wait(change, now)
        if record.state is State.CANCELLING and self._deciding:
            yield StopWork(record.node, record.key, record.attempt, record.reason)

    def _is_news(self, key: Key, sequence: int) -> bool:
        """What is known already must not undo what is under way."""
        known = self._tasks.get(key)
        return sequence > (known.sequence if known else self._ended.get(key, 0))

    def _task_ended(self, key: Key, sequence: int, now: float) -> None:
        """What was read before the end may be told after it; for some time it must not pass for news."""
        if not self._is_news(key, sequence):
            return
        if (begun := self._begun.get(key)) is not None:
            self._waiting.bore(begun, now)
            self._outlook.learn(begun, now)
        self._forget(key)
        self._begun.pop(key, None)
        self._preemption.ended(key)
        self._ended[key] = sequence
        if len(self._ended) > _ENDS_REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def _forget(self, key: Key, stays: Place | None = None) -> Waiting | None:
        """Let go of a task, but for its slot where it `stays`. Answers what was known of it while it waited."""
        known = self._tasks.pop(key, None)
        if isinstance(known, Waiting):
            self._waiting.discard(known)
        self._deadlines.discard(key)
        self._offers.withdraw(key)
        self._slots.vacate(key, stays)
        self._records.pop(key, None)
        if isinstance(known, TaskChanged):
            self._holdings.let_go(known)
            self._preemption.left(known)
            return self._begun.get(key)
        if known is not None:
            self._preemption.waits_no_more(known)
        return known

    def _wait(self, change: TaskChanged, now: float) -> None:
        record = change.record
        if len(self._records) < _RECORDS_KEPT:
            self._records[record.key] = record
        task = self._waiting.arrive(record, change.sequence, now)
        self._tasks[task.key] = task
        self._preemption.waits(task)
        # No longer than whoever wrote that meant: his clock may be ahead of ours.
        self._waiting.add(task, now, min(record.not_before, now + record.not_before - record.update_time))
        self._deadlines.add(record)

    def _hold(self, change: TaskChanged, place: Place, known: Waiting | None, now: float) -> None:
        record = change.record
        self._tasks[record.key] = change
        self._holdings.hold(change, now)
        self._preemption.held(change)
        if known is not None:
            self._begun[record.key] = known
        self._slots.occupy(record.key, record.definition.requirements, known, place, now)

    def _record_read(self, event: RecordRead) -> Iterator[Decision]:
        """A record that was not kept is there: now the task can be offered, or may expire."""
        key = event.record.key
        task = self._tasks.get(key)
        if isinstance(task, Waiting) and task.sequence == event.sequence:
            self._records[key] = event.record
            if (place := self._offers.place(key)) is not None and self._deciding:
                yield OfferWork(event.record, event.sequence, place)

    def _expire(self, now: float) -> Iterator[Decision]:
        """Tasks that should have begun by now end. An offer of one is withdrawn; a claim that is quicker wins."""
        if not self._deciding:
            return
        for key in list(self._deadlines.pop(now)):
            task = self._tasks[key]
            if isinstance(task, Waiting):
                self._waiting.discard(task)
            self._withdraw(key)
            # Until the log tells how it ended: the append may fail for want of a connection.
            self._deadlines.set(key, now + self._resend_after)
            record = self._records.get(key)
            if record is None:
                yield ReadRecord(key, task.sequence)
            else:
                yield Change(record, task.sequence, Expired())

    # Nodes

    def _node_reported(self, report: Report, now: float) -> Iterator[Decision]:
        restarted = self._holdings.heard(report, now)
        if self._seats.report(report):
            self._waiting.fleet_changed()
        self._memory.reported(report)
        self._breakers.seen(report.node, report.instances, now)
        for instance in report.instances.values():
            self._waiting.sees(instance.resident)
        self._put_back(self._offers.unwelcome(report, restarted=restarted), now)
        for instance in report.instances.values():
            if instance.catalog and self._feasibility.should_ask(instance.catalog):
                yield ReadCatalog(instance.catalog)
        if self._deciding:
            yield from self._holdings.settle(report, now, at_once=restarted)

    def _lose_silent_nodes(self, now: float) -> Iterator[Decision]:
        if not self._deciding:
            return
        for node, taken_back in self._holdings.silent(now):
            self._seats.lose(node)
            self._waiting.fleet_changed()
            self._put_back(self._offers.of_node(node), now)
            yield from taken_back

    # Views

    def explain(self, key: Key, now: float) -> Explanation | None:
        """Why a task waits at `now`; None where it does not."""
        task = self._tasks.get(key)
        if not isinstance(task, Waiting):
            return None
        return self._explainer.explain(task, now)

    def start(self, task: Waiting, now: float) -> Estimate | None:
        """When a task that waits is expected to begin, from `now` on; None where nobody can tell."""
        return self._outlook.start(task, now)

    def open_breakers(self, now: float) -> Mapping[Place, float]:
        """Instances that get nothing at `now` since too much has failed there, and until when."""
        return self._breakers.open(now)

    def demand(self, now: float) -> Told:
        """What waits for pools that could start more instances; nothing is known before the log is."""
        return demand(self._waiting.groups(), self._seats, self._filters.suits, now) if self._deciding else {}

    def tasks(self) -> list[TaskChanged | Waiting]:
        """Everything that waits or runs."""
        return list(self._tasks.values())

    # Placement

    def _put_back(self, keys: list[Key], now: float) -> None:
        """These tasks were offered in vain and wait again. Should a claim still come, the log has the last word."""
        for key in keys:
            self._withdraw(key)
            task = self._tasks[key]
            if isinstance(task, Waiting):
                self._waiting.add(task, now)

    def _offer(self, now: float, *, in_turn: bool) -> Iterator[Decision]:
        self._waiting.wake(now)
        self._breakers.wake(now)
        if not self._deciding or not len(self._waiting):
            return
        for task, seat in self._waiting.next(now, in_turn=in_turn):
            yield self._give(task, seat, now)

    def _give(self, task: Waiting, seat: Seat, now: float) -> Decision:
        self._offers.make(task.key, seat.place, now)
        self._slots.occupy(task.key, task.group.requirements, task, seat.place, now)
        record = self._records.get(task.key)
        if record is None:
            return ReadRecord(task.key, task.sequence)
        return OfferWork(record, task.sequence, seat.place)

    def _preempt(self, now: float) -> Iterator[Decision]:
        """Who has waited too long is offered the place of an attempt that is told to give way."""
        if not self._deciding:
            return
        interrupts = self._preemption.interrupts
        for record in self._preemption.told(now):
            yield TakeBack(record, PREEMPTED, interrupts)
        for yielding in self._preemption.review(now, self._waiting.may_begin):
            yield TakeBack(yielding.attempt, PREEMPTED, interrupts)
            self._waiting.discard(yielding.task)
            yield self._give(yielding.task, yielding.seat, now)

    def _withdraw(self, key: Key) -> None:
        self._offers.withdraw(key)
        self._slots.vacate(key)
