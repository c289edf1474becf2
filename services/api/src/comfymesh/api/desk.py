"""Answers nodes that may not use the bus freely: each gets, and may write, what the log says is its own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from google.protobuf.message import DecodeError

from comfymesh.bus import asking, subjects
from comfymesh.bus.asking import Answer, Ask, found, not_yours
from comfymesh.bus.connection import Connection
from comfymesh.bus.consumers import create_work_consumer
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.port import Bus, Entry, Message, SequenceConflictError
from comfymesh.bus.records import UnreadableRecordError
from comfymesh.bus.streams import BLOBS, INTENTS, TASKS, WORK
from comfymesh.bus.tasklog import SpecMissingError, Stored, TaskLog
from comfymesh.bus.tls import Tls
from comfymesh.runtime.background import Background
from comfymesh.tasks import codec, rights
from comfymesh.tasks.record import Key, TaskRecord
from comfymesh.wire.v1 import task_record_pb2


@asynccontextmanager
async def answering(url: str, tls: Tls | None, bus: JetStreamBus, background: Background) -> AsyncIterator[None]:
    """Answer nodes, on a connection of its own: callers and nodes do not wait for each other."""

    async def ensure_work(node: str) -> str:
        told = await create_work_consumer(bus.call, WORK.name, subjects.work(node), node)
        return str(told["ts"])

    connection = await Connection.open(url, "api desk", tls=tls)
    subscription = await asking.serve(connection, Desk(bus, ensure_work).answer, background)
    try:
        yield
    finally:
        await subscription.close()
        await connection.close()


_PLAIN = re.compile(r"[A-Za-z0-9._-]+")
"""No wildcard, which a read would take for a pattern."""


class Desk:
    """Decides on requests of nodes, and carries out what they may.

    Args:
        bus: The bus, with all rights.
        ensure_work: Makes sure of the consumer of a node's work; answers what the server's clock shows, RFC 3339.
    """

    def __init__(self, bus: Bus, ensure_work: Callable[[str], Awaitable[str]]) -> None:
        self._bus = bus
        self._log = TaskLog(bus)
        self._ensure_work = ensure_work

    async def answer(self, ask: Ask) -> Answer:
        """Do what a node asks for, or say why not.

        Raises:
            BusUnavailableError: the bus can't be reached.
        """
        if ask.verb == asking.WORK:
            return await self._work(ask.node)
        if not _PLAIN.fullmatch(ask.subject):
            return not_yours("the subject names no message")
        try:
            return await (self._append(ask) if ask.verb == asking.APPEND else self._last(ask))
        except (UnreadableRecordError, SpecMissingError, DecodeError, KeyError, ValueError) as error:
            return not_yours(f"it can't be read: {error}")

    async def _work(self, node: str) -> Answer:
        return Answer(asking.OK, headers={asking.TIME: await self._ensure_work(node)})

    async def _append(self, ask: Ask) -> Answer:
        key, expected = subjects.parse_task(ask.subject), int(ask.headers[asking.EXPECTED])
        record = codec.from_message(task_record_pb2.TaskRecord.FromString(ask.data))
        last = await self._log.get(key)
        if last is None or last.sequence != expected:
            return Answer(asking.CONFLICT)
        if record.key != key:
            return not_yours("the record is of another task")
        if reason := rights.refusal(ask.node, last.record, record):
            return not_yours(reason)
        try:
            # What was decided on is what the server compares with: nobody can have changed the task in between.
            data = codec.encode(rights.as_written(last.record, record))
            (sequence,) = await self._bus.append([Entry(ask.subject, data, expected)])
        except SequenceConflictError:
            return Answer(asking.CONFLICT)
        return Answer(asking.OK, headers={asking.SEQUENCE: str(sequence)})

    async def _last(self, ask: Ask) -> Answer:
        match ask.subject.split("."):
            case ["task", tenant, task_id]:
                return await self._record(ask, Key(tenant, task_id))
            case ["spec", tenant, task_id, digest]:
                return await self._spec(ask, Key(tenant, task_id), digest)
            case ["blob", tenant, sha256, _]:
                return await self._blob(ask, tenant, sha256)
            case ["intent", node] if node == ask.node:
                return _found(await self._bus.last(INTENTS, ask.subject))
            case _:
                return not_yours("nodes have no use for it")

    async def _record(self, ask: Ask, key: Key) -> Answer:
        """A task's last record. One that is somebody else's is, for this node, gone."""
        stored = await self._log.get(key)
        if stored is None or stored.record.node != ask.node:
            return Answer(asking.NOTHING)
        return found(Message(ask.subject, stored.data, stored.sequence))

    async def _spec(self, ask: Ask, key: Key, digest: str) -> Answer:
        record = await self._held(ask.node, key)
        if record is None or record.definition.spec.digest != digest:
            return not_yours("the node does not hold the task")
        return _found(await self._bus.last(TASKS, ask.subject))

    async def _blob(self, ask: Ask, owner: str, sha256: str) -> Answer:
        tenant, _, task_id = ask.headers.get(asking.TASK, "").partition(".")
        record = await self._held(ask.node, Key(tenant, task_id))
        if record is None or tenant != owner or sha256 not in rights.blobs_of(await self._log.spec(record)):
            return not_yours("no task that the node holds needs it")
        return _found(await self._bus.last(BLOBS, ask.subject))

    async def _held(self, node: str, key: Key) -> TaskRecord | None:
        if not _PLAIN.fullmatch(f"{key.tenant}.{key.task_id}"):
            return None
        stored: Stored | None = await self._log.get(key)
        return stored.record if stored is not None and rights.holds(node, stored.record) else None


def _found(message: Message | None) -> Answer:
    return Answer(asking.NOTHING) if message is None else found(message)
