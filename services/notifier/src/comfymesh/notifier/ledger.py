"""Keeps the ledger: adds every attempt that ends to the sums of its hour, once.

Crash-only. Each hour knows up to where it has taken in the log, so the keeper may be killed anywhere, and begins anew
from the last position that it has stored whenever something is doubtful: a confirmation that did not come, or a message
that somebody else has written. Two keepers refuse each other and come to the same sums.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from google.protobuf.message import DecodeError

from comfymesh.bus import records, subjects
from comfymesh.bus import usage as ledger
from comfymesh.bus.port import Bus, BusUnavailableError, Entry, Message, SequenceConflictError, StreamState
from comfymesh.bus.records import Stored
from comfymesh.bus.replay import every
from comfymesh.bus.streams import TASKS, USAGE
from comfymesh.bus.usage import Position
from comfymesh.runtime.background import all_of
from comfymesh.tasks.ledger import Booking, Hour, book

logger = logging.getLogger(__name__)


_TIME_SLACK = 1e-3
"""Times of messages come with nanoseconds or microseconds, depending on how they were asked for. Seconds."""


@dataclass(slots=True)
class _Page:
    """The sums of an hour, as they are known and stored: `sequence` is that of the message that is stored."""

    tenant: str
    began: int
    hour: Hour
    sequence: int
    changed: bool = False


@dataclass(slots=True)
class _Book:
    """What a keeper knows: how far it is, what is stored of that, and the hours that it has touched."""

    position: Position
    stored: int
    reached: Position
    pages: dict[tuple[str, int], _Page] = field(default_factory=dict)


class LedgerKeeper:
    """Follows the log and keeps the sums.

    Args:
        bus: Where both are.
        clock: Answers seconds since the epoch.
        interval: How often what has changed is stored, in seconds; and for how long it waits before it begins anew.
    """

    def __init__(self, bus: Bus, clock: Callable[[], float], interval: float = 5.0) -> None:
        self._bus = bus
        self._clock = clock
        self._interval = interval

    async def keep(self) -> None:
        """Go on until cancelled."""
        while True:
            try:
                await self._keep_on()
            except (BusUnavailableError, SequenceConflictError) as doubt:
                told = {"action": "ledger_read_again", "reason": str(doubt)}
                logger.info("the ledger is read again: %s", doubt, extra=told)
            except Exception:
                # Who keeps the ledger tells of alerts too, which must not end by what a record or an hour holds.
                logger.exception("the ledger is read again after a defect", extra={"action": "ledger_defect"})
            await asyncio.sleep(self._interval)

    async def _keep_on(self) -> None:
        known = await self._open()
        await all_of(self._follow(known), self._store_on(known))

    async def _open(self) -> _Book:
        """Where to go on. That a log is read from its beginning is stored before anything else."""
        position, stored = await ledger.position_of(self._bus)
        there = await self._bus.at(TASKS, position.sequence) if position and position.sequence else None
        found = _next(position, await self._bus.state(TASKS), there, self._clock())
        if found != position:
            stored = await self._store_position(found, stored)
        return _Book(found, stored, found)

    async def _follow(self, known: _Book) -> None:
        begun = known.position
        async with aclosing(every(self._bus, begun.sequence)) as messages:
            async for message in messages:
                if begun.sequence or message.time > begun.time:
                    await self._hear(known, message)
                known.reached = replace(begun, sequence=message.sequence, time=message.time)

    async def _hear(self, known: _Book, message: Message) -> None:
        item = records.try_to_read(message, logging.DEBUG)
        if isinstance(item, Stored) and records.is_whole(item, logging.DEBUG):
            booking = book(item.record, known.position.log, message.sequence, message.time)
            if booking is not None:
                await self._take(known, booking)

    async def _take(self, known: _Book, booking: Booking) -> None:
        key = booking.tenant, booking.hour
        page = known.pages.get(key) or await self._read(*key)
        known.pages[key] = page
        page.changed = page.hour.take(booking) or page.changed

    async def _read(self, tenant: str, began: int) -> _Page:
        subject = ledger.subject(tenant, began)
        message = await self._bus.last(USAGE, subject)
        if message is None:
            return _Page(tenant, began, Hour(), 0)
        try:
            return _Page(tenant, began, ledger.decode(message.data), message.sequence)
        except DecodeError as error:
            logger.error(  # noqa: TRY400  # the message says it all
                "message %d on %s can't be read (%s): what was used then is counted anew from here",
                message.sequence,
                subject,
                error,
                extra={"action": "usage_unreadable", "subject": subject},
            )
            return _Page(tenant, began, Hour(), message.sequence)

    async def _store_on(self, known: _Book) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self._store(known)

    async def _store(self, known: _Book) -> None:
        """Store what has changed: first the hours, then how far they are."""
        position = known.reached
        for page in [page for page in known.pages.values() if page.changed]:
            page.changed = False
            entry = Entry(ledger.subject(page.tenant, page.began), ledger.encode(page.hour), page.sequence)
            (page.sequence,) = await self._bus.append([entry])
        if position != known.position:
            known.stored = await self._store_position(position, known.stored)
            known.position = position
        _forget(known)

    async def _store_position(self, position: Position, stored: int) -> int:
        entry = Entry(subjects.LEDGER_POSITION, ledger.encode_position(position), stored)
        (sequence,) = await self._bus.append([entry])
        return sequence


def _next(position: Position | None, state: StreamState, there: Message | None, now: float) -> Position:
    """Where to go on in a log that has the message `there` at the position, None where that is gone.

    A log that was replaced, or went back to an older state, is read from its beginning: what it had before then is
    counted already, and known by its time.
    """
    if position is None:
        return Position(state.created)
    made, _, _ = position.log.partition("@")
    other = there is not None and abs(there.time - position.time) > _TIME_SLACK
    if made == state.created and position.sequence <= state.last and not other:
        return position
    told = {"action": "log_replaced", "sequence": position.sequence, "last": state.last}
    logger.warning("the task log is another one: what is new in it is added to the ledger", extra=told)
    return Position(f"{state.created}@{now:.6f}", time=position.time)


def _forget(known: _Book) -> None:
    """Keep the pages of the present hour. Hours come in order, by the server's clock."""
    latest = max((page.began for page in known.pages.values()), default=0)
    for key, page in list(known.pages.items()):
        if page.began < latest and not page.changed:
            del known.pages[key]
