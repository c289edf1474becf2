"""The task log: one subject a task, one record a change, each append guarded. The heart of the mesh.

The last record on a task's subject is the task; there is no other truth. Whoever changes a task says which record it
builds on, and the server refuses the change when that is not the last one. So two writers can't both win, and the
result of a node that was given up on is refused, whatever the reason it comes late.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import cached_property

from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusUnavailableError, CaughtUp, Entry, Message, SequenceConflictError
from comfymesh.bus.streams import HISTORY, TASKS
from comfymesh.tasks import codec, machine
from comfymesh.tasks.events import Event
from comfymesh.tasks.record import SMALL_BYTES, Key, TaskRecord
from comfymesh.v1 import task_pb2
from comfymesh.wire.v1 import spec_pb2, task_record_pb2

_INSIST_WAIT = 0.25


class Stored:
    """A record in the log, read lazily: watchers need no more than its bytes."""

    def __init__(self, key: Key, sequence: int, data: bytes) -> None:
        self.key = key
        self.sequence = sequence
        self.data = data

    @cached_property
    def message(self) -> task_record_pb2.TaskRecord:
        """The record as a message."""
        return task_record_pb2.TaskRecord.FromString(self.data)

    @cached_property
    def record(self) -> TaskRecord:
        """The record as a value."""
        return codec.from_message(self.message)

    @property
    def task(self) -> task_pb2.Task:
        """The task as callers see it."""
        return self.message.task


class StaleRecordError(Exception):
    """The change was refused, since the task has changed meanwhile. `last` is the task as it is now, None if gone."""

    def __init__(self, key: Key, last: Stored | None) -> None:
        self.last = last
        state = last.record.state if last else "gone"
        super().__init__(f"task {key.task_id} was changed by somebody else and is {state}")


class SpecMissingError(Exception):
    """The log has a task but not its graph."""


class TaskLog:
    """Appends to the log and reads from it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def create(self, record: TaskRecord, spec: spec_pb2.Spec) -> Stored:
        """Store a new task with its graph.

        Raises:
            StaleRecordError: there is a task of that key. Its graph is untouched: the digest is in the subject.
            BusUnavailableError: not confirmed. Calling again with the same key is safe.
        """
        key, graph = record.key, spec.SerializeToString()
        apart = [Entry(subjects.spec(key, record.definition.spec.digest), graph)]
        if len(graph) <= SMALL_BYTES:
            record, apart = _with_spec(record, graph), []
        data = codec.encode(record)
        try:
            *_, sequence = await self._bus.append([*apart, Entry(subjects.task(key), data, 0)])
        except SequenceConflictError:
            raise StaleRecordError(key, await self.get(key)) from None
        return Stored(key, sequence, data)

    async def bind(self, key: Key, task_id: str) -> str:
        """Write down, once, that the request ID from which `key` follows makes another task.

        Args:
            key: The task that would follow from the request ID.
            task_id: The task that it is to make.

        Returns:
            The task that it makes: `task_id`, or the one that was written down first.

        Raises:
            BusUnavailableError: not confirmed. Calling again is safe.
        """
        subject = subjects.binding(key)
        try:
            await self._bus.append([Entry(subject, task_id.encode(), 0)])
        except SequenceConflictError:
            known = await self._bus.last(TASKS, subject)
            return known.data.decode() if known else task_id
        return task_id

    async def append(self, record: TaskRecord, after: int) -> Stored:
        """Store a change of the task whose last record has sequence `after`.

        Raises:
            StaleRecordError: that is not the last record any more.
            BusUnavailableError: not confirmed. Calling again with the same arguments is safe.
        """
        key, data = record.key, codec.encode(record)
        try:
            (sequence,) = await self._bus.append([Entry(subjects.task(key), data, after)])
        except SequenceConflictError:
            last = await self.get(key)
            if last is not None and last.data == data:
                return last  # An earlier try was stored after all, and only its confirmation was lost.
            raise StaleRecordError(key, last) from None
        return Stored(key, sequence, data)

    async def insist(self, record: TaskRecord, after: int) -> Stored:
        """Like `append`, but goes on trying while the bus can't be reached. For those who can't give the change up."""
        while True:
            try:
                return await self.append(record, after)
            except BusUnavailableError:
                await asyncio.sleep(_INSIST_WAIT)

    async def change(self, stored: Stored, event: Event, now: float) -> Stored:
        """Apply an event to the task as it was read and store the outcome.

        Raises:
            IllegalTransitionError: the event can't happen to the task as it was read.
            StaleRecordError, BusUnavailableError: as `append`.
        """
        return await self.append(machine.apply(stored.record, event, now), stored.sequence)

    async def get(self, key: Key) -> Stored | None:
        """The task as it stands; never stale."""
        message = await self._bus.last(TASKS, subjects.task(key))
        return _stored(message) if message else None

    async def history(self, key: Key, after: int) -> list[Stored]:
        """Every record of the task with a sequence above `after`, oldest first."""
        return [_stored(m) for m in await self._bus.after(TASKS, subjects.task(key), after, HISTORY)]

    async def since(self, tenant: str, after: int, limit: int) -> list[Stored]:
        """Up to `limit` records of any task of a tenant with a sequence above `after`, in order."""
        return [_stored(m) for m in await self._bus.after(TASKS, subjects.tasks_of(tenant), after, limit)]

    async def spec(self, record: TaskRecord) -> spec_pb2.Spec:
        """The task's graph.

        Raises:
            SpecMissingError: it is not there.
        """
        if small := record.definition.spec.small:
            return spec_pb2.Spec.FromString(small)
        subject = subjects.spec(record.key, record.definition.spec.digest)
        message = await self._bus.last(TASKS, subject)
        if message is None:
            raise SpecMissingError(f"the graph of task {record.key.task_id} is not in the log")
        return spec_pb2.Spec.FromString(message.data)

    async def changes(self) -> AsyncIterator[Stored | CaughtUp]:
        """Every task as it stands, in the order of the last changes; then every further change. Never ends."""
        async for item in self._bus.tail(TASKS, subjects.ALL_TASKS):
            yield item if isinstance(item, CaughtUp) else _stored(item)


def _with_spec(record: TaskRecord, spec: bytes) -> TaskRecord:
    definition = record.definition
    return replace(record, definition=replace(definition, spec=replace(definition.spec, small=spec)))


def _stored(message: Message) -> Stored:
    return Stored(subjects.parse_task(message.subject), message.sequence, message.data)
