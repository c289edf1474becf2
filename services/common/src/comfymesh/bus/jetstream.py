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

from comfymesh.bus import direct, guards, monitor, streams
from comfymesh.bus.api import NO_MESSAGE, Api, ApiError
from comfymesh.bus.client import Delivery
from comfymesh.bus.connection import Connection
from comfymesh.bus.consumers import Tail, WorkQueue
from comfymesh.bus.expiry import expire
from comfymesh.bus.leadership import Leadership
from comfymesh.bus.port import (
    BusFullError,
    BusUnavailableError,
    CaughtUp,
    Entry,
    Handler,
    Message,
    StreamState,
    Subscription,
)
from comfymesh.bus.provision import StreamMismatchError, provide
from comfymesh.bus.server import BusUnusableError, check_version, describe_sync
from comfymesh.bus.streams import Stream
from comfymesh.bus.tls import Tls
from comfymesh.runtime.background import stop
from comfymesh.runtime.faultpoints import FaultPoint, reached

__all__ = ["ApiError", "JetStreamBus", "StreamMismatchError"]

logger = logging.getLogger(__name__)

_WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
_FULL = frozenset({10023, 10028, 10047})
"""Insufficient resources, and more than is allowed to an account or to the server."""

_NO_MESSAGE_STATUS = 404
_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_LIFETIME = "Nats-TTL"


