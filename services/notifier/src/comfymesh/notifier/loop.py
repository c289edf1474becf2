"""Feeds the core from the bus, stores what it knows and what it tells.

What is told becomes true in three steps. The core's state, with the new notices in its outbox and its place in the
log, is stored as one message. Then the notices are put into the history, each under its own name and once. Then they
leave the outbox. Whenever the notifier is killed, it goes on with one of the three: nothing is lost or made twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Self

from google.protobuf.message import DecodeError

from comfymesh import names
from comfymesh.bus import records, replay, streams, subjects
from comfymesh.bus.port import Bus, BusError, BusUnavailableError, CaughtUp, Entry, Message, SequenceConflictError
from comfymesh.bus.records import Stored
from comfymesh.notifier import convert, memory, observing
from comfymesh.notifier.domain.alerts import Notice
from comfymesh.notifier.domain.backlog import Backlog
from comfymesh.notifier.domain.core import Core
from comfymesh.notifier.domain.events import Acknowledged, Deaf, Event, Heard, LogPassed, Tick
from comfymesh.notifier.domain.rules import Rules
from comfymesh.runtime.background import Background
from comfymesh.runtime.health import HEALTH
from comfymesh.runtime.patience import patiently
from comfymesh.tasks.moments import timestamp
from comfymesh.tasks.record import State
from comfymesh.v1 import alert_pb2
from comfymesh.wire.v1 import alerting_pb2, node_report_pb2

logger = logging.getLogger(__name__)

_LONGEST_UNSTORED = 10.0

Tell = Callable[[alert_pb2.AlertNotice], None]
"""Takes a notice at once, beside the history."""
Call = Callable[[Stored], Awaitable[None]]
"""Sees to it that whoever wants to be called for a record is; answers once that can't be lost any more."""


