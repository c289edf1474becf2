"""The task log: one subject a task, one record a change, each append guarded. The heart of the mesh.

The last record on a task's subject is the task; there is no other truth. Whoever changes a task says which record it
builds on, and the server refuses the change when that is not the last one. So two writers can't both win, and the
result of a node that was given up on is refused, whatever the reason it comes late.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

from comfymesh.bus import records, subjects
from comfymesh.bus.checkpoints import Checkpoint, LogEvent
from comfymesh.bus.port import Bus, BusUnavailableError, CaughtUp, Entry, Message, SequenceConflictError
from comfymesh.bus.records import MARKS_KEPT, Dropped, Stored, Unreadable, UnreadableRecordError
from comfymesh.bus.streams import HISTORY, TASKS
from comfymesh.runtime.patience import patiently
from comfymesh.tasks import codec, machine
from comfymesh.tasks.events import Event
from comfymesh.tasks.record import SMALL_BYTES, Key, TaskRecord
from comfymesh.wire.v1 import spec_pb2

__all__ = [
    "Dropped",
    "MadeElsewhereError",
    "SpecMissingError",
    "StaleRecordError",
    "Stored",
    "TaskLog",
    "Unreadable",
    "UnreadableRecordError",
]

_REQUEST_KEPT = timedelta(hours=24)


class StaleRecordError(Exception):
    """The change was refused, since the task has changed meanwhile. `last` is the task as it is now, None if gone."""

    def __init__(self, key: Key, last: Stored | None) -> None:
        self.last = last
        state = last.record.state if last else "gone"
        super().__init__(f"task {key.task_id} was changed by somebody else and is {state}")


class MadeElsewhereError(Exception):
    """The request ID from which the task would follow has made the task `task_id` instead."""

    def __init__(self, key: Key, task_id: str) -> None:
        self.task_id = task_id
        super().__init__(f"the request ID of task {key.task_id} has made task {task_id}")


class SpecMissingError(Exception):
    """The log has a task but not its graph."""


class TaskLog:
    """Appends to the log and reads from it.

    Attributes:
        newest: Sequence of the newest record that was stored through it, or answered by `get` or `since`.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.newest = 0

    async def create(self, record: TaskRecord, spec: spec_pb2.Spec) -> Stored:
        """Store a new task with its graph.

        Raises:
            StaleRecordError: there is a task of that key. Its graph is untouched: the digest is in the subject.
            MadeElsewhereError: the request ID from which the key follows has made another task.
            BusUnavailableError: not confirmed. Calling again with the same key is safe.
        """
        key, graph = record.key, spec.SerializeToString()
        apart = [Entry(subjects.spec(key, record.definition.spec.digest), graph)]
        if len(graph) <= SMALL_BYTES:
            record, apart = _with_spec(record, graph), []
        data = codec.encode(record)
        place = 0
        while True:
            # The graph goes again as well: with a task that is dropped goes all that was stored before its mark.
            sequence, last = await self._append(*apart, Entry(subjects.task(key), data, place))
            if sequence:
                return self._noted(Stored(key, sequence, data))
            place = _place_of_new(key, last)

    async def bind(self, key: Key, task_id: str) -> None:
        """Write down, once, that the request ID from which `key` follows makes another task: no task can be made of it.

        It holds for 24 hours, whatever becomes of the task: what was refused in the end leaves nothing for ever.

        Args:
            key: The task that would follow from the request ID.
            task_id: The task that it is to make.

        Raises:
            MadeElsewhereError: it has made a task of another id.
            StaleRecordError: it has made the task of `key`.
            BusUnavailableError: not confirmed. Calling again is safe.
        """
        mark, place = records.elsewhere(task_id), 0
        while True:
            sequence, last = await self._append(Entry(subjects.task(key), mark, place, _REQUEST_KEPT))
            if sequence:
                return
            try:
                place = _place_of_new(key, last)
            except MadeElsewhereError as error:
                if error.task_id != task_id:
                    raise
                return

    async def append(self, record: TaskRecord, after: int) -> Stored:
        """Store a change of the task whose last record has sequence `after`.

        Raises:
            StaleRecordError: that is not the last record any more.
            BusUnavailableError: not confirmed. Calling again with the same arguments is safe.
        """
        key, data = record.key, codec.encode(record)
        sequence, message = await self._append(Entry(subjects.task(key), data, after))
        if sequence:
            return self._noted(Stored(key, sequence, data))
        last = _read(message)
        if last is not None and last.data == data:
            return last  # An earlier try was stored after all, and only its confirmation was lost.
        raise StaleRecordError(key, last)

    async def _append(self, *entries: Entry) -> tuple[int, Message | None]:
        """Store messages, of which only the last is guarded.

        Its sequence; or 0, and the message that was stored instead, None if the task is gone.

        Raises:
            BusUnavailableError: not confirmed. Calling again is safe.
        """
        try:
            *_, sequence = await self._bus.append(entries)
        except SequenceConflictError as error:
            return 0, error.last
        return sequence, None

    async def insist(self, record: TaskRecord, after: int) -> Stored:
        """Like `append`, but goes on trying while the bus can't be reached. For those who can't give the change up."""
        return await patiently(lambda: self.append(record, after), BusUnavailableError, what="write to the task log")

    async def change(self, stored: Stored, event: Event, now: float) -> Stored:
        """Apply an event to the task as it was read and store the outcome.

        Raises:
            IllegalTransitionError: the event can't happen to the task as it was read.
            StaleRecordError, BusUnavailableError: as `append`.
        """
        return await self.append(machine.apply(stored.record, event, now), stored.sequence)

    async def get(self, key: Key, known: Stored | None = None) -> Stored | None:
        """The task as it stands; never stale. `known` itself where that still is its last record: it is not read again.

        Raises:
            UnreadableRecordError: its last record can't be read.
        """
        message = await self._bus.last(TASKS, subjects.task(key))
        if known is not None and message is not None and _is_same(message, known):
            return self._noted(known)
        found = _read(message)
        return found and self._noted(found)

    def _noted(self, stored: Stored) -> Stored:
        self.newest = max(self.newest, stored.sequence)
        return stored

    async def history(self, key: Key, after: int) -> list[Stored]:
        """Every record of the task with a sequence above `after`, oldest first; none is missing that `get` has seen.

        As in `changes`, records that can't be read are passed over.
        """
        messages = await self._bus.after(TASKS, subjects.task(key), after, HISTORY)
        return [item for message in messages if isinstance(item := records.try_to_read(message, logging.DEBUG), Stored)]

    async def drop(self, stored: Stored) -> None:
        """Remove a task for good: its records and its graphs, but not its artifacts.

        The first step is an append that marks the task as gone. It is guarded like any change, so nobody else can have
        changed the task, and everybody who follows the log hears of it. What comes later on the same subjects is left
        alone. The records go last: until then, calling again completes what was begun. The mark stays for some days,
        for those who go on reading where they left off.

        Raises:
            StaleRecordError: it was changed or created anew meanwhile, or is gone.
            BusUnavailableError: not confirmed. Calling again is safe.
        """
        mark = await self._mark_as_gone(stored)
        await self._bus.purge(TASKS, subjects.specs(stored.key), mark)
        await self._bus.purge(TASKS, subjects.task(stored.key), mark - 1)

    async def _mark_as_gone(self, stored: Stored) -> int:
        """Append the mark, or find the one that an earlier try left behind; answers its sequence."""
        entry = Entry(subjects.task(stored.key), records.GONE, stored.sequence, MARKS_KEPT)
        mark, last = await self._append(entry)
        if mark:
            return mark
        if last is not None and last.data == records.GONE:
            return last.sequence
        raise StaleRecordError(stored.key, _read(last))

    async def page(self, after: int, limit: int) -> tuple[list[Stored], int]:
        """Some records of all tasks with a sequence above `after`, in order, and where to go on: `after` at the end.

        Unlike `changes` it also answers records that are not the last of their task. Those that can't be read are
        passed over without a word.
        """
        messages = await self._bus.after(TASKS, subjects.ALL_TASKS, after, limit)
        read = [records.try_to_read(message, logging.DEBUG) for message in messages]
        found = [item for item in read if isinstance(item, Stored) and records.is_whole(item, logging.DEBUG)]
        return found, messages[-1].sequence if messages else after

    async def since(self, tenant: str, after: int, limit: int) -> list[Stored]:
        """Up to `limit` records of any task of a tenant with a sequence above `after`, in order.

        As in `changes`, what can't be read is passed over; fewer are answered only where no more follow.
        """
        found = list[Stored]()
        while (wanted := limit - len(found)) > 0:
            messages = await self._bus.after(TASKS, subjects.tasks_of(tenant), after, wanted)
            read = [records.try_to_read(message, logging.DEBUG) for message in messages]
            found += [self._noted(item) for item in read if isinstance(item, Stored)]
            if len(messages) < wanted:
                break
            after = messages[-1].sequence
        return found

    async def end(self) -> int:
        """Sequence of the last message that the log ever stored."""
        return (await self._bus.state(TASKS)).last

    async def spec(self, record: TaskRecord) -> spec_pb2.Spec:
        """The task's graph.

        Raises:
            SpecMissingError: it is not there.
        """
        ref = record.definition.spec
        return await self._spec(record.key, ref.digest, ref.small)

    async def spec_of(self, stored: Stored) -> spec_pb2.Spec:
        """As `spec`, of a record of which only the message is known to be readable."""
        ref = stored.message.spec
        return await self._spec(stored.key, ref.digest, ref.small)

    async def _spec(self, key: Key, digest: str, small: bytes) -> spec_pb2.Spec:
        if small:
            return spec_pb2.Spec.FromString(small)
        message = await self._bus.last(TASKS, subjects.spec(key, digest))
        if message is None:
            raise SpecMissingError(f"the graph of task {key.task_id} is not in the log")
        return spec_pb2.Spec.FromString(message.data)

    async def changes(self, start: Checkpoint | None = None) -> AsyncIterator[LogEvent | CaughtUp]:
        """Every task as it stands, in the order of the last changes; then every further change. Never ends.

        From a checkpoint, every change since then instead, and what could not be read until then.

        What can't be read is reported once, and one bad message does not stop the mesh. Of a task that has ended, which
        most have, only that is read: making a value of its record is most of what reading it costs.
        """
        async for item in self.events(start):
            if isinstance(item, Stored) and not item.is_final and not records.is_whole(item):
                yield Unreadable(item.key, item.sequence)
            else:
                yield item

    async def events(self, start: Checkpoint | None = None) -> AsyncIterator[LogEvent | CaughtUp]:
        """As `changes`, but of a record only the message is known to be readable."""
        if start is not None:
            for key in start.unreadable:
                message = await self._last_patiently(key)
                yield _event(message) if message else Dropped(key, start.sequence)
        async for item in self._bus.tail(TASKS, subjects.ALL_TASKS, start.sequence if start else 0):
            yield item if isinstance(item, CaughtUp) else _event(item)

    async def _last_patiently(self, key: Key) -> Message | None:
        subject = subjects.task(key)
        return await patiently(lambda: self._bus.last(TASKS, subject), BusUnavailableError, what="read the task log")


def _read(message: Message | None) -> Stored | None:
    """The task in a message; None where there is none, or a mark instead."""
    return None if message is None or records.is_mark(message) else records.read(message)


def _place_of_new(key: Key, message: Message | None) -> int:
    """Behind which message a new task has its place: the mark of one that was dropped, or none where that is gone.

    Raises:
        StaleRecordError, MadeElsewhereError: as `TaskLog.create`.
    """
    if message is None:
        return 0
    if message.data == records.GONE:
        return message.sequence
    if (other := records.made_instead(message)) is not None:
        raise MadeElsewhereError(key, other)
    raise StaleRecordError(key, records.read(message))


def _is_same(message: Message, known: Stored) -> bool:
    # The sequence alone would do, as long as nobody brings the log back from a backup.
    return message.sequence == known.sequence and message.data == known.data


def _event(message: Message) -> LogEvent:
    return records.try_to_read(message) or Unreadable(subjects.parse_task(message.subject), message.sequence)


def _with_spec(record: TaskRecord, spec: bytes) -> TaskRecord:
    definition = record.definition
    return replace(record, definition=replace(definition, spec=replace(definition.spec, small=spec)))