class JetStreamBus:
    """A bus on one connection.

    Args:
        connection: An open connection.
        replicas: Copies of each stream in the cluster. With more than one, reads go to the leader, since copies lag.
        timeout: How long to wait for a confirmation, in seconds.
        plan: The streams to provide; by default all, as they are in `streams`.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        replicas: int = 1,
        timeout: float = 5.0,
        plan: Sequence[Stream] | None = None,
    ) -> None:
        self._connection = connection
        self._api = Api(connection, timeout)
        self._leadership = Leadership(self._api.call)
        self._replicas = replicas
        self._timeout = timeout
        self._plan = streams.ALL if plan is None else plan
        self._renewing: asyncio.Task[None] | None = None
        self._forget = connection.on_reconnect(self._renew_streams)

    @classmethod
    async def open(
        cls,
        url: str,
        name: str,
        *,
        replicas: int = 1,
        plan: Sequence[Stream] | None = None,
        monitor_urls: str = "",
        tls: Tls | None = None,
    ) -> Self:
        """Connect, waiting as long as it takes, look at the server, and make sure of the streams.

        `monitor_urls` are the monitoring ports of the servers, separated by commas; only there can be learned how soon
        they sync.

        Raises:
            BusUnusableError: the server is too old, known to lose messages or without JetStream, or its streams are not
                ours.
        """
        bus = cls(await Connection.open(url, name, tls=tls), replicas=replicas, plan=plan)
        try:
            await bus._renew_until_done()
            await bus._tell(monitor_urls)
        except BaseException:
            await bus.close()
            raise
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
        await stop(self._renewing)
        await self._connection.close()

    @property
    def connected(self) -> bool:
        """Whether the server can be reached right now."""
        return self._connection.connected

    async def ensure_streams(self) -> None:
        """Look at the server, make every stream that is missing, and bring the others up to date.

        Raises:
            BusUnusableError: the server or a stream can't be used.
            BusUnavailableError: the server is not ready.
        """
        check_version(self._connection.server)
        await provide(self._api, self._plan, self._replicas, self._connection.server)

    async def append(self, entries: Sequence[Entry]) -> list[int]:
        """See Bus.append."""
        return await guards.append(entries, self._propose, self.last)

    async def _propose(self, entries: Sequence[Entry]) -> list[int | None]:
        for entry in entries:
            self._connection.check_size(entry.subject, entry.data)
        acknowledgements: list[asyncio.Future[Delivery]] = []
        timer: asyncio.TimerHandle | None = None
        try:
            for entry in entries:
                acknowledgements.append(  # noqa: PERF401  # what was sent must be known when a later one fails
                    await self._connection.send(entry.subject, entry.data, _append_headers(entry))
                )
            reached(FaultPoint.APPEND_SENT)
            timer = expire(acknowledgements, self._timeout)
            return [_stored(entry, await future) for entry, future in zip(entries, acknowledgements, strict=True)]
        except TimeoutError:
            what = entries[0].subject + (f" and {len(entries) - 1} more" if len(entries) > 1 else "")
            raise BusUnavailableError(f"NATS did not confirm {what} within {self._timeout:g} s") from None
        finally:
            if timer is not None:
                timer.cancel()
            for future in acknowledgements:
                if not future.cancel() and not future.cancelled():
                    future.exception()  # Seen: one failure is enough for the caller.

    async def publish(self, subject: str, data: bytes) -> None:
        """See Bus.publish."""
        await self._connection.publish(subject, data)

    async def last(self, stream: Stream, subject: str) -> Message | None:
        """See Bus.last."""
        if self._replicas > 1:
            return await self._from_leader(stream, {"last_by_subj": subject})
        delivery = await self._api.request(f"$JS.API.DIRECT.GET.{stream.name}.{subject}", b"")
        return None if delivery.status == _NO_MESSAGE_STATUS else direct.message(delivery)

    async def at(self, stream: Stream, sequence: int) -> Message | None:
        """See Bus.at."""
        return await self._from_leader(stream, {"seq": sequence})

    async def state(self, stream: Stream) -> StreamState:
        """See Bus.state."""
        info = await self._ask_leader(stream.name, f"STREAM.INFO.{stream.name}", {})
        held, now = info["state"], datetime.fromisoformat(info["ts"]).timestamp()
        return StreamState(info["created"], held["last_seq"], now, held["messages"], held["bytes"])

    async def after(self, stream: Stream, subject: str, sequence: int, limit: int) -> list[Message]:
        """See Bus.after."""
        found, pending, place = list[Message](), 1, sequence
        while pending and len(found) < limit:
            page, pending = await self._page(stream, subject, place, limit - len(found))
            if not page:
                break
            found += page
            place = page[-1].sequence
        if self._replicas > 1:
            await self._complete(found, stream, subject, sequence, limit)
        return found

    async def _page(self, stream: Stream, subject: str, after: int, limit: int) -> tuple[list[Message], int]:
        query = {"seq": after + 1, "next_by_subj": subject, "batch": limit}
        method = f"$JS.API.DIRECT.GET.{stream.name}"
        deliveries, pending = await self._connection.collect(method, json.dumps(query).encode(), self._timeout)
        return [direct.message(delivery) for delivery in deliveries], pending

    async def subjects(self, stream: Stream, subject: str) -> list[str]:
        """See Bus.subjects. The server answers at most 100,000 at a time."""
        found = list[str]()
        while True:
            query = {"subjects_filter": subject, "offset": len(found)}
            info = await self.call(f"STREAM.INFO.{stream.name}", query)
            page = info["state"].get("subjects") or {}
            found += page
            if not page or len(found) >= info.get("total", 0):
                return found

    async def purge(self, stream: Stream, subject: str, up_to: int) -> None:
        """See Bus.purge."""
        await self._api.call(f"STREAM.PURGE.{stream.name}", {"filter": subject, "seq": up_to + 1})

    async def subscribe(self, subject: str, handler: Handler) -> Subscription:
        """See Bus.subscribe."""
        return await self._connection.subscribe(
            subject,
            lambda delivery: handler(Message(delivery.subject, delivery.data)),
        )

    def tail(self, stream: Stream, subject: str, after: int = 0) -> AsyncIterator[Message | CaughtUp]:
        """See Bus.tail."""
        copies = self._replicas
        return Tail(
            self._connection, stream.name, subject, self.call, self._ask_leader, copies=copies, after=after
        ).messages()

    def work(self, stream: Stream, subject: str, name: str) -> AsyncIterator[Message]:
        """See Bus.work."""
        return WorkQueue(self._connection, stream.name, subject, name, self.call).messages()

    async def call(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        """Call a method of the JetStream API, as `Api.call` does."""
        return await self._api.call(method, body)

    async def _complete(self, found: list[Message], stream: Stream, subject: str, sequence: int, limit: int) -> None:
        """Add what the leader has and the copy that answered did not.

        Any copy may answer a direct read. Copies apply the same messages in the same order, so what one of them has is
        the beginning of what the leader has, and only what follows can be missing. That is seldom more than one.
        """
        while len(found) < limit:
            last = found[-1].sequence if found else sequence
            further = await self._from_leader(stream, {"seq": last + 1, "next_by_subj": subject})
            if further is None:
                return
            found.append(further)

    async def _from_leader(self, stream: Stream, which: dict[str, Any]) -> Message | None:
        try:
            answer = await self._ask_leader(stream.name, f"STREAM.MSG.GET.{stream.name}", which)
        except ApiError as error:
            if error.code != NO_MESSAGE:
                raise
            return None
        return _from_leader(answer["message"])

    async def _ask_leader(self, stream: str, method: str, body: dict[str, Any]) -> dict[str, Any]:
        """Call a method that the stream's leader answers, who on a cluster may have been replaced."""
        if self._replicas == 1:
            return await self.call(method, body)
        return await self._leadership.ask(stream, method, body)

    async def _tell(self, monitor_urls: str) -> None:
        server = self._connection.server
        sync = await monitor.read_sync(monitor_urls, server)
        fields = {
            "action": "bus_connected",
            "server": server.name,
            "version": server.version,
            "cluster": server.cluster,
            "replicas": self._replicas,
            "sync": describe_sync(sync),
        }
        logger.info("NATS is ready, syncs: %s", _told(describe_sync(sync)), extra=fields)
        if server.cluster and self._replicas == 1:
            logger.warning(
                "NATS is a cluster, and each stream is kept on one server only: set COMFYMESH_NATS_REPLICAS=3",
                extra={"action": "bus_replicas", "replicas": self._replicas},
            )
        if sync and self._replicas == 1:
            logger.warning(
                "NATS puts on the disk every %g s only what it has acknowledged before, and a power cut loses the rest:"
                " set `sync_interval: always` in its jetstream block",
                sync,
                extra={"action": "bus_sync", "sync": describe_sync(sync)},
            )

    def _renew_streams(self) -> None:
        # Streams in memory do not survive a restart of the server.
        if self._renewing is not None:
            self._renewing.cancel()
        self._renewing = asyncio.ensure_future(self._renew())

    async def _renew(self) -> None:
        try:
            await self._renew_until_done()
        except BusUnusableError as error:
            # Those who use the bus notice by themselves what they can't do; this says why.
            logger.critical("%s", error, extra={"action": "bus_unusable", "reason": error.reason})

    async def _renew_until_done(self) -> None:
        while True:
            try:
                await self.ensure_streams()
            except BusUnavailableError as error:
                logger.info("waiting for JetStream: %s", error, extra={"action": "bus_waits"})
                await asyncio.sleep(1.0)
            else:
                return