class Notifier:
    """Runs a core against the bus.

    Args:
        core: The core.
        rules: The core's rules.
        bus: The bus.
        stored: Where the state is kept.
        call: Takes records of tasks that want to be called back.
        tell_now: Tells notices to people while the bus is away.
        log: Writes what was told to a file.
        clock: Answers seconds since the epoch.
        tick: How often the core looks at the clock, in seconds.

    Attributes:
        failed: Set when it can't go on.
        superseded: Why, where another notifier has gone on.
    """

    def __init__(  # noqa: PLR0913  # it brings the parts together
        self,
        core: Core,
        rules: Rules,
        bus: Bus,
        stored: memory.Memory,
        *,
        call: Call,
        tell_now: Tell,
        log: Tell,
        clock: Callable[[], float],
        tick: float = 1.0,
    ) -> None:
        self._core = core
        self._rules = rules
        self._bus = bus
        self._stored = stored
        self._call = call
        self._tell_now = tell_now
        self._log = log
        self._clock = clock
        self._tick = tick
        self._backlog = Backlog()
        core.complete = False
        self._silences_read, self._acknowledgements_read = asyncio.Event(), asyncio.Event()
        self._unread = {"tasks", "reports"}
        self._looked = clock()
        self._urgent = asyncio.Event()
        self._deaf = False
        self._work = Background()
        self._stack = AsyncExitStack()
        self.failed = self._work.failed
        self.superseded: memory.SupersededError | None = None

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        for source, name in (
            (self._follow_log(), "log"),
            (self._follow_tasks(), "tasks"),
            (self._follow_reports(), "reports"),
            (self._follow_lease(), "lease"),
            (self._follow_silences(), "silences"),
            (self._follow_acknowledgements(), "acknowledgements"),
            (self._follow_clock(), "clock"),
            (self._store(), "store"),
        ):
            self._work.spawn(source, name)
        for subject, handler in (
            (subjects.ALL_PRESENCES, self._hear_presence),
            (subjects.ALL_PROGRESS, self._hear_progress),
        ):
            subscription = await self._bus.subscribe(subject, handler)
            self._stack.push_async_callback(subscription.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop. What was not stored is heard again by the next one."""
        await self._work.close()
        await self._stack.aclose()

    def _feed(self, event: Event) -> None:
        notices = self._core.handle(event, self._clock())
        if notices:
            self._urgent.set()
        if notices and self._deaf:
            for notice in notices:
                self._tell_now(convert.notice_message(notice, self._rules))

    # What is heard

    async def _follow_log(self) -> None:
        """Every record since the last one that was taken in, in order, and each once."""
        await self._may_tell()
        async for message in replay.every(self._bus, self._core.state.position):
            item = records.try_to_read(message, logging.DEBUG)
            if isinstance(item, Stored) and records.is_whole(item, logging.DEBUG):
                if item.message.task.callback_url:
                    await self._call(item)
                self._feed(observing.of_record(item))
            else:
                self._feed(LogPassed(message.sequence))

    async def _may_tell(self) -> None:
        """Wait until it is known what nobody is to be told of."""
        await self._silences_read.wait()
        await self._acknowledgements_read.wait()

    def _has_read(self, what: str) -> None:
        self._unread.discard(what)
        self._core.complete = not self._unread

    async def _follow_tasks(self) -> None:
        async for message in self._bus.tail(streams.TASKS, subjects.ALL_TASKS):
            if isinstance(message, CaughtUp):
                await self._hear_what_was_told()
                self._has_read("tasks")
                continue
            item = records.try_to_read(message, logging.DEBUG)
            if not isinstance(item, Stored) or item.is_final or not records.is_whole(item, logging.DEBUG):
                if item is not None:
                    self._backlog.gone(item.key)
                continue
            record = item.record
            if record.state is State.QUEUED:
                self._backlog.waits(item.key, record.update_time)
            elif record.state is State.RUNNING:
                self._backlog.runs(item.key, record.update_time, observing.facts_of(record))
            else:
                self._backlog.gone(item.key)

    async def _hear_what_was_told(self) -> None:
        """When those that run told of their progress last, which was before anybody listened here."""
        for key in self._backlog.running():
            ask = partial(self._bus.last, streams.PROGRESS, subjects.progress(key))
            told = await patiently(ask, BusUnavailableError, what="read the progress of a task")
            if told is not None:
                self._backlog.progressed(key, told.time)

    async def _follow_reports(self) -> None:
        await self._may_tell()
        async for message in self._bus.tail(streams.REPORTS, subjects.ALL_REPORTS):
            if isinstance(message, CaughtUp):
                self._has_read("reports")
                continue
            try:
                report = node_report_pb2.NodeReport.FromString(message.data)
                self._feed(observing.of_report(names.parse_node(report.node.name), report))
            except (DecodeError, names.MalformedNameError) as error:
                logger.debug("a report on %s can't be read: %s", message.subject, error)

    async def _follow_lease(self) -> None:
        subject = subjects.lease("scheduler")
        caught_up = False
        async for message in self._bus.tail(streams.LEASES, subject):
            if isinstance(message, CaughtUp):
                caught_up = True
            elif message.data and caught_up:
                self._feed(Heard("scheduler"))

    async def _follow_silences(self) -> None:
        async for message in self._bus.tail(streams.ALERTING, subjects.SILENCES):
            if isinstance(message, CaughtUp):
                self._silences_read.set()
                continue
            silence_id = message.subject.rpartition(".")[2]
            if not message.data:
                self._core.silences.pop(silence_id, None)
                continue
            try:
                made = alert_pb2.Silence.FromString(message.data)
            except DecodeError as error:
                logger.warning("silence %s can't be read: %s", silence_id, error)
            else:
                self._core.silences[silence_id] = convert.silence_of(silence_id, made)

    async def _follow_acknowledgements(self) -> None:
        async for message in self._bus.tail(streams.ALERTING, subjects.ACKNOWLEDGEMENTS):
            if isinstance(message, CaughtUp):
                self._acknowledgements_read.set()
                continue
            alert_id = message.subject.rpartition(".")[2]
            alert = self._core.state.alerts.get(alert_id)
            if alert is not None and message.time >= alert.since:
                self._acknowledge(alert_id, message.data)

    def _acknowledge(self, alert_id: str, data: bytes) -> None:
        try:
            told = alerting_pb2.Acknowledgement.FromString(data)
        except DecodeError as error:
            logger.warning("an acknowledgement of alert %s can't be read: %s", alert_id, error)
            return
        self._feed(Acknowledged(alert_id, told.acknowledged_by))
        self._urgent.set()

    async def _follow_clock(self) -> None:
        while True:
            await asyncio.sleep(self._tick)
            self._deaf = not await self._hears()
            now = self._clock()
            if self._deaf:
                self._backlog.was_deaf(now - self._looked)
            self._looked = now
            for silence_id, silence in list(self._core.silences.items()):
                if silence.ends <= now:
                    del self._core.silences[silence_id]
            self._feed(self._backlog.measure(now))
            self._feed(Deaf() if self._deaf else Tick())

    async def _hears(self) -> bool:
        try:
            await self._bus.state(streams.ALERTING)
        except BusError:
            return False
        HEALTH.well("hearing")
        return True

    def _hear_presence(self, message: Message) -> None:
        self._feed(Heard(message.subject.split(".")[1]))

    def _hear_progress(self, message: Message) -> None:
        try:
            self._backlog.progressed(subjects.parse_task(message.subject), self._clock())
        except ValueError as error:
            logger.debug("progress on %s: %s", message.subject, error)

    # What is stored

    async def _store(self) -> None:
        """Store what has changed: at once where somebody is to be told, and else now and then."""
        while True:
            # First of all what an earlier life has left in the outbox.
            self._urgent.clear()
            outbox = list(self._core.state.outbox)
            try:
                await self._stored.store(memory.encode(self._core.state))
            except memory.SupersededError as error:
                self.superseded = error
                self.failed.set()
                return
            await self._publish(outbox)
            del self._core.state.outbox[: len(outbox)]
            HEALTH.well("storing")
            with suppress(TimeoutError):
                async with asyncio.timeout(_LONGEST_UNSTORED):
                    await self._urgent.wait()

    async def _publish(self, outbox: Sequence[Notice]) -> None:
        for notice in outbox:
            await self._publish_one(notice)
        await patiently(self._show_active, BusUnavailableError, what="show the alerts")

    async def _publish_one(self, notice: Notice) -> None:
        message = convert.notice_message(notice, self._rules)
        entry = Entry(subjects.notice(notice.notice_id), message.SerializeToString(), 0)
        try:
            await patiently(lambda: self._bus.append([entry]), BusUnavailableError, what="tell what has happened")
        except SequenceConflictError:
            logger.debug("%s is in the history already", message.name)
        else:
            self._log(message)

    async def _show_active(self) -> None:
        active = alerting_pb2.ActiveAlerts(
            alerts=[convert.alert_message(alert) for alert in self._core.state.alerts.values()],
            update_time=timestamp(self._clock()),
        )
        await self._bus.append([Entry(subjects.ACTIVE_ALERTS, active.SerializeToString())])
