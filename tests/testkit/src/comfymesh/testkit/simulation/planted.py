"""Defects put into the code on purpose: a simulation that does not find them proves nothing.

Each is a mistake that somebody could make in one place of the code, and breaks one promise.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from comfymesh import names
from comfymesh.agent.attempt import Attempt
from comfymesh.agent.claim import Claim
from comfymesh.agent.domain.past import Past
from comfymesh.api import creation, task_service
from comfymesh.api.backlog import Backlog
from comfymesh.api.cancelling import Cancelled
from comfymesh.api.fleet import FleetView
from comfymesh.api.following import Following
from comfymesh.api.groups import Groups
from comfymesh.api.readmodel import GroupSummary, ReadModel
from comfymesh.api.watch import Mailbox
from comfymesh.api.watching import Watching
from comfymesh.artifacts.bus_store import BusStore
from comfymesh.artifacts.content import Content
from comfymesh.bus import guards, streams, tasklog
from comfymesh.bus.intents import Intent
from comfymesh.bus.port import Entry, Message, SequenceConflictError
from comfymesh.bus.streams import TASKS, Stream
from comfymesh.bus.tasklog import StaleRecordError, Stored, TaskLog
from comfymesh.scheduler import main as scheduler_main
from comfymesh.scheduler.clock import SteadyClock
from comfymesh.scheduler.domain.candidacy import Candidacy
from comfymesh.scheduler.domain.deadlines import StartDeadlines
from comfymesh.tasks import codec, dead_letters, machine
from comfymesh.tasks.events import CancelRequested
from comfymesh.tasks.ledger import Booking, Hour
from comfymesh.tasks.record import Key, State, TaskRecord
from comfymesh.testkit.checking import Promise
from comfymesh.testkit.simulation.bus import SimulatedServer
from comfymesh.wire.v1 import spec_pb2

Patch = tuple[Any, str, Any]

_ONE_OF = 7
_LAG_SECONDS = 0.1


def _every(count: int) -> Callable[[], bool]:
    """True each time that it was asked so often."""
    asked = 0

    def due() -> bool:
        nonlocal asked
        asked += 1
        return asked % count == 0

    return due


def _no_guard() -> Patch:
    """Appends go out without a guard."""

    def unguarded(subject: str, data: bytes, expected: int | None = None, lifetime: timedelta | None = None) -> Entry:
        del expected
        return Entry(subject, data, lifetime=lifetime)

    return tasklog, "Entry", unguarded


def _guard_ignored() -> Patch:
    """The server takes no notice of guards."""
    original = SimulatedServer._append

    def append(server: SimulatedServer, entry: Entry) -> int | None:
        sequence = original(server, replace(entry, expected=None))
        if server.written and server.written[-1][0].sequence == sequence:
            server.written[-1] = (server.written[-1][0], entry.expected)
        return sequence

    return SimulatedServer, "_append", append


def _stale_wins() -> Patch:
    """Whoever was refused appends once more, after whatever is the last record now."""
    original = TaskLog.append

    async def append(log: TaskLog, record: TaskRecord, after: int) -> Stored:
        try:
            return await original(log, record, after)
        except StaleRecordError as error:
            if error.last is None:
                raise
            return await original(log, record, error.last.sequence)

    return TaskLog, "append", append


def _refusal_believed() -> Patch:
    """What was refused on a cluster is said to be stale, though the log still ends with what it builds on."""

    async def believe(entry: Entry, _: guards.Propose, last: guards.Last) -> int:
        raise SequenceConflictError(entry, await last(streams.of(entry.subject), entry.subject))

    return guards, "_insist", believe


def _created_too_early() -> Patch:
    """A creation is answered now and then that was never stored, though nothing stands in its way."""
    original, due = TaskLog.create, _every(_ONE_OF)

    async def create(log: TaskLog, record: TaskRecord, spec: spec_pb2.Spec) -> Stored:
        if due() and await log.get(record.key) is None:
            return Stored(record.key, 1, codec.encode(record))
        return await original(log, record, spec)

    return TaskLog, "create", create


def _request_forgotten() -> Patch:
    """Each repetition of a creation makes a task of its own."""
    return creation, "_task_id", lambda *_: f"t{uuid4().hex}"


def _change_not_told() -> Patch:
    """A watcher misses a change now and then."""
    original, due = Mailbox.offer, _every(5 * _ONE_OF)

    def offer(mailbox: Mailbox, stored: Stored) -> None:
        if not due():
            original(mailbox, stored)

    return Mailbox, "offer", offer


def _artifact_dropped() -> Patch:
    """The store says that it has what it has not."""
    original, due = BusStore.put, _every(_ONE_OF)

    async def put(store: BusStore, owner: str, content: Content) -> None:
        if owner.startswith("_") or not due():
            await original(store, owner, content)

    return BusStore, "put", put


def _follower_not_told() -> Patch:
    """Who follows many tasks misses a change now and then."""
    original, due = Backlog.offer, _every(2 * _ONE_OF)

    def offer(backlog: Backlog, stored: Stored) -> None:
        if not due():
            original(backlog, stored)

    return Backlog, "offer", offer


def _group_left_running() -> Patch:
    """A wish to cancel a group does not reach all of its tasks."""
    original = Groups._stoppable

    def stoppable(groups: Groups, tenant: str, name: str) -> list[Stored]:
        return [stored for stored in original(groups, tenant, name) if not stored.task.labels["content"].endswith("0")]

    return Groups, "_stoppable", stoppable


def _group_miscounted() -> Patch:
    """A group is said to have come to more than it has."""
    original = ReadModel.group

    def group(model: ReadModel, tenant: str, name: str) -> GroupSummary | None:
        summary = original(model, tenant, name)
        return summary and replace(summary, counts={state: count + 1 for state, count in summary.counts.items()})

    return ReadModel, "group", group


def _letter_requeued_anew() -> Patch:
    """Each requeueing of a dead letter makes a task of its own."""
    return dead_letters, "successor_key", lambda key: Key(key.tenant, f"t{uuid4().hex}")


def _late_though_begun() -> Patch:
    """A task is too late to begin that has begun before."""

    def can_expire(record: TaskRecord) -> bool:
        return record.state is State.QUEUED and record.definition.start_by is not None

    return machine, "can_expire", can_expire


def _clock_believed() -> Patch:
    """The scheduler goes by the machine's clock, whatever is done to that."""

    class Believed(SteadyClock):
        def __call__(self) -> float:
            return self._wall()

        def follow(self) -> bool:
            return False

    return scheduler_main, "SteadyClock", Believed


