"""One connection to a server: a request at a time, and its answer as it comes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, cast

from comfymesh.agent.http1.errors import BadResponseError, BodyTooLargeError, BrokenError
from comfymesh.agent.http1.response import ResponseReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

_HIGH = 256 << 10
"""Bytes of a body that nobody takes, from which on no more is read."""


class Patience(NamedTuple):
    """How long a request may take.

    Attributes:
        end: When all of it has to be over, in seconds of the event loop.
        silence: Seconds in which something has to come, or to be taken.
        least: Bytes of a body taken in pieces that have to come in `silence` seconds of waiting. Without them a byte
            now and then would be enough for ever.
    """

    end: float = float("inf")
    silence: float = float("inf")
    least: int = 0

    def until(self, now: float) -> float:
        """When to give up that began to wait now."""
        return min(self.end, now + self.silence)


class Connection(asyncio.Protocol):
    """A connection that is open, until it fails or is closed.

    Args:
        loop: The event loop.
        lost: Is called once it is closed.

    Attributes:
        answered: Whether anything has come since the last request.
        since: When it was left idle, in seconds of the event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, lost: Callable[[Connection], None]) -> None:
        self._loop = loop
        self._lost = lost
        self._reader = ResponseReader()
        self._transport: asyncio.Transport
        self._patience: Patience
        self._waiter: asyncio.Future[None] | None = None
        self._wanted = 0
        self._error: Exception | None = None
        self._asked = self._sent = False
        self._full = self._paused = False
        self.answered = False
        self.since = 0.0

    @property
    def status(self) -> int:
        """HTTP status of the answer."""
        return self._reader.status

    @property
    def open(self) -> bool:
        """Whether it can be used."""
        return self._error is None

    async def ask(self, pieces: Iterable[bytes | memoryview], patience: Patience) -> None:
        """Send a request, and wait for the head of its answer. A server that answers early is sent no more.

        Raises:
            BrokenError: The connection has ended.
            TimeoutError: It took too long.
        """
        self._reader.begin()
        self._patience, self._asked = patience, True
        self._sent = self.answered = False
        for piece in pieces:
            while self._full and not self._reader.status:
                await self._news()
            if self._reader.status:
                break
            self._require_open()
            self._transport.write(piece)
        else:
            self._sent = True
        await self._until(0)

    async def read(self, most: int) -> bytes:
        """The whole body.

        Raises:
            BodyTooLargeError: It is larger than `most` bytes.
            BrokenError, TimeoutError: As in `ask`.
        """
        await self._until(most + 1)
        if len(self._reader.body) > most:
            raise BodyTooLargeError(f"the body is larger than {most} bytes")
        return self._reader.take()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Of what is not taken only so much is held.

        Raises:
            BrokenError, TimeoutError: As in `ask`.
        """
        waited, come = 0.0, 0
        while True:
            began = self._loop.time()
            await self._until(1)
            if not self._reader.body:
                return
            # How long the taker takes is not the server's fault: only what is waited for it counts.
            waited += self._loop.time() - began
            come += len(self._reader.body)
            if waited >= self._patience.silence:
                self._require_speed(come, waited)
                waited, come = 0.0, 0
            yield self._reader.take()

    def leave(self) -> bool:
        """The request is done with. Whether the connection is good for another one; else it is closed."""
        self._asked = False
        if self.open and self._sent and self._reader.complete and self._reader.reusable:
            self.since = self._loop.time()
            return True
        self.abort()
        return False

    def abort(self) -> None:
        """Close it, whatever it is doing."""
        self._fail(BrokenError("the connection was closed on our side"))

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """The server has sent something."""
        if not self._asked:
            self._fail(BrokenError("the server sent what was not asked for"))
            return
        self.answered = True
        try:
            self._reader.feed(data)
        except BadResponseError as error:
            self._fail(error)
        else:
            self._look()

    def eof_received(self) -> None:
        """The server sends no more."""
        self._end()

    def connection_lost(self, error: Exception | None) -> None:
        """It is closed."""
        # Where we have closed it, its end says nothing of the answer.
        if error is None and self.open:
            self._end()
        self._fail(BrokenError(f"{type(error).__name__} {error}" if error else "the connection is closed"))
        self._lost(self)

    def pause_writing(self) -> None:
        """The server does not take what is sent as fast as it is."""
        self._full = True

    def resume_writing(self) -> None:
        """It has taken most of it."""
        self._full = False
        self._wake()

    def _end(self) -> None:
        try:
            self._reader.end()
        except BrokenError as error:
            self._fail(error)
        else:
            self._wake()
        if not self._asked:
            self.abort()

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
            self._transport.abort()
            self._wake()

    def _expire(self) -> None:
        self._fail(TimeoutError("no answer in time"))

    def _require_speed(self, come: int, waited: float) -> None:
        if come < self._patience.least and not self._reader.complete:
            self._fail(TimeoutError(f"no more than {come} bytes in {waited:.0f} s"))
            self._require_open()

    def _enough(self, size: int) -> bool:
        reader = self._reader
        return reader.complete or (reader.status != 0 and len(reader.body) >= size)

    def _look(self) -> None:
        if self._enough(self._wanted):
            self._wake()
        if len(self._reader.body) >= max(self._wanted, _HIGH) and not (self._paused or self._reader.complete):
            self._paused = True
            self._transport.pause_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _until(self, size: int) -> None:
        """Wait until so much of the body has come, or its end."""
        while not self._enough(size):
            self._wanted = size
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
            await self._news()
        self._wanted = 0

    async def _news(self) -> None:
        """Wait until something has changed, which may be that the connection has ended."""
        self._require_open()
        self._waiter = self._loop.create_future()
        timer = self._loop.call_at(self._patience.until(self._loop.time()), self._expire)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _require_open(self) -> None:
        if self._error is not None:
            raise self._error
