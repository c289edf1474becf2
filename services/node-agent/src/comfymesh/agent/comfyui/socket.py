"""Keeps one event socket to a ComfyUI server open. The only module that knows websockets.

ComfyUI protocol notes, sections 2 (points 2 to 4), 7.1 and 13.2.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import Frame, Opcode

from comfymesh.agent.comfyui.errors import ProtocolError
from comfymesh.agent.comfyui.events import Status
from comfymesh.agent.comfyui.glut import Glut
from comfymesh.agent.comfyui.protocol import HELLO, parse_binary, parse_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.protocol import Event as Received

    from comfymesh.agent.comfyui.events import Event

_log = logging.getLogger(__name__)
_DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})


@dataclass(frozen=True, slots=True)
class SocketTimings:
    """Waiting times of the socket, in seconds.

    Attributes:
        open: To connect, and again for the first status.
        close: To wait for the server's goodbye.
        ping_interval: Between two pings; the server sends none.
        ping_timeout: For a pong; long, since a native call may hold ComfyUI's interpreter for seconds.
        backoff_first: Before the second attempt to connect; doubled each time, and each time cut by a random part of
            up to one half.
        backoff_last: The most that it grows to.
    """

    open: float = 10.0
    close: float = 1.0
    ping_interval: float = 15.0
    ping_timeout: float = 30.0
    backoff_first: float = 0.1
    backoff_last: float = 5.0


DEFAULT_SOCKET_TIMINGS = SocketTimings()


class _Line(ClientConnection):
    """Hands messages on where they are read. The library wakes a task for each, and a prompt tells a dozen.

    One that comes in several frames is put together by the library. It is behind those that came before it, and all
    that follow go the same way, so that none overtakes it.
    """

    _take: Callable[[str | bytes], None] | None = None
    _early: tuple[str | bytes, ...] = ()
    _in_pieces = False

    def hand_on(self, take: Callable[[str | bytes], None]) -> None:
        """Give every message to `take`, those first that have come already."""
        self._take = take
        for message in self._early:
            take(message)
        self._early = ()

    def process_event(self, event: Received) -> None:
        """Take in what the library has read."""
        message = self._message(event)
        if message is None:
            super().process_event(event)
        elif self._take is None:
            self._early += (message,)
        else:
            self._take(message)

    def _message(self, event: Received) -> str | bytes | None:
        """The message in a frame, if it is whole and no other was not."""
        if not isinstance(event, Frame) or event.opcode not in _DATA:
            return None
        self._in_pieces = self._in_pieces or not event.fin
        if self._in_pieces:
            return None
        return bytes(event.data).decode(errors="replace") if event.opcode is Opcode.TEXT else bytes(event.data)


def _drop(message: str | bytes) -> None:
    """Nobody wants it any more."""


class EventSocket:
    """A long-lived socket with a task of its own, which never fails: it reconnects until it is closed.

    Each connection has a new client id, because the server forgets an id when the older of two connections under it
    ends. It announces our feature flags first, and counts as connected from its first `status` on.

    Args:
        url: As `ws://127.0.0.1:8188/ws`.
        on_event: Gets every event, in order; must be quick and must not raise.
        on_state: Gets the client id when connected, and None when the connection is lost; as above.
        timings: Waiting times.
        rng: Source of the jitter.
    """

    def __init__(
        self,
        url: str,
        on_event: Callable[[Event], None],
        on_state: Callable[[str | None], None],
        *,
        timings: SocketTimings = DEFAULT_SOCKET_TIMINGS,
        rng: random.Random | None = None,
    ) -> None:
        self._url = url
        self._on_event = on_event
        self._on_state = on_state
        self._timings = timings
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._task: asyncio.Task[None] | None = None
        self._connection: ClientConnection | None = None
        self._client_id: str | None = None
        self._attempts = 0
        self._heard = time.monotonic()
        self._glut = Glut()
        self._ungreeted: asyncio.TimerHandle | None = None

    @property
    def client_id(self) -> str | None:
        """The client id whose events arrive; None while not connected."""
        return self._client_id

    @property
    def heard(self) -> float:
        """When the last message came, in seconds of `time.monotonic`."""
        return self._heard

    def start(self) -> None:
        """Begin to connect; needs a running loop."""
        self._task = asyncio.create_task(self._run(), name="comfyui-socket")

    async def close(self) -> None:
        """End the connection and the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def reconnect(self, why: str) -> None:
        """Give up this connection and make a new one, for a socket that has gone deaf.

        Args:
            why: For the log.
        """
        if self._connection is not None:
            _log.warning(
                "The event socket is given up: %s.", why, extra={"action": "comfyui_socket_reset", "url": self._url}
            )
            self._connection.transport.abort()

    async def _run(self) -> None:
        while True:
            client_id = uuid.uuid4().hex
            try:
                await self._connect(client_id)
            except Exception as error:  # supervised: whatever ends a connection, another one is needed
                self._log_loss(error)
            finally:
                self._disconnected()
            await asyncio.sleep(self._backoff())

    async def _connect(self, client_id: str) -> None:
        timings = self._timings
        async with connect(
            f"{self._url}?clientId={client_id}",
            max_size=None,
            compression=None,
            proxy=None,
            open_timeout=timings.open,
            close_timeout=timings.close,
            ping_interval=timings.ping_interval,
            ping_timeout=timings.ping_timeout,
            create_connection=_Line,
        ) as connection:
            self._connection = connection
            await connection.send(HELLO)
            self._ungreeted = asyncio.get_running_loop().call_later(timings.open, connection.transport.abort)
            line, take = cast("_Line", connection), partial(self._take, client_id)
            line.hand_on(take)
            try:
                async for message in line:
                    take(message)
            finally:
                line.hand_on(_drop)  # Until the server says goodbye, it may still say other things.

    def _take(self, client_id: str, message: str | bytes) -> None:
        event = self._deliver(message)
        if self._client_id is None and isinstance(event, Status):
            self._greeted(client_id)

    def _greeted(self, client_id: str) -> None:
        if self._ungreeted is not None:
            self._ungreeted.cancel()
        self._client_id = client_id
        self._attempts = 0
        _log.info(
            "The event socket is connected.",
            extra={"action": "comfyui_socket_open", "url": self._url, "client_id": client_id},
        )
        self._on_state(client_id)

    def _deliver(self, message: str | bytes) -> Event | None:
        self._heard = began = time.monotonic()
        if self._glut.leaves_out(message, began):
            return None
        event = self._read(message)
        if event is not None:
            self._on_event(event)
        self._glut.took(message, began, time.monotonic())
        return event

    def _read(self, message: str | bytes) -> Event | None:
        try:
            return parse_text(message) if isinstance(message, str) else parse_binary(message)
        except ProtocolError as error:
            _log.warning(
                "A message of ComfyUI is dropped: %s.",
                error,
                extra={"action": "comfyui_message_dropped", "url": self._url},
            )
            return None

    def _disconnected(self) -> None:
        self._connection = None
        if self._ungreeted is not None:
            self._ungreeted.cancel()
        if self._client_id is not None:
            self._client_id = None
            self._on_state(None)

    def _backoff(self) -> float:
        ceiling = min(self._timings.backoff_last, self._timings.backoff_first * 2.0 ** min(self._attempts, 16))
        self._attempts += 1
        return ceiling * self._rng.uniform(0.5, 1.0)

    def _log_loss(self, error: Exception) -> None:
        # Only the first failure in a row: a server that is down for hours must not fill the log.
        level = logging.WARNING if self._attempts == 0 else logging.DEBUG
        _log.log(
            level,
            "The event socket is down, reconnecting: %s: %s",
            type(error).__name__,
            error,
            extra={"action": "comfyui_socket_down", "url": self._url},
        )
