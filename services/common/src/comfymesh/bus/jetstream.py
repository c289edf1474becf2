"""The bus on NATS JetStream, spoken through its request subjects."""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64decode
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from comfymesh.bus import streams
from comfymesh.bus.connection import Connection, Delivery
from comfymesh.bus.consumers import Tail, WorkQueue
from comfymesh.bus.port import (
    BusError,
    BusUnavailableError,
    CaughtUp,
    Entry,
    Handler,
    Message,
    SequenceConflictError,
    Subscription,
)
from comfymesh.bus.streams import Stream

logger = logging.getLogger(__name__)

_WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
_STREAM_NAME_IN_USE = 10058
_INVALID_CONFIGURATION = 10052
_NO_MESSAGE = 404
_EXPECTED = "Nats-Expected-Last-Subject-Sequence"


class StreamMismatchError(BusError):
    """A stream exists with a configuration that ours can't replace."""


class JetStreamBus:
    """A bus on one connection.

    Args:
        connection: An open connection.
        replicas: Copies of each stream in the cluster. With more than one, reads go to the leader, since copies lag.
        timeout: How long to wait for a confirmation, in seconds.
    """

    def __init__(self, connection: Connection, *, replicas: int = 1, timeout: float = 5.0) -> None:
        self._connection = connection
        self._replicas = replicas
        self._timeout = timeout
        self._renewing: asyncio.Task[None] | None = None
        self._forget = connection.on_reconnect(self._renew_streams)

    @classmethod
    async def open(cls, url: str, name: str, *, replicas: int = 1) -> Self:
        """Connect, waiting as long as it takes, and make sure of the streams."""
        bus = cls(await Connection.open(url, name), replicas=replicas)
        await bus._renew_until_done()
        return bus

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Send what is waiting to be sent, and disconnect."""
        self._forget()
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        await self._connection.close()

    @property
    def connected(self) -> bool:
        """Whether the server can be reached right now."""
        return self._connection.connected

    async def ensure_streams(self) -> None:
        """Make every stream that is missing and bring the others up to date."""
        for stream in streams.ALL:
            await self._ensure_stream(stream)

    async def append(self, entries: Sequence[Entry]) -> list[int]:
        """See Bus.append."""
        for entry in entries:
            self._connection.check_size(entry.subject, entry.data)
        acknowledgements: list[asyncio.Future[Delivery]] = []
        try:
            for entry in entries:
                acknowledgements.append(  # noqa: PERF401  # what was sent must be known when a later one fails
                    await self._connection.send(entry.subject, entry.data, _append_headers(entry))
                )
            async with asyncio.timeout(self._timeout):
                return [_stored(entry, await future) for entry, future in zip(entries, acknowledgements, strict=True)]
        except TimeoutError:
            subjects = ", ".join(entry.subject for entry in entries)
            raise BusUnavailableError(f"NATS did not confirm {subjects} within {self._timeout:g} s") from None
        finally:
            for future in acknowledgements:
                if not future.cancel() and not future.cancelled():
                    future.exception()  # Seen: one failure is enough for the caller.

    async def publish(self, subject: str, data: bytes) -> None:
        """See Bus.publish."""
        await self._connection.publish(subject, data)

    async def last(self, stream: Stream, subject: str) -> Message | None:
        """See Bus.last."""
        if self._replicas > 1:
            return await self._last_from_leader(stream, subject)
        delivery = await self._request(f"$JS.API.DIRECT.GET.{stream.name}.{subject}", b"")
        return None if delivery.status == _NO_MESSAGE else _direct(delivery)

    async def after(self, stream: Stream, subject: str, sequence: int, limit: int) -> list[Message]:
        """See Bus.after."""
        query = {"seq": sequence + 1, "next_by_subj": subject, "batch": limit}
        method = f"$JS.API.DIRECT.GET.{stream.name}"
        found = await self._connection.collect(method, json.dumps(query).encode(), self._timeout)
        return [_direct(delivery) for delivery in found]

    async def subscribe(self, subject: str, handler: Handler) -> Subscription:
        """See Bus.subscribe."""
        return await self._connection.subscribe(
            subject,
            lambda delivery: handler(Message(delivery.subject, delivery.data)),
        )

    def tail(self, stream: Stream, subject: str) -> AsyncIterator[Message | CaughtUp]:
        """See Bus.tail."""
        return Tail(self._connection, stream.name, subject, self.call).messages()

    def work(self, stream: Stream, subject: str, name: str) -> AsyncIterator[Message]:
        """See Bus.work."""
        return WorkQueue(self._connection, stream.name, subject, name, self.call).messages()

    async def call(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        """Call a method of the JetStream API, such as `STREAM.CREATE.TASKS`, and answer its response.

        Raises:
            BusUnavailableError: no answer, or the server is not ready.
            BusError: the server refused.
        """
        delivery = await self._request(f"$JS.API.{method}", json.dumps(body).encode())
        answer: dict[str, Any] = json.loads(delivery.data)
        if (error := answer.get("error")) is not None:
            # The server gives this refusal the code of a failure of its own, but trying again can't help.
            ours = error.get("code", 500) < 500 or error.get("err_code") == _INVALID_CONFIGURATION
            kind = ApiError if ours else BusUnavailableError
            raise kind(f"JetStream refused {method}: {error.get('description')} ({error.get('err_code')})")
        return answer

    async def _request(self, subject: str, data: bytes) -> Delivery:
        future = await self._connection.send(subject, data)
        try:
            async with asyncio.timeout(self._timeout):
                delivery = await future
        except TimeoutError:
            raise BusUnavailableError(f"NATS did not answer {subject} within {self._timeout:g} s") from None
        if delivery.status == 503:
            raise BusUnavailableError(f"nobody answers {subject}: is JetStream on?")
        return delivery

    async def _last_from_leader(self, stream: Stream, subject: str) -> Message | None:
        try:
            answer = await self.call(f"STREAM.MSG.GET.{stream.name}", {"last_by_subj": subject})
        except ApiError:
            return None
        return _from_leader(answer["message"])

    async def _ensure_stream(self, stream: Stream) -> None:
        configuration = _configuration(stream, self._replicas)
        try:
            await self.call(f"STREAM.CREATE.{stream.name}", configuration)
        except ApiError as error:
            if str(_STREAM_NAME_IN_USE) not in str(error):
                raise StreamMismatchError(f"can't make stream {stream.name}: {error}") from error
            try:
                await self.call(f"STREAM.UPDATE.{stream.name}", configuration)
            except ApiError as update:
                raise StreamMismatchError(f"stream {stream.name} differs from what is needed: {update}") from update

    def _renew_streams(self) -> None:
        # Streams in memory do not survive a restart of the server.
        self._renewing = asyncio.ensure_future(self._renew_until_done())

    async def _renew_until_done(self) -> None:
        while True:
            try:
                await self.ensure_streams()
            except BusUnavailableError as error:
                logger.info("waiting for JetStream: %s", error, extra={"action": "bus_waits"})
                await asyncio.sleep(1.0)
            else:
                return


class ApiError(BusError):
    """JetStream refused a call."""


def _append_headers(entry: Entry) -> dict[str, str] | None:
    return None if entry.expected is None else {_EXPECTED: str(entry.expected)}


def _stored(entry: Entry, delivery: Delivery) -> int:
    if delivery.status == 503:
        raise BusUnavailableError(f"no stream takes {entry.subject}")
    answer = json.loads(delivery.data)
    if (error := answer.get("error")) is None:
        return int(answer["seq"])
    if error.get("err_code") in _WRONG_LAST_SEQUENCE:
        raise SequenceConflictError(entry.subject, entry.expected or 0)
    raise BusUnavailableError(f"JetStream did not store {entry.subject}: {error.get('description')}")


def _direct(delivery: Delivery) -> Message:
    headers = delivery.headers
    return Message(
        subject=headers["Nats-Subject"],
        data=delivery.data,
        sequence=int(headers["Nats-Sequence"]),
        time=datetime.fromisoformat(headers["Nats-Time-Stamp"]).timestamp(),
    )


def _from_leader(message: dict[str, Any]) -> Message:
    return Message(
        subject=message["subject"],
        data=b64decode(message.get("data", "")),
        sequence=int(message["seq"]),
        time=datetime.fromisoformat(message["time"]).timestamp(),
    )


def _configuration(stream: Stream, replicas: int) -> dict[str, Any]:
    return {
        "name": stream.name,
        "subjects": list(stream.subjects),
        "storage": stream.storage.value,
        "retention": "workqueue" if stream.work_queue else "limits",
        "max_msgs_per_subject": stream.per_subject,
        "max_age": int(stream.max_age.total_seconds() * 1e9) if stream.max_age else 0,
        "num_replicas": replicas,
        "discard": "old",
        "allow_direct": True,
    }
