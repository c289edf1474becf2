"""What stands before aiohttp on each connection, and answers by itself what is asked for every prompt.

Of the time of an emulator that answers at once, aiohttp's way to a handler and back was the larger part.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import cast

from aiohttp.abc import AbstractAccessLogger
from aiohttp.web import BaseRequest, StreamResponse

_SECONDS = 60.0
"""So long requests are answered here before aiohttp gets one: it hangs up on a connection of which it hears nothing."""
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_GOES_ON = re.compile(rb"\r\n(?:transfer-encoding|upgrade|expect) *:", re.IGNORECASE)
"""Headers of a request that may not be over where it seems to be."""


class Front(asyncio.Protocol):
    """One connection. What it doesn't know it hands to aiohttp, and takes its turn again when that has answered.

    Answers come in the order of their requests: as long as aiohttp has one to answer, it gets what comes. Who sends a
    request in pieces, or the next one before the answer, has a connection with aiohttp from then on.

    Args:
        behind: aiohttp's protocol of the connection.
        answer: Returns the answer to a request, or None where aiohttp is to answer.
    """

    def __init__(self, behind: asyncio.Protocol, answer: Callable[[bytes], bytes | None]) -> None:
        self._behind = behind
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._is_ours = True
        self._comes_back = False
        self._is_full = False
        self._handed_on = self._loop.time()

    def behind_has_answered(self) -> None:
        """The answer of aiohttp was sent."""
        self._is_ours = self._comes_back

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)
        self._behind.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Something has come, which nearly always is one request."""
        if self._may_answer() and (answer := self._answer(data)) is not None:
            self._transport.write(answer)
            return
        self._comes_back = self._is_ours and _is_whole(data)
        self._is_ours = False
        self._handed_on = self._loop.time()
        self._behind.data_received(data)

    def _may_answer(self) -> bool:
        return (
            self._is_ours
            and not self._is_full
            and not self._transport.is_closing()
            and self._loop.time() - self._handed_on < _SECONDS
        )

    def eof_received(self) -> bool | None:
        """The other end sends no more."""
        return self._behind.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self._behind.connection_lost(exc)

    def pause_writing(self) -> None:
        """The other end does not read."""
        self._is_full = True
        self._behind.pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self._is_full = False
        self._behind.resume_writing()


class Answered(AbstractAccessLogger):
    """Tells a front that aiohttp has answered. It stands where aiohttp would log that."""

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:  # noqa: ARG002  # as aiohttp calls
        """An answer was sent."""
        front = request.transport.get_protocol() if request.transport else None
        if isinstance(front, Front):
            front.behind_has_answered()


def _is_whole(data: bytes) -> bool:
    """Tells whether these bytes are one request, from its beginning to its end."""
    head, end, body = data.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return bool(end) and not _GOES_ON.search(head) and len(body) == (int(length[1]) if length else 0)