def _limit_by_the_wall() -> Patch:
    """The agent goes by the host's clock to tell how long something was executed."""
    original = Attempt._limit_time

    def limit_time(attempt: Attempt) -> None:
        original(attempt)
        until = time.time() + attempt._record.definition.execution_timeout

        def look() -> None:
            if attempt._running and time.time() >= until:
                attempt._time_out(0.0)
            elif attempt._running:
                asyncio.get_running_loop().call_later(0.1, look)

        look()

    return Attempt, "_limit_time", limit_time


def _resumed_by_a_snapshot() -> Patch:
    """Who resumes is told how the task stands now, and not what has happened meanwhile."""
    original = Watching.begin

    async def begin(watching: Watching, mailbox: Mailbox, key: Key, after: int) -> None:
        del after
        await original(watching, mailbox, key, 0)

    return Watching, "begin", begin


def _batch_missed() -> Patch:
    """The read model loses what it was told in one batch now and then."""
    original, due = ReadModel._take_in, _every(3 * _ONE_OF)

    def take_in(model: ReadModel) -> None:
        if model._fresh and due():
            model._fresh.clear()
        original(model)

    return ReadModel, "_take_in", take_in


def _request_expires_early() -> Patch:
    """A request is forgotten after seconds instead of a day."""
    original = creation._task_id

    def task_id(request: creation.CreateRequest, tenant: str) -> str:
        return f"{original(request, tenant)}{int(time.time()) // 2 % 10}"

    return creation, "_task_id", task_id


def _cancelled_too_early() -> Patch:
    """A wish to cancel is answered, and never stored."""

    async def cancel(log: TaskLog, stored: Stored, reason: str) -> Cancelled:
        del log
        if not machine.allows(stored.record, CancelRequested):
            return Cancelled(stored, changed=False)
        record = machine.apply(stored.record, CancelRequested(reason), time.time())
        return Cancelled(Stored(stored.key, stored.sequence, codec.encode(record)), changed=True)

    return task_service, "cancel", cancel