def _told(sync: str) -> str:
    return sync if sync != "unknown" else "unknown, since clients aren't told; COMFYMESH_NATS_MONITOR_URL names who is"


def _append_headers(entry: Entry) -> dict[str, str] | None:
    headers = dict[str, str]()
    if entry.expected is not None:
        headers[_EXPECTED] = str(entry.expected)
    if entry.lifetime is not None:
        headers[_LIFETIME] = f"{entry.lifetime.total_seconds():.0f}s"
    return headers or None


def _stored(entry: Entry, delivery: Delivery) -> int | None:
    """Its sequence; None where its guard refused it."""
    if delivery.status == 503:
        raise BusUnavailableError(f"no stream takes {entry.subject}")
    answer = json.loads(delivery.data)
    if (error := answer.get("error")) is None:
        return int(answer["seq"])
    if error.get("err_code") in _WRONG_LAST_SEQUENCE:
        return None
    problem = f"JetStream did not store {entry.subject}: {error.get('description')}"
    if error.get("err_code") in _FULL:
        raise BusFullError(f"{problem}, what it may use of its disk is full")
    raise BusUnavailableError(problem)


def _from_leader(message: dict[str, Any]) -> Message:
    return Message(
        subject=message["subject"],
        data=b64decode(message.get("data", "")),
        sequence=int(message["seq"]),
        time=datetime.fromisoformat(message["time"]).timestamp(),
    )
