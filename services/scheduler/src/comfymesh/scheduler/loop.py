"""Feeds the core from the bus, and has carried out what it decides."""

from __future__ import annotations

import asyncio
import logging
from typing import Self

from google.protobuf.message import DecodeError

from comfymesh import names
from comfymesh.artifacts.store import BlobStore
from comfymesh.bus import streams, subjects
from comfymesh.bus.checkpoints import LogEvent
from comfymesh.bus.policies import PolicyStore
from comfymesh.bus.port import Bus, BusError, CaughtUp, Message, Subscription
from comfymesh.bus.tasklog import Dropped, Stored, TaskLog, Unreadable
from comfymesh.runtime import supervisor
from comfymesh.runtime.background import Background
from comfymesh.runtime.health import HEALTH
from comfymesh.scheduler import reports
from comfymesh.scheduler.answering import Answering
from comfymesh.scheduler.carrying import Carrier
from comfymesh.scheduler.clock import SteadyClock
from comfymesh.scheduler.demand import tell_demand
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.decisions import Decision
from comfymesh.scheduler.domain.events import (
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
from comfymesh.scheduler.live import LiveTasks
from comfymesh.scheduler.metering import Metering
from comfymesh.scheduler.runs import run_of
from comfymesh.wire.v1 import node_report_pb2

logger = logging.getLogger(__name__)

_NOBODY = "-"
_AT_ONCE = 100


class Scheduler:
    """Runs a core against the bus.

    Args:
        core: The core.
        bus: The bus.
        store: Where catalogs are.
        clock: What time it is.
        tick: How often the core looks at the clock, in seconds.
        live: What the last life knew of the log.
        metering: Measures what happens.
    """

    def __init__(
        self,
        core: Core,
        bus: Bus,
        store: BlobStore,
        clock: SteadyClock,
        tick: float,
        live: LiveTasks,
        metering: Metering | None = None,
    ) -> None:
        self._core = core
        self._bus = bus
        self._log = TaskLog(bus)
        self._carrier = Carrier(bus, store, clock)
        self._clock = clock
        self._tick = tick
        self._live = live
        self._leading = True
        self._policy_read = asyncio.Event()
        self._kept_told = asyncio.Event()
        self._reports_read = asyncio.Event()
        self._log_read = False
        self._metering = metering or Metering(bus, clock)
        self._answering = Answering(core, clock)
        self._questions: Subscription | None = None
        self._work = Background()
        self.failed = self._work.failed

    async def __aenter__(self) -> Self:
        """Begin to schedule."""
        self._work.spawn(self._follow_reports(), "report tail")
        self._work.spawn(self._follow_tasks(), "task tail")
        self._work.spawn(self._follow_policy(), "policy tail")
        self._work.spawn(self._follow_clock(), "clock")
        self._work.spawn(tell_demand(lambda: self._core.demand(self._clock()), self._carrier.publish), "demand")
        self._questions = await self._bus.subscribe(subjects.SCHEDULING_QUESTIONS, self._take_question)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop. What was decided and is not in the log yet is decided again by the next one."""
        if self._questions is not None:
            await self._questions.close()
        await self._work.close()
        self._live.close()

    def lead(self, *, leading: bool) -> None:
        """Act, or stand by. A scheduler that nobody has told otherwise acts."""
        self._leading = leading
        self._metering.acting = leading and self._log_read
        self._feed(Leading(leading))

    async def measure(self) -> None:
        """Measure how things stand."""
        overview = await self._answering.overview()
        await self._metering.sample(overview, len(self._core.open_breakers(self._clock())))

    async def _follow_tasks(self) -> None:
        """What the last life has kept comes first, as if the log had told it.

        All of it is judged by the policy: that is read before. Nothing is decided before the reports are read as well.
        """
        await self._policy_read.wait()
        for stored in self._live.ran():
            self._tell_run(stored)
        for number, stored in enumerate(self._live.all()):
            self._feed(_changed(stored))
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        self._kept_told.set()
        telling = self._work.spawn(self._live.tell(), "progress of the start")
        async for item in self._log.changes(self._live.start):
            if isinstance(item, CaughtUp):
                telling.cancel()
                supervisor.status("running")
                self._live.complete()
                await self._reports_read.wait()
                self._log_read = True
                self._metering.acting = self._leading
                self._feed(LogRead())
            else:
                self._take_change(item)

    def _take_change(self, item: LogEvent) -> None:
        self._metering.took(item)
        if isinstance(item, Dropped):
            self._live.take(item)
            self._feed(TaskEnded(item.key, item.sequence))
        elif isinstance(item, Unreadable):
            self._live.take(item)
        else:
            self._live.take(item, ran=self._tell_run(item))
            self._feed(_changed(item))

    def _tell_run(self, stored: Stored) -> bool:
        """Tell the core of the attempt whose end a record tells; answers whether it tells one."""
        if (run := run_of(stored)) is not None:
            self._feed(TaskRan(run))
        return run is not None

    async def _follow_policy(self) -> None:
        async for item in PolicyStore(self._bus).changes():
            if isinstance(item, CaughtUp):
                self._policy_read.set()
            else:
                logger.info("the policy is %s", item, extra={"action": "policy_followed"})
                self._feed(PolicyChanged(item))

    def _take_question(self, message: Message) -> None:
        """Whoever does not act leaves questions to the one that does, and nobody answers before knowing everything."""
        if self._leading and self._log_read:
            self._work.spawn(self._answer(message), "answer")

    async def _answer(self, message: Message) -> None:
        if (answered := await self._answering.answer(message.data)) is not None:
            subject, told = answered
            await self._carrier.publish(subject, told.SerializeToString())

    async def _follow_reports(self) -> None:
        """Not before it is known what waits: under FIFO nobody would have been served while no scheduler was there."""
        await self._kept_told.wait()
        async for item in self._bus.tail(streams.REPORTS, subjects.ALL_REPORTS):
            if isinstance(item, CaughtUp):
                self._reports_read.set()
            else:
                self._take_report(item)

    async def _follow_clock(self) -> None:
        while True:
            await asyncio.sleep(self._tick)
            self._live.write()
            hears = await self._hears()
            if hears and self._log_read:
                HEALTH.well("decisions")
            jumped = self._clock.follow()
            if jumped:
                logger.warning("the machine's clock was set ahead", extra={"action": "clock_followed"})
            self._feed(Tick() if hears and not jumped else Deaf())

    async def _hears(self) -> bool:
        """Whether the bus answers. Silence of nodes means something only while we can hear."""
        try:
            await self._bus.last(streams.REPORTS, subjects.report(_NOBODY))
        except BusError:
            return False
        return True

    def _take_report(self, item: Message) -> None:
        try:
            message = node_report_pb2.NodeReport.FromString(item.data)
            report = reports.from_message(message)
        except (DecodeError, names.MalformedNameError) as error:
            logger.warning("a report on %s can't be read: %s", item.subject, error)
            return
        if item.subject != subjects.report(report.node):
            logger.warning("a report on %s speaks for node %s", item.subject, report.node)
            return
        self._metering.reported(report)
        for offer in message.offers:
            self._carrier.note_catalog(offer.catalog)
        self._feed(NodeReported(report))

    def _feed(self, event: Event) -> None:
        for decision in self._core.handle(event, self._clock()):
            self._metering.decided()
            # Decisions about different tasks go to the log side by side; the log itself keeps those of one in order.
            self._work.spawn(self._carry_out(decision), type(decision).__name__)

    async def _carry_out(self, decision: Decision) -> None:
        if (event := await self._carrier.carry_out(decision)) is not None:
            self._feed(event)


def _changed(stored: Stored) -> TaskChanged | TaskEnded:
    if stored.is_final:
        return TaskEnded(stored.key, stored.sequence)
    return TaskChanged(stored.record, stored.sequence)
