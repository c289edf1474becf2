"""How far a process has read the task log, in a form that can be held against the log later.

A process that keeps what it has made of the log goes on from there in its next life, if the log still is the one that
it has read. The log stays the only truth: what is doubtful is thrown away, and the log is read from the beginning.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta

from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusUnavailableError, Message, StreamState
from comfymesh.bus.records import MARKS_KEPT, Dropped, Stored, Unreadable
from comfymesh.bus.streams import TASKS
from comfymesh.runtime import supervisor
from comfymesh.runtime.database import Database
from comfymesh.runtime.patience import patiently
from comfymesh.tasks.record import Key
from comfymesh.wire.v1 import task_record_pb2

logger = logging.getLogger(__name__)

FORMAT = hashlib.sha256(task_record_pb2.DESCRIPTOR.serialized_pb).hexdigest()
"""Changes with every change of the records, so that a version never trusts what another has made of them."""

TRUSTED = MARKS_KEPT - timedelta(days=1)
"""What is older is not believed: marks of tasks that have left the log since may be gone."""

LogEvent = Stored | Dropped | Unreadable
"""What happens in the log."""

_MOST_UNREADABLE = 100
_TIME_SLACK = 1e-3
"""Times of messages come with nanoseconds or microseconds, depending on how they were asked for. Seconds."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far the log was read.

    Attributes:
        stream: When the stream was made, as the server says it.
        sequence: The last record that was taken in, and everything before.
        digest: SHA-256 in hex of that message, its subject included.
        time: When the server stored it, seconds since the epoch.
        unreadable: Tasks whose last record could not be read. They are looked at again: it may have been removed.
    """

    stream: str
    sequence: int
    digest: str
    time: float
    unreadable: tuple[Key, ...] = ()


class Reading:
    """Follows the events of the log and knows at each moment how far they have been read.

    Args:
        stream: When the stream was made.
        start: Where the reading goes on; None for the beginning.
    """

    def __init__(self, stream: str, start: Checkpoint | None = None) -> None:
        self._stream = stream
        self._last: Stored | None = None
        self._unreadable = set(start.unreadable if start else ())
        self.start = start

    def take(self, event: LogEvent) -> None:
        """An event of the log was taken in."""
        if isinstance(event, Unreadable):
            self._unreadable.add(event.key)
            return
        self._unreadable.discard(event.key)
        if isinstance(event, Stored) and event.sequence > self._position:
            self._last = event

    @property
    def unreadable(self) -> frozenset[Key]:
        """Tasks whose last record could not be read."""
        return frozenset(self._unreadable)

    @property
    def _position(self) -> int:
        if self._last is not None:
            return self._last.sequence
        return self.start.sequence if self.start else 0

    def checkpoint(self) -> Checkpoint | None:
        """How far it has come. None before the first record, and where too much could not be read."""
        if len(self._unreadable) > _MOST_UNREADABLE:
            return None
        unreadable = tuple(sorted(self._unreadable))
        if (last := self._last) is not None:
            digest = _digest(subjects.task(last.key), last.data)
            return Checkpoint(self._stream, last.sequence, digest, last.time, unreadable)
        if (start := self.start) is not None:
            return Checkpoint(start.stream, start.sequence, start.digest, start.time, unreadable)
        return None

    def note(self) -> str:
        """The checkpoint as a text for a database; empty for none."""
        checkpoint = self.checkpoint()
        return json.dumps(asdict(checkpoint)) if checkpoint else ""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a process keeps of the log.

    Attributes:
        database: Where it is.
        reading: How far it has read.
        end: Where the log ended at the start.
    """

    database: Database
    reading: Reading
    end: int = 0

    async def tell(self, position: Callable[[], int], every: float = 5.0) -> None:
        """Say now and then how far the log has been read, for people who wait until the service is there.

        Whoever ends it because the log was read says what comes next: it may also end since the process stops.
        """
        while True:
            await asyncio.sleep(every)
            read = position()
            fields = {"action": "log_being_read", "sequence": read, "last": self.end}
            logger.info("the task log has been read up to %d of %d", read, self.end, extra=fields)
            supervisor.status(f"reads the task log: {read} of {self.end}")


async def open_kept(bus: Bus, folder: str, name: str, layout: str) -> Kept:
    """What the last life of a process has kept in a folder, if it can be believed; else an empty database.

    Waits as long as the bus can't be reached.

    Args:
        bus: Where the log is.
        folder: Where it is kept; empty for nowhere.
        name: What keeps it.
        layout: How its tables are laid out.
    """
    database = Database.open(folder, name, FORMAT + layout)
    checkpoint = _parse(database.note)
    state, message = await patiently(lambda: _look(bus, checkpoint), BusUnavailableError, what="look at the task log")
    if checkpoint is not None and (doubt := problem(checkpoint, state, message)):
        logger.warning(
            "the whole task log is read, since what was kept of it can't be believed: %s",
            doubt,
            extra={"action": "checkpoint_refused", "reason": doubt},
        )
        checkpoint = None
    if checkpoint is None:
        if database.note:
            database.clear()
        fields = {"action": "log_read_whole", "last": state.last}
        logger.info("the task log is read from its beginning to %d", state.last, extra=fields)
    else:
        fields = {"action": "checkpoint_used", "sequence": checkpoint.sequence, "last": state.last}
        logger.info("the task log is read from %d of %d", checkpoint.sequence, state.last, extra=fields)
    return Kept(database, Reading(state.created, checkpoint), state.last)


def temporary(layout: str) -> Kept:
    """What is made of a log that is read from its beginning, kept for this life only."""
    return Kept(Database.temporary(layout), Reading(""))


def problem(checkpoint: Checkpoint, state: StreamState, message: Message | None) -> str:
    """Why a checkpoint can't be believed; empty where it can.

    Args:
        checkpoint: The checkpoint.
        state: The stream as it is now.
        message: The message at its sequence.
    """
    if checkpoint.stream != state.created:
        return f"it is of a stream that was made at {checkpoint.stream}, and this one at {state.created}"
    if checkpoint.sequence > state.last:
        return f"it was read up to {checkpoint.sequence}, and the log ends at {state.last}"
    if message is None:
        return f"message {checkpoint.sequence}, the last that was read, is gone"
    other_time = abs(message.time - checkpoint.time) > _TIME_SLACK
    if other_time or _digest(message.subject, message.data) != checkpoint.digest:
        return f"message {checkpoint.sequence} is another than the one that was read"
    if (age := state.now - message.time) > TRUSTED.total_seconds():
        return f"it is {timedelta(seconds=round(age))} old"
    return ""


async def _look(bus: Bus, checkpoint: Checkpoint | None) -> tuple[StreamState, Message | None]:
    state = await bus.state(TASKS)
    return state, await bus.at(TASKS, checkpoint.sequence) if checkpoint else None


def _parse(note: str) -> Checkpoint | None:
    if not note:
        return None
    fields = json.loads(note)
    return Checkpoint(**{**fields, "unreadable": tuple(Key(**key) for key in fields["unreadable"])})


def _digest(subject: str, data: bytes) -> str:
    return hashlib.sha256(subject.encode() + b"\0" + data).hexdigest()