def _copy_lags() -> Patch:
    """What is read of the log to decide something comes from a copy that lags behind."""
    original = SimulatedServer.last

    async def last(server: SimulatedServer, stream: Stream, subject: str) -> Message | None:
        found = await original(server, stream, subject)
        if found is None or stream is not TASKS or server._clock() - found.time > _LAG_SECONDS:
            return found
        before = [message for message in server.stored(subject) if message.sequence < found.sequence]
        return before[-1] if before else None

    return SimulatedServer, "last", last


def _deadline_ignored() -> Patch:
    """Nothing is ever too late to begin."""
    return StartDeadlines, "pop", lambda *_: iter(())


def _usage_twice() -> Patch:
    """An hour of the ledger takes in what it has already."""
    original = Hour.take

    def take(hour: Hour, booking: Booking) -> bool:
        hour.sequence = 0
        return original(hour, booking)

    return Hour, "take", take


def _lease_snatched() -> Patch:
    """A standby takes the lease as soon as it sees that another has it."""

    def due(candidacy: Candidacy) -> float:
        return candidacy._seen_at

    return Candidacy, "_due", due


def _late_offer_believed() -> Patch:
    """An agent takes whatever it is offered for work that no earlier life of it can have had."""
    return Past, "is_fresh", lambda *_: True


def _late_work_believed() -> Patch:
    """An agent takes an attempt for its own that the log gave to it when the work was sent, and does not ask again."""
    original = Claim.take

    async def take(claim: Claim) -> bool:
        return claim.taken or await original(claim)

    return Claim, "take", take


def _group_not_awaited() -> Patch:
    """What is asked about many tasks is answered at once, and not when this api has read what was stored before."""

    async def current(following: Following, _: str) -> int:
        return following.hub.position

    return Following, "current", current


def _late_intent_believed() -> Patch:
    """What the stream tells late of a node takes the place of what was told to a caller."""

    def intend(fleet: FleetView, intent: Intent) -> None:
        fleet._intents[names.node(intent.node)] = intent

    return FleetView, "intend", intend


PLANTED: dict[str, tuple[Callable[[], Patch], Sequence[Promise]]] = {
    "no-guard": (_no_guard, (Promise.P2,)),
    "guard-ignored": (_guard_ignored, (Promise.P2,)),
    "stale-wins": (_stale_wins, (Promise.P2,)),
    "refusal-believed": (_refusal_believed, (Promise.P3,)),
    "created-too-early": (_created_too_early, (Promise.P1, Promise.P4)),
    "request-forgotten": (_request_forgotten, (Promise.P3,)),
    "change-not-told": (_change_not_told, (Promise.P4,)),
    "artifact-dropped": (_artifact_dropped, (Promise.P5,)),
    "follower-not-told": (_follower_not_told, (Promise.P4,)),
    "group-left-running": (_group_left_running, (Promise.P4,)),
    "group-miscounted": (_group_miscounted, (Promise.P4,)),
    "letter-requeued-anew": (_letter_requeued_anew, (Promise.P3,)),
    "late-though-begun": (_late_though_begun, (Promise.P2,)),
    "clock-believed": (_clock_believed, (Promise.P6,)),
    "limit-by-the-wall": (_limit_by_the_wall, (Promise.P6,)),
    "resumed-by-a-snapshot": (_resumed_by_a_snapshot, (Promise.P4,)),
    "batch-missed": (_batch_missed, (Promise.P4,)),
    "request-expires-early": (_request_expires_early, (Promise.P3,)),
    "cancelled-too-early": (_cancelled_too_early, (Promise.P4,)),
    "copy-lags": (_copy_lags, (Promise.P4,)),
    "deadline-ignored": (_deadline_ignored, (Promise.P6,)),
    "usage-twice": (_usage_twice, (Promise.P2,)),
    "lease-snatched": (_lease_snatched, (Promise.P2,)),
    "late-offer-believed": (_late_offer_believed, (Promise.P2,)),
    "late-work-believed": (_late_work_believed, (Promise.P2,)),
    "group-not-awaited": (_group_not_awaited, (Promise.P4,)),
    "late-intent-believed": (_late_intent_believed, (Promise.P4,)),
}
"""Every defect by name: how to put it in, and the promises of which one at least is seen broken."""


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Put a defect in; none for an empty name."""
    with ExitStack() as stack:
        if name:
            target, attribute, replacement = PLANTED[name][0]()
            stack.enter_context(patch.object(target, attribute, replacement))
        yield
