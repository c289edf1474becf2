"""Feeds the core from the bus and carries out what it decides."""

from __future__ import annotations

import asyncio
import logging
from typing import Self

from google.protobuf.message import DecodeError

from comfymesh import names
from comfymesh.artifacts.catalogs import CatalogMissingError, read_catalog
from comfymesh.artifacts.store import BlobStore
from comfymesh.bus import streams, subjects
from comfymesh.bus.checkpoints import LogEvent
from comfymesh.bus.policies import PolicyStore
from comfymesh.bus.port import Bus, BusError, CaughtUp, Message, Subscription
from comfymesh.bus.tasklog import Dropped, StaleRecordError, Stored, TaskLog, Unreadable, UnreadableRecordError
from comfymesh.runtime import logcontext
from comfymesh.runtime.background import Background
from comfymesh.runtime.faultpoints import FaultPoint, reached
from comfymesh.runtime.health import HEALTH
from comfymesh.scheduler import reports
from comfymesh.scheduler.answering import Answering
from comfymesh.scheduler.clock import SteadyClock
from comfymesh.scheduler.demand import tell_demand
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.decisions import (
    Change,
    Decision,
    OfferWork,
    ReadCatalog,
    ReadRecord,
    SendWork,
    StopWork,
    TakeBack,
)
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
from comfymesh.scheduler.live import LiveTasks
from comfymesh.scheduler.metering import Metering
from comfymesh.scheduler.runs import run_of
from comfymesh.tasks import codec, machine
from comfymesh.telemetry import tracing
from comfymesh.wire.v1 import node_report_pb2, spec_pb2, work_pb2

logger = logging.getLogger(__name__)

