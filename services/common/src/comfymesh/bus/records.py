"""What a message of the task log says: a record, that the task is gone, or nothing that we can read."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.message import DecodeError

from comfymesh.bus import subjects
from comfymesh.bus.port import Message
from comfymesh.bus.streams import TASKS
from comfymesh.tasks import codec
from comfymesh.tasks.record import FINAL, Key, TaskRecord
from comfymesh.v1 import task_pb2
from comfymesh.wire.v1 import task_record_pb2

logger = logging.getLogger(__name__)

GONE = b""
"""In place of a record: the task was dropped, and its messages are about to be."""

MARKS_KEPT = timedelta(days=8)
"""How long such a mark stays: who goes on where he left off not longer ago than that hears of every drop."""

_ELSEWHERE = b"\0"
"""In place of a record: its request ID made another task, whose id follows. No record begins with a zero."""


_FINAL_STATES = frozenset(task_pb2.Task.State.Value(f"STATE_{state}") for state in FINAL)
"""States that nothing leaves, as records have them."""


class Stored:
    """A record in the log, read lazily: watchers need no more than its bytes. `time` is when the server stored it."""

    def __init__(self, key: Key, sequence: int, data: bytes, time: float = 0.0) -> None:
        self.key = key
        self.sequence = sequence
        self.data = data
        self.time = time
        # Kept by hand: until Python 3.12 a cached property takes a lock, which a list of tasks feels.
        self._message: task_record_pb2.TaskRecord | None = None
        self._record: TaskRecord | None = None
        self._task_data: bytes | None = None

    @property
    def message(self) -> task_record_pb2.TaskRecord:
        """The record as a message."""
        if self._message is None:
            self._message = task_record_pb2.TaskRecord.FromString(self.data)
        return self._message

    @property
    def record(self) -> TaskRecord:
        """The record as a value."""
        if self._record is None:
            self._record = codec.from_message(self.message)
        return self._record

    @property
    def is_final(self) -> bool:
        """Whether the task has ended, which is known without making a value of the record."""
        return self.task.state in _FINAL_STATES

    @property
    def task(self) -> task_pb2.Task:
        """The task as callers see it."""
        return self.message.task

    @property
    def task_data(self) -> bytes:
        """The same, encoded: once for all who are told of it."""
        if self._task_data is None:
            self._task_data = self.message.task.SerializeToString()
        return self._task_data


class UnreadableRecordError(Exception):
    """A message is no record of what its subject names: a task, or what else `kind` says.

    Attributes:
        subject: Where it is.
        sequence: Its position in the stream.
        reason: What is wrong with it.
    """

    def __init__(self, subject: str, sequence: int, reason: str, kind: str = "task", stream: str = TASKS.name) -> None:
        self.subject = subject
        self.sequence = sequence
        self.reason = reason
        super().__init__(
            f"message {sequence} on {subject} is no {kind} record that this version can read: {reason}. Nothing can be"
            f" done with the {kind} until the message is removed (`nats stream rmm {stream} {sequence}`) or a version"
            " that can read it runs"
        )


@dataclass(frozen=True, slots=True)
class Dropped:
    """There is no task of that key, or none any more. `sequence` is after its last record."""

    key: Key
    sequence: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The last message of a task, at `sequence`, is no record that we can read."""

    key: Key
    sequence: int


def elsewhere(task_id: str) -> bytes:
    """The mark in place of a task whose request ID made `task_id` instead."""
    return _ELSEWHERE + task_id.encode()


def made_instead(message: Message) -> str | None:
    """The task that was made instead, where the message is such a mark."""
    return message.data.removeprefix(_ELSEWHERE).decode() if message.data.startswith(_ELSEWHERE) else None


def is_mark(message: Message) -> bool:
    """Whether a message says that there is no task here."""
    return message.data == GONE or message.data.startswith(_ELSEWHERE)


def try_to_read(message: Message, level: int = logging.ERROR) -> Stored | Dropped | None:
    """What a message of the log says; None where it can't be read, which is reported at `level`."""
    try:
        return Dropped(_key(message), message.sequence) if is_mark(message) else _open(message)
    except UnreadableRecordError as error:
        _report(error, level)
        return None


def is_whole(stored: Stored, level: int = logging.ERROR) -> bool:
    """Whether the record can be had as a value; where not, that is reported at `level`."""
    try:
        check_value(stored)
    except UnreadableRecordError as error:
        _report(error, level)
        return False
    return True


def read(message: Message) -> Stored:
    """The record in a message, every field of which means something to us.

    Raises:
        UnreadableRecordError: it is none.
    """
    stored = _open(message)
    check_value(stored)
    return stored


def _open(message: Message) -> Stored:
    """The record in a message, which names the task that its subject names."""
    key = _key(message)
    stored = Stored(key, message.sequence, message.data, message.time)
    try:
        named = Key(stored.message.tenant, stored.message.task_id)
    except DecodeError as error:
        raise UnreadableRecordError(message.subject, message.sequence, str(error)) from error
    if named != key:
        raise UnreadableRecordError(message.subject, message.sequence, f"it is of task {named.task_id!r}")
    return stored


def _key(message: Message) -> Key:
    try:
        return subjects.parse_task(message.subject)
    except ValueError as error:
        raise UnreadableRecordError(message.subject, message.sequence, "the subject names no task") from error


def check_value(stored: Stored) -> None:
    """Whether every field means something to us; a later version may write what we don't know.

    Raises:
        UnreadableRecordError: one does not.
    """
    try:
        _ = stored.record
    except (KeyError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UnreadableRecordError(subjects.task(stored.key), stored.sequence, reason) from error


def _report(error: UnreadableRecordError, level: int) -> None:
    fields = {
        "action": "record_unreadable",
        "subject": error.subject,
        "sequence": error.sequence,
        "reason": error.reason,
    }
    logger.log(level, "%s", error, extra=fields)
