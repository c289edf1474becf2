"""Hourly sums of what attempts took. Pure: usage in, sums out; each attempt is in them once, however often it is told.

The sums of an hour know up to where they have taken in the log. So whoever goes on from an older place, or beside
somebody else, adds nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from comfymesh.tasks import usage
from comfymesh.tasks.record import TaskRecord

MOST_SUMS = 256
"""Kinds of work that are told apart in one hour of a tenant. What exceeds them is summed up as `OTHERS`."""

OTHERS = "-"
"""In place of the workflow of what is not told apart."""

_MOST_MODELS = 8
_LONGEST_MODEL = 200
HOUR = 3600


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """What is summed up together.

    Attributes:
        workflow: `workflows/{workflow}`, empty for tasks of none.
        models: Model files that it needs in memory, at most eight.
        gpu_class: Class of the GPU.
        outcome: What became of the attempts.
    """

    workflow: str
    models: tuple[str, ...]
    gpu_class: str
    outcome: str

    @property
    def charged(self) -> bool:
        """Whether the tenant pays for it."""
        return self.outcome not in usage.UNCHARGED


@dataclass(slots=True)
class Sum:
    """Attempts and their times in microseconds, so that no order of adding changes the sum."""

    attempts: int = 0
    load_micros: int = 0
    run_micros: int = 0

    def add(self, other: Sum) -> None:
        """Add another sum."""
        self.attempts += other.attempts
        self.load_micros += other.load_micros
        self.run_micros += other.run_micros


@dataclass(frozen=True, slots=True)
class Booking:
    """One attempt, as it is added to an hour.

    Attributes:
        tenant: Whose.
        hour: Beginning of the hour in which the log heard of its end, seconds since the epoch.
        log: Which log, as `Hour.log`.
        sequence: Position of the record that ended it.
        kind: What it is summed up with.
        sum: The attempt.
    """

    tenant: str
    hour: int
    log: str
    sequence: int
    kind: Kind
    sum: Sum


@dataclass(slots=True)
class Hour:
    """The sums of one tenant in one hour.

    Attributes:
        log: Which log was taken in last.
        sequence: Up to where.
        sums: By kind.
    """

    log: str = ""
    sequence: int = 0
    sums: dict[Kind, Sum] = field(default_factory=dict)

    def take(self, booking: Booking) -> bool:
        """Add an attempt; False where it is in already."""
        if booking.log == self.log and booking.sequence <= self.sequence:
            return False
        self.log, self.sequence = booking.log, booking.sequence
        kind = booking.kind
        if kind not in self.sums and len(self.sums) >= MOST_SUMS:
            kind = Kind(OTHERS, (), "", kind.outcome)
        self.sums.setdefault(kind, Sum()).add(booking.sum)
        return True


def book(record: TaskRecord, log: str, sequence: int, time: float) -> Booking | None:
    """How a record is added to the sums; None where it ends no attempt.

    Args:
        record: The record.
        log: Which log it is in.
        sequence: Its position there.
        time: When the server stored it, seconds since the epoch. The one clock that no node has a say in.
    """
    used = usage.of_record(record)
    if used is None:
        return None
    workflow = "/".join(record.definition.workflow_version.split("/")[:2])
    models = tuple(name[:_LONGEST_MODEL] for name in usage.model_set(record)[:_MOST_MODELS])
    kind = Kind(workflow, models, used.gpu_class, used.outcome)
    return Booking(record.key.tenant, begin(time), log, sequence, kind, _sum_of(used))


def _sum_of(used: usage.AttemptUsage) -> Sum:
    return Sum(1, round(used.load_seconds * 1e6), round(used.run_seconds * 1e6))


def begin(time: float) -> int:
    """When the hour of a moment began, both seconds since the epoch."""
    return int(time) // HOUR * HOUR


def days(start: int, end: int) -> Iterator[str]:
    """Every day (UTC, such as 20261128) that has an hour from `start` up to `end`, seconds since the epoch."""
    for day in range(start // (24 * HOUR), (end - 1) // (24 * HOUR) + 1):
        yield datetime.fromtimestamp(day * 24 * HOUR, UTC).strftime("%Y%m%d")
