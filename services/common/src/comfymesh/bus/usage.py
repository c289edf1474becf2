"""The ledger on the bus: the sums of an hour as a message, and how far they have taken in the log."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.message import DecodeError

from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, Message
from comfymesh.bus.streams import USAGE
from comfymesh.tasks.ledger import Hour, Kind, Sum, days
from comfymesh.tasks.moments import seconds, timestamp
from comfymesh.wire.v1 import usage_pb2

logger = logging.getLogger(__name__)

_PAGE = 4096


@dataclass(frozen=True, slots=True)
class Position:
    """How far the log is in the sums.

    Attributes:
        log: Which log: when its stream was made, and where that was read anew, when that was.
        sequence: The last message that was taken in, 0 for none.
        time: When the server stored that, seconds since the epoch.
    """

    log: str
    sequence: int = 0
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class Told:
    """The sums of one tenant in one hour, which begins at `hour`, seconds since the epoch."""

    tenant: str
    hour: int
    sums: Hour


def subject(tenant: str, hour: int) -> str:
    """Where the sums of an hour are."""
    began = datetime.fromtimestamp(hour, UTC)
    return subjects.usage(tenant, began.strftime("%Y%m%d"), began.strftime("%H"))


def encode(hour: Hour) -> bytes:
    """The sums of an hour as bytes."""
    sums = (
        usage_pb2.UsageSum(
            workflow=kind.workflow,
            models=kind.models,
            gpu_class=kind.gpu_class,
            outcome=kind.outcome,
            attempts=each.attempts,
            load_micros=each.load_micros,
            run_micros=each.run_micros,
        )
        for kind, each in sorted(hour.sums.items())
    )
    return usage_pb2.UsageHour(log=hour.log, sequence=hour.sequence, sums=sums).SerializeToString()


def decode(data: bytes) -> Hour:
    """The sums of an hour.

    Raises:
        DecodeError: there are none in these bytes.
    """
    message = usage_pb2.UsageHour.FromString(data)
    sums = {
        Kind(each.workflow, tuple(each.models), each.gpu_class, each.outcome): Sum(
            each.attempts, each.load_micros, each.run_micros
        )
        for each in message.sums
    }
    return Hour(message.log, message.sequence, sums)


def encode_position(position: Position) -> bytes:
    """A position as bytes."""
    return usage_pb2.UsagePosition(
        log=position.log, sequence=position.sequence, time=timestamp(position.time)
    ).SerializeToString()


async def position_of(bus: Bus) -> tuple[Position | None, int]:
    """How far the log is in the sums, None where that is not known; and the sequence of the message that says it."""
    message = await bus.last(USAGE, subjects.LEDGER_POSITION)
    if message is None:
        return None, 0
    try:
        told = usage_pb2.UsagePosition.FromString(message.data)
    except DecodeError as error:
        unread = {"action": "ledger_position_unreadable"}
        logger.error("how far the ledger is can't be read (%s): it is made anew", error, extra=unread)  # noqa: TRY400
        return None, message.sequence
    return Position(told.log, told.sequence, seconds(told.time)), message.sequence


async def by_day(bus: Bus, tenant: str, start: int, end: int) -> AsyncIterator[list[Told]]:
    """The sums of a tenant, `*` for all, of hours that begin from `start` up to `end`, seconds since the epoch."""
    for day in days(start, end):
        yield [told for told in _read(await _all(bus, subjects.usage(tenant, day))) if start <= told.hour < end]


async def _all(bus: Bus, pattern: str) -> list[Message]:
    """The last message of each subject. One that is replaced between two pages is there twice."""
    found = dict[str, Message]()
    place = 0
    while page := await bus.after(USAGE, pattern, place, _PAGE):
        found |= {message.subject: message for message in page}
        place = page[-1].sequence
        if len(page) < _PAGE:
            break
    return list(found.values())


def _read(messages: list[Message]) -> Iterator[Told]:
    for message in messages:
        tenant, digits = subjects.parse_usage(message.subject)
        hour = datetime.strptime(digits, "%Y%m%d%H").replace(tzinfo=UTC)
        try:
            yield Told(tenant, int(hour.timestamp()), decode(message.data))
        except DecodeError as error:
            told = {"action": "usage_unreadable", "subject": message.subject, "sequence": message.sequence}
            logger.error("usage on %s can't be read and is left out: %s", message.subject, error, extra=told)  # noqa: TRY400