_RETRY_WAIT = 0.25
_NOBODY = "-"
_AT_ONCE = 100
_MOST_CATALOGS = 10_000
"""Catalogs of which it is known where they are: those that reports named last."""


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
        self._store = store
        self._clock = clock
        self._tick = tick
        self._live = live
        self._catalogs: dict[str, spec_pb2.BlobRef] = {}
        self._leading = True
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
        self._work.spawn(tell_demand(lambda: self._core.demand(self._clock()), self._publish), "demand")
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
        """What the last life has kept comes first, as if the log had told it."""
        for stored in self._live.ran():
            self._tell_run(stored)
        for number, stored in enumerate(self._live.all()):
            self._feed(_changed(stored))
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        telling = self._work.spawn(self._live.tell(), "progress of the start")
        async for item in self._log.changes(self._live.start):
            if isinstance(item, CaughtUp):
                telling.cancel()
                self._live.complete()
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
        async for settings in PolicyStore(self._bus).changes():
            logger.info("the policy is %s", settings, extra={"action": "policy_followed"})
            self._feed(PolicyChanged(settings))

    def _take_question(self, message: Message) -> None:
        """Whoever does not act leaves questions to the one that does, and nobody answers before knowing everything."""
        if self._leading and self._log_read:
            self._work.spawn(self._answer(message), "answer")

    async def _answer(self, message: Message) -> None:
        if (answered := await self._answering.answer(message.data)) is not None:
            subject, told = answered
            await self._publish(subject, told.SerializeToString())

    async def _follow_reports(self) -> None:
        async for item in self._bus.tail(streams.REPORTS, subjects.ALL_REPORTS):
            if not isinstance(item, CaughtUp):
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
            self._note_catalog(offer.catalog)
        self._feed(NodeReported(report))

    def _note_catalog(self, catalog: spec_pb2.BlobRef) -> None:
        self._catalogs.pop(catalog.sha256, None)
        self._catalogs[catalog.sha256] = catalog
        if len(self._catalogs) > _MOST_CATALOGS:
            del self._catalogs[next(iter(self._catalogs))]

    def _feed(self, event: Event) -> None:
        for decision in self._core.handle(event, self._clock()):
            self._metering.decided()
            # Decisions about different tasks go to the log side by side; the log itself keeps those of one in order.
            self._work.spawn(self._carry_out(decision), type(decision).__name__)

    async def _carry_out(self, decision: Decision) -> None:
        logcontext.bind(**_names(decision))
        match decision:
            case Change():
                await self._change(decision)
            case OfferWork():
                await self._offer_work(decision)
            case SendWork():
                await self._send_work(decision)
            case StopWork():
                await self._stop_work(decision)
            case TakeBack():
                await self._take_back(decision)
            case ReadCatalog():
                await self._read_catalog(decision)
            case ReadRecord():
                await self._read_record(decision)

    async def _change(self, decision: Change) -> None:
        """Append a change. Refused or not confirmed, it needs no more care: the log tells how the task stands."""
        record = machine.apply(decision.record, decision.event, self._clock())
        reached(FaultPoint.CHANGE_DECIDED)
        try:
            await self._log.append(record, decision.sequence)
        except StaleRecordError as error:
            logger.debug("%s", error)
        except UnreadableRecordError as error:
            logger.warning("%s of task %s is not possible: %s", record.event, record.key.task_id, error)
        except BusError as error:
            logger.warning("%s of task %s is not confirmed: %s", record.event, record.key.task_id, error)
        else:
            reached(FaultPoint.CHANGE_STORED)
            logger.info("task %s is %s", record.key.task_id, record.state, extra=_log_fields(decision))

    async def _offer_work(self, decision: OfferWork) -> None:
        work = work_pb2.Work(
            record=codec.to_message(decision.record), log_sequence=decision.sequence, instance=decision.place.instance
        )
        reached(FaultPoint.OFFER_DECIDED)
        await self._publish(subjects.work(decision.place.node), work.SerializeToString())
        reached(FaultPoint.OFFER_SENT)
        place, record = decision.place, decision.record
        where: dict[str, str | int] = {"comfymesh.node": place.node, "comfymesh.instance": place.instance}
        tracing.past("wait", record.definition.trace_parent, record.update_time, where)

    async def _send_work(self, decision: SendWork) -> None:
        work = work_pb2.Work(record=codec.to_message(decision.record), log_sequence=decision.sequence)
        await self._publish(subjects.work(decision.record.node), work.SerializeToString())

    async def _stop_work(self, decision: StopWork) -> None:
        key = decision.key
        order = work_pb2.StopAttempt(
            tenant=key.tenant, task_id=key.task_id, attempt=decision.attempt, reason=decision.reason
        )
        await self._publish(subjects.control(decision.node), order.SerializeToString())

    async def _take_back(self, decision: TakeBack) -> None:
        record = decision.record
        order = work_pb2.StopAttempt(
            tenant=record.key.tenant,
            task_id=record.key.task_id,
            attempt=record.attempt,
            reason=decision.reason,
            preempted=True,
            running=decision.running,
        )
        await self._publish(subjects.control(record.node), order.SerializeToString())

    async def _publish(self, subject: str, data: bytes) -> None:
        try:
            await self._bus.publish(subject, data)
        except BusError as error:
            logger.debug("%s was not told, and will be told again: %s", subject, error)

    async def _read_record(self, decision: ReadRecord) -> None:
        """Tell a record that the core did not keep. Where that fails, it asks again."""
        try:
            stored = await self._log.get(decision.key)
        except (BusError, UnreadableRecordError) as error:
            logger.warning("the record of task %s can't be read: %s", decision.key.task_id, error)
            return
        if stored is not None and stored.sequence == decision.sequence:
            self._feed(RecordRead(stored.record, stored.sequence))

    async def _read_catalog(self, decision: ReadCatalog) -> None:
        if (where := self._catalogs.get(decision.digest)) is None:
            return
        while True:
            try:
                catalog = await read_catalog(self._store, where)
            except CatalogMissingError as error:
                logger.warning("can't read a catalog, will try again: %s", error)
                await asyncio.sleep(4 * _RETRY_WAIT)
            else:
                self._feed(CatalogRead(decision.digest, catalog))
                return


def _names(decision: Decision) -> dict[str, object]:
    """Names what a decision is about in every line that is logged while it is carried out."""
    match decision:
        case Change(record=record) | OfferWork(record=record) | SendWork(record=record):
            trace = tracing.trace_id(record.definition.trace_parent)
            return {"tenant": record.key.tenant, "task": record.key.task_id, **trace}
        case StopWork(key=key) | ReadRecord(key=key):
            return {"tenant": key.tenant, "task": key.task_id}
        case _:
            return {}


def _changed(stored: Stored) -> TaskChanged | TaskEnded:
    if stored.is_final:
        return TaskEnded(stored.key, stored.sequence)
    return TaskChanged(stored.record, stored.sequence)


def _log_fields(decision: Change) -> dict[str, object]:
    key = decision.record.key
    return {
        "action": f"task_{type(decision.event).__name__.lower()}",
        "tenant": key.tenant,
        "task": key.task_id,
        "attempt": decision.record.attempt,
    }
