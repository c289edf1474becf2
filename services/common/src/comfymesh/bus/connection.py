"""A connection to NATS. Only this module and `client` know the client library."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import Self, cast
from uuid import uuid4

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from comfymesh.bus.client import Delivery, EachMessage, MeshClient, TlsClient
from comfymesh.bus.port import BusUnavailableError, MessageTooLargeError
from comfymesh.bus.server import Server
from comfymesh.bus.tls import Tls, wanted

logger = logging.getLogger(__name__)

_RECONNECT_WAIT = 0.25
_PING_INTERVAL = 10
_HANDSHAKE_SECONDS = 2.0
_TOLD = 16
_COMPLETE = frozenset({204, 404})
_PENDING = "Nats-Num-Pending"
_HEADER_ROOM = 1024
_CREDENTIALS = re.compile(r"//[^@/,]*@")


class ConnectionSubscription:
    """A standing interest in subjects."""

    def __init__(self, subscription: NatsSubscription) -> None:
        self._subscription = subscription

    async def close(self) -> None:
        """End it. A lost or closed connection has ended it already."""
        with contextlib.suppress(nats.errors.Error):
            await self._subscription.unsubscribe()


class Connection:
    """One connection that comes back by itself, with requests whose answers share one inbox."""

    def __init__(self, url: str, name: str, tls: Tls | None = None) -> None:
        self._servers = _CREDENTIALS.sub("//", url)
        self._name = name
        self._last_error = ""
        self._told = deque[str](maxlen=_TOLD)
        self._client = TlsClient(tls) if tls else MeshClient()
        self._inbox = f"_INBOX.{uuid4().hex}"
        self._tokens = itertools.count(1)
        self._waiting: dict[str, Callable[[Delivery | None], None]] = {}
        self._reconnected: list[Callable[[], None]] = []

    @classmethod
    async def open(cls, url: str, name: str, *, tls: Tls | None = None, patient: bool = True) -> Self:
        """Connect, waiting as long as it takes. `url` may list several servers, separated by commas.

        Raises:
            BusUnusableError: the files of `tls` can't be used.
            BusUnavailableError: we are not patient, and no server takes us now.
        """
        if chosen := wanted(url, tls):
            chosen.check()
        connection = cls(url, name, chosen)
        # Our subjects are made by one module out of checked parts, so the library need not check them again.
        try:
            await connection._client.connect(
                servers=url.split(","),
                name=name,
                max_reconnect_attempts=-1 if patient else 1,
                allow_reconnect=patient,
                connect_timeout=_HANDSHAKE_SECONDS,  # type: ignore[arg-type]  # declared int, used as float
                reconnect_time_wait=_RECONNECT_WAIT,  # type: ignore[arg-type]  # as above
                ping_interval=_PING_INTERVAL,
                skip_subject_validation=True,
                error_cb=connection._on_error,
                disconnected_cb=connection._on_disconnect,
                reconnected_cb=connection._on_reconnect,
            )
        except (OSError, nats.errors.Error) as error:
            # The library leaves open what it has opened, and asserts that there is something to close.
            with contextlib.suppress(AssertionError):
                await connection._client.close()
            raise BusUnavailableError(connection._last_error or str(error) or type(error).__name__) from error
        await connection.subscribe(f"{connection._inbox}.*", connection._on_reply)
        return connection

    @property
    def connected(self) -> bool:
        """Whether the server can be reached right now."""
        return self._client.is_connected

    @property
    def server(self) -> Server:
        """The server at the other end, as it told of itself when the connection was made."""
        told = self._client._server_info  # noqa: SLF001  # the client tells the version only
        return Server(
            server_id=told.get("server_id", ""),
            name=told.get("server_name", ""),
            version=told.get("version", ""),
            cluster=told.get("cluster", ""),
            jetstream=told.get("jetstream", False),
        )

    def on_reconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after each reconnect; the answer undoes that."""
        self._reconnected.append(callback)
        return lambda: self._reconnected.remove(callback)

    async def close(self) -> None:
        """Send what is waiting to be sent, and close."""
        if self._client.is_connected:
            with contextlib.suppress(nats.errors.Error, TimeoutError):
                await self._client.flush(timeout=2)
        # The library sends what is pending even where the transport is closed by now, which uvloop refuses, or the
        # stream above it. By then it has ended all of its tasks.
        with contextlib.suppress(RuntimeError, OSError):
            await self._client.close()

    async def publish(
        self, subject: str, data: bytes, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a message.

        Raises:
            BusUnavailableError: there is no connection. Nothing is buffered: what the caller was told is lost must not
                turn up later.
            MessageTooLargeError: the server takes no such size.
        """
        if not self._client.is_connected:
            raise BusUnavailableError(f"not connected to NATS, trying to reconnect as {self._name}")
        self.check_size(subject, data)
        try:
            await self._client.publish(subject, data, reply, headers)
        except nats.errors.Error as error:
            raise BusUnavailableError(f"NATS did not take a message for {subject}: {error}") from error

    def check_size(self, subject: str, data: bytes) -> None:
        """Refuse what the server would refuse.

        Raises:
            MessageTooLargeError: the server takes no such size.
        """
        # It counts headers too, and hangs up on whoever sends more than it takes.
        if len(data) > self._client.max_payload - _HEADER_ROOM:
            raise MessageTooLargeError(f"{len(data)} bytes are more than NATS takes for {subject}")

    async def subscribe(
        self, subject: str, handler: Callable[[Delivery], None], queue: str = ""
    ) -> ConnectionSubscription:
        """Hand every message for `subject` to `handler`, in order; with a `queue`, to one of all who share that."""
        each = cast("asyncio.Future[Msg]", EachMessage(handler))
        return ConnectionSubscription(await self._client.subscribe(subject, queue=queue, future=each))

    async def send(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None
    ) -> asyncio.Future[Delivery]:
        """Send a request; the answer arrives in the future, which fails when the connection does."""
        future: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
        token = str(next(self._tokens))

        def settle(delivery: Delivery | None) -> None:
            if not future.done():
                if delivery is None:
                    future.set_exception(
                        BusUnavailableError(f"the connection to NATS broke after a request to {subject}")
                    )
                else:
                    future.set_result(delivery)

        self._waiting[token] = settle
        future.add_done_callback(lambda _: self._waiting.pop(token, None))
        try:
            await self.publish(subject, data, f"{self._inbox}.{token}", headers)
        except BaseException:
            future.cancel()
            raise
        return future

    async def collect(self, subject: str, data: bytes, timeout: float) -> tuple[list[Delivery], int]:
        """Send a request that is answered by several messages and an end mark (status 204), or none at all (404).

        Returns:
            The messages, and how many more there are: one answer holds no more bytes than the server likes.
        """
        found: list[Delivery] = []
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[tuple[int, int]] = loop.create_future()
        token = str(next(self._tokens))

        def take(delivery: Delivery | None) -> None:
            if delivery is not None and not delivery.status:
                found.append(delivery)
            elif not ended.done():
                status, headers = (delivery.status, delivery.headers) if delivery else (0, {})
                ended.set_result((status, int(headers.get(_PENDING, 0))))

        self._waiting[token] = take
        late = loop.call_later(timeout, take, None)
        try:
            await self.publish(subject, data, f"{self._inbox}.{token}")
            status, pending = await ended
        finally:
            late.cancel()
            self._waiting.pop(token, None)
        if status not in _COMPLETE:
            raise BusUnavailableError(f"NATS did not answer a request to {subject} in full (status {status})")
        return found, pending

    def _on_reply(self, delivery: Delivery) -> None:
        waiting = self._waiting.get(delivery.subject.rpartition(".")[2])
        if waiting is not None:
            waiting(delivery)

    async def _on_error(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        # Each try to connect again tells the same, or two errors in turn; once is enough until something changes.
        level = logging.DEBUG if text in self._told else logging.WARNING
        self._last_error = text
        self._told.append(text)
        logger.log(level, "NATS at %s: %s", self._servers, text, extra={"action": "bus_error"})

    async def _on_disconnect(self) -> None:
        for settle in list(self._waiting.values()):
            settle(None)
        if not self._client.is_closed:
            logger.warning("lost the connection to NATS", extra={"action": "bus_disconnected"})

    async def _on_reconnect(self) -> None:
        self._last_error = ""
        self._told.clear()
        logger.info("connected to NATS again", extra={"action": "bus_reconnected"})
        for callback in list(self._reconnected):
            callback()
