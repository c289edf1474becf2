"""The bus as a node sees it whose user is in an account of its own: what is not its own, it can not even ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from copy import copy
from datetime import datetime
from typing import Self

from comfymesh.bus import asking, direct, subjects
from comfymesh.bus.client import Delivery
from comfymesh.bus.connection import Connection
from comfymesh.bus.consumers import WorkQueue
from comfymesh.bus.expiry import expire
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.port import BusUnavailableError, Entry, Message
from comfymesh.bus.server import check_version
from comfymesh.bus.streams import Stream
from comfymesh.bus.tls import Tls
from comfymesh.tasks.record import Key


class NodeBus(JetStreamBus):
    """Reads, and writes records, through the mesh's desk; the rest goes straight to the server.

    Args:
        connection: An open connection.
        node: The node.
        timeout: How long to wait for an answer, in seconds.
    """

    def __init__(self, connection: Connection, node: str, timeout: float = 5.0) -> None:
        # It makes no streams: that is for those whose they are.
        super().__init__(connection, timeout=timeout, plan=())
        self._node = node
        self._task: Key | None = None

    @classmethod
    async def open_for(cls, url: str, node: str, *, tls: Tls | None = None) -> Self:
        """Connect, waiting as long as it takes, and look at the server.

        Raises:
            BusUnusableError: the server is too old or known to lose messages.
        """
        connection = await Connection.open(url, f"agent {node}", tls=tls)
        try:
            check_version(connection.server)
        except BaseException:
            await connection.close()
            raise
        return cls(connection, node)

    def for_task(self, key: Key) -> Self:
        """The same connection, on behalf of a task: the node may read what that needs."""
        view = copy(self)
        view._task = key  # noqa: SLF001  # it is ours
        return view

    async def _propose(self, entries: Sequence[Entry]) -> list[int | None]:
        """Records go one by one: a node never has two that belong together."""
        if not any(subjects.is_task(entry.subject) for entry in entries):
            return await super()._propose(entries)
        return [await self._propose_record(entry) for entry in entries]

    async def last(self, stream: Stream, subject: str) -> Message | None:
        """See Bus.last."""
        del stream
        task = {asking.TASK: f"{self._task.tenant}.{self._task.task_id}"} if self._task else {}
        answer = await self._ask(asking.LAST, b"", {asking.SUBJECT: subject, **task})
        return None if answer.status == asking.NOTHING else direct.message(answer)

    def work(self, stream: Stream, subject: str, name: str) -> AsyncIterator[Message]:
        """See Bus.work."""

        async def ensure() -> None:
            await self.ensure_work()

        return WorkQueue(self._connection, stream.name, subject, name, self.call, ensure).messages()

    async def ensure_work(self) -> float:
        """Have the consumer of our work made; answers what the server's clock shows, seconds since the epoch."""
        return _time(await self._ask(asking.WORK, b"", {}))

    async def _propose_record(self, entry: Entry) -> int | None:
        headers = {asking.SUBJECT: entry.subject, asking.EXPECTED: str(entry.expected or 0)}
        answer = await self._ask(asking.APPEND, entry.data, headers)
        return None if answer.status == asking.CONFLICT else int(answer.headers[asking.SEQUENCE])

    async def _ask(self, verb: str, data: bytes, headers: dict[str, str]) -> Delivery:
        """Ask the desk.

        Raises:
            BusUnavailableError: nobody answers, or the mesh does not (yet) know that this is ours.
        """
        subject = f"{subjects.desk(self._node)}.{verb}"
        future = await self._connection.send(subject, data, headers)
        timer = expire((future,), self._timeout)
        try:
            answer = await future
        except TimeoutError:
            raise BusUnavailableError(f"no api answered {subject} within {self._timeout:g} s") from None
        finally:
            timer.cancel()
        if answer.status in {asking.NOT_YOURS, asking.AWAY}:
            reason = answer.headers.get(asking.REASON, "no api answers; is one running, with COMFYMESH_API_DESK=true?")
            raise BusUnavailableError(f"{subject} was refused: {reason}")
        return answer


def _time(answer: Delivery) -> float:
    return datetime.fromisoformat(answer.headers[asking.TIME]).timestamp()
