"""Carries out what the core decides: appends to the log, tells nodes, reads what the core wants to know."""

from __future__ import annotations

import asyncio
import logging

from comfymesh.artifacts.catalogs import CatalogMissingError, read_catalog
from comfymesh.artifacts.store import BlobStore
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusError
from comfymesh.bus.tasklog import StaleRecordError, TaskLog, UnreadableRecordError
from comfymesh.runtime import logcontext
from comfymesh.runtime.faultpoints import FaultPoint, reached
from comfymesh.scheduler.clock import SteadyClock
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
from comfymesh.scheduler.domain.events import CatalogRead, Event, RecordRead
from comfymesh.tasks import codec, machine
from comfymesh.telemetry import tracing
from comfymesh.wire.v1 import spec_pb2, work_pb2

logger = logging.getLogger(__name__)

_CATALOG_WAIT = 1.0
_MOST_CATALOGS = 10_000
"""Catalogs of which it is known where they are: those that reports named last."""


class Carrier:
    """Carries out decisions. Nothing is lost by one that fails: what has to be done is decided again.

    Args:
        bus: The bus.
        store: Where catalogs are.
        clock: What time it is.
    """

    def __init__(self, bus: Bus, store: BlobStore, clock: SteadyClock) -> None:
        self._bus = bus
        self._log = TaskLog(bus)
        self._store = store
        self._clock = clock
        self._catalogs: dict[str, spec_pb2.BlobRef] = {}

    def note_catalog(self, catalog: spec_pb2.BlobRef) -> None:
        """A report says where a catalog is."""
        self._catalogs.pop(catalog.sha256, None)
        self._catalogs[catalog.sha256] = catalog
        if len(self._catalogs) > _MOST_CATALOGS:
            del self._catalogs[next(iter(self._catalogs))]

    async def carry_out(self, decision: Decision) -> Event | None:
        """Carry it out; answers what the core is to be told of that, if anything."""
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
                return await self._read_catalog(decision)
            case ReadRecord():
                return await self._read_record(decision)
        return None

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
        await self.publish(subjects.work(decision.place.node), work.SerializeToString())
        reached(FaultPoint.OFFER_SENT)
        place, record = decision.place, decision.record
        where: dict[str, str | int] = {"comfymesh.node": place.node, "comfymesh.instance": place.instance}
        tracing.past("wait", record.definition.trace_parent, record.update_time, where)

    async def _send_work(self, decision: SendWork) -> None:
        work = work_pb2.Work(record=codec.to_message(decision.record), log_sequence=decision.sequence)
        await self.publish(subjects.work(decision.record.node), work.SerializeToString())

    async def _stop_work(self, decision: StopWork) -> None:
        key = decision.key
        order = work_pb2.StopAttempt(
            tenant=key.tenant, task_id=key.task_id, attempt=decision.attempt, reason=decision.reason
        )
        await self.publish(subjects.control(decision.node), order.SerializeToString())

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
        await self.publish(subjects.control(record.node), order.SerializeToString())

    async def publish(self, subject: str, data: bytes) -> None:
        """Tell somebody. What is lost is told again, by whoever wanted it told."""
        try:
            await self._bus.publish(subject, data)
        except BusError as error:
            logger.debug("%s was not told, and will be told again: %s", subject, error)

    async def _read_record(self, decision: ReadRecord) -> Event | None:
        """A record that the core did not keep. Where it can't be read, the core asks again."""
        try:
            stored = await self._log.get(decision.key)
        except (BusError, UnreadableRecordError) as error:
            logger.warning("the record of task %s can't be read: %s", decision.key.task_id, error)
            return None
        if stored is None or stored.sequence != decision.sequence:
            return None
        return RecordRead(stored.record, stored.sequence)

    async def _read_catalog(self, decision: ReadCatalog) -> Event | None:
        if (where := self._catalogs.get(decision.digest)) is None:
            return None
        while True:
            try:
                catalog = await read_catalog(self._store, where)
            except CatalogMissingError as error:
                logger.warning("can't read a catalog, will try again: %s", error)
                await asyncio.sleep(_CATALOG_WAIT)
            else:
                return CatalogRead(decision.digest, catalog)


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


def _log_fields(decision: Change) -> dict[str, object]:
    key = decision.record.key
    return {
        "action": f"task_{type(decision.event).__name__.lower()}",
        "tenant": key.tenant,
        "task": key.task_id,
        "attempt": decision.record.attempt,
    }
