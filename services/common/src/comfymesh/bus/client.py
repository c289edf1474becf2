"""The client library's connection, with what it lacks: shorter ways, lines that are hung up, TLS that is kept to."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from typing import NamedTuple

import nats.errors
from nats.aio.client import Client, Srv
from nats.protocol.parser import Parser

from comfymesh.bus.tls import Tls

logger = logging.getLogger(__name__)

_HEAD_LINE = b"NATS/1.0"
_WITH_HEAD = b"HMSG"
_MESSAGES = frozenset({b"MSG", _WITH_HEAD})
_LINE_END = b"\r\n"
_ONE_LINE = {ord("\r"): " ", ord("\n"): " "}
"""A value of a header may be somebody's words."""
_LONGEST_LINE = 1 << 20
"""Far more than the longest, which names all servers of a cluster. The library would go on buffering for ever."""
_NOT_PERMITTED = "permissions violation"
"""Of an error that the server tells and leaves it at that."""


class Delivery(NamedTuple):
    """A message as the server sent it. `head` is its block of headers, which most have and few readers need."""

    subject: str
    reply: str
    data: bytes
    head: bytes = b""

    @property
    def status(self) -> int:
        """That of a control message, in its first line, or of an answer of ours, in a header; 0 for any other."""
        code = self.head[len(_HEAD_LINE) + 1 : len(_HEAD_LINE) + 4]
        if code.isdigit():
            return int(code)
        return int(self.headers.get("Status", 0)) if b"Status" in self.head else 0

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by name."""
        lines = self.head.decode(errors="replace").split("\r\n")[1:]
        return {name.strip(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}


class EachMessage:
    """Hands messages on where the client reads them. Stands in the place of the future that takes a single message."""

    def __init__(self, handler: Callable[[Delivery], None]) -> None:
        self._handler = handler

    def take(self, delivery: Delivery) -> None:
        """Take a message. Whatever happens, the connection is read on."""
        try:
            self._handler(delivery)
        except Exception:
            logger.exception("a message on %s could not be handled", delivery.subject, extra={"action": "bus_defect"})


class Reader(Parser):
    """Reads messages by itself, and leaves to the library what else a server says, line by line.

    The library matches expressions, fills a dictionary, cuts from a buffer and runs a coroutine for each message. Here
    whatever came at once is gone through in one loop. What has not come in full waits here, so that the library never
    sees a payload, and nobody can take one for a line.
    """

    def reset(self) -> None:
        """Begin anew, on another line to the server."""
        super().reset()
        self._rest = bytearray()
        self._wanted = 0

    async def parse(self, data: bytes = b"") -> None:
        """Take what was received.

        Raises:
            nats.errors.ProtocolError: it is not what a NATS server sends.
        """
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._wanted:
                return
            data = bytes(rest)
            rest.clear()
        try:
            place, wanted = await self._go_through(data)
        except (ValueError, IndexError) as error:
            raise nats.errors.ProtocolError from error
        # Where an error was told, another line may have begun: nothing of this one belongs there.
        if rest is self._rest:
            rest += data[place:]
            self._wanted = wanted

    async def _go_through(self, data: bytes) -> tuple[int, int]:
        """Hand on all that is there in full; answers where the rest begins, and how long it will be, 0 if unknown.

        Raises:
            ValueError, IndexError, nats.errors.ProtocolError: it is not what a NATS server sends.
        """
        place = 0
        while (line := data.find(_LINE_END, place)) >= 0:
            begin = line + len(_LINE_END)
            kind, *words = data[place:line].split(b" ")
            if kind not in _MESSAGES:
                end = begin
                await self._leave_to_library(data[place:end])
            elif (end := begin + _number(words[-1]) + len(_LINE_END)) <= len(data):
                head = begin + (_number(words.pop(-2)) if kind == _WITH_HEAD else 0)
                self._hand_on(words, data[begin:head], data[head : end - len(_LINE_END)])
            else:
                return place, end - place
            place = end
        if len(data) - place > _LONGEST_LINE:
            raise ValueError("a line that does not end")
        return place, 0

    async def _leave_to_library(self, line: bytes) -> None:
        await super().parse(line)
        if self.buf:  # It waits for more of what it doesn't know.
            raise ValueError(line)

    def _hand_on(self, words: list[bytes], head: bytes, data: bytes) -> None:
        """Hand on a message: its subject, the number of its subscription, where to answer, and its size, as sent."""
        subject, number, *reply, _ = words
        subscription = self.nc._subs.get(_number(number))  # noqa: SLF001  # the library's, as all in here
        each = getattr(subscription, "_future", None)
        if isinstance(each, EachMessage):  # It may have ended.
            each.take(Delivery(_text(subject), _text(reply[0]) if reply else "", data, head))


def _number(digits: bytes) -> int:
    if not digits.isdigit():
        raise ValueError(digits)
    return int(digits)


def _head(headers: Mapping[str, str] | None) -> bytes:
    if not headers:
        return b""
    lines = "".join([f"{name}: {value.translate(_ONE_LINE)}\r\n" for name, value in headers.items()])
    return b"%b\r\n%b\r\n" % (_HEAD_LINE, lines.encode())


def _text(name: bytes) -> str:
    """A subject. Whoever publishes may choose any bytes, and must not end the connections of those who listen."""
    return name.decode(errors="replace")


class MeshClient(Client):
    """The library's client, with shorter ways for what every message passes. CPU for each is in benchmarks/history.md.

    In: the library reads the headers of each message, makes an object of it, and wakes a task of its subscription; here
    it is handed on where it was read (`Reader`). Out: the library wakes a task that writes, through a queue and a
    future; here all that is published in one turn of the event loop is written at its end. Only where the line is
    clogged does the library's own task write, which waits until there is room again.
    """

    _is_about_to_write = False

    def __init__(self) -> None:
        super().__init__()
        self._ps = Reader(self)

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a message, of a size that the server takes, to a server to which there is a connection.

        The library asks for both again, and makes its command of a message through four more coroutines.
        """
        head = _head(headers)
        sizes = f"{len(head)} {len(head) + len(payload)}" if head else f"{len(payload)}"
        line = f"{'HPUB' if head else 'PUB'} {subject} {reply} {sizes}\r\n"
        await self._send_command(b"".join((line.encode(), head, payload, _LINE_END)))
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()

    async def _flush_pending(self, force_flush: bool = False) -> None:  # noqa: FBT001, FBT002  # as in the library
        if force_flush or not self.is_connected or self._is_clogged():
            await super()._flush_pending(force_flush)
        elif not self._is_about_to_write:
            self._is_about_to_write = True
            asyncio.get_running_loop().call_soon(self._write)

    def _is_clogged(self) -> bool:
        writer = self._writer
        return writer is None or writer.transport.get_write_buffer_size() > 0

    def _is_gone(self) -> bool:
        writer = self._writer
        return writer is None or writer.transport.is_closing()

    def _write(self) -> None:
        """A line that is gone, as the library learns from whoever reads it, is not written to: uvloop raises then.

        What waits is sent over the next one.
        """
        self._is_about_to_write = False
        if self._pending and self.is_connected and self._transport and not self._is_gone():
            waiting, self._pending, self._pending_data_size = self._pending, [], 0
            self._transport.write(b"".join(waiting))

    async def _attempt_reconnect(self) -> None:
        """The library closes the old line first, which takes TLS half a minute where the other end is dead."""
        self._hang_up()
        await super()._attempt_reconnect()

    async def _connect_to_server(self, s: Srv) -> None:
        """The library forgets the line of a try that failed after its handshake."""
        self._hang_up()
        await super()._connect_to_server(s)

    async def _process_connect_init(self) -> None:
        """The library leaves the line of a failed handshake open, and gives up at an error that it did not expect.

        Raises:
            OSError, TimeoutError, nats.errors.Error: the handshake failed; it may be tried again.
        """
        try:
            await super()._process_connect_init()
        except (OSError, nats.errors.Error, asyncio.CancelledError):
            self._hang_up()
            raise
        except Exception as error:
            self._hang_up()
            raise nats.errors.Error(f"what answers does not speak as NATS does: {error!r}") from error

    async def _process_err(self, err_msg: str) -> None:
        """The library closes for good where a server says why it hangs up."""
        error = nats.errors.Error(f"nats: {err_msg}")
        await self._error_cb(error)
        if _NOT_PERMITTED not in err_msg.lower():
            await self._process_op_err(error)

    def _hang_up(self) -> None:
        for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
            if task is not None:
                task.cancel()
        if self._transport and (line := getattr(self._transport, "_bare_io_writer", None)) is not None:
            line.transport.abort()  # In Python 3.11 that of TLS above it fails to, once it was closed.
            self._transport.close()  # type: ignore[no-untyped-call]  # the library declares no type

    @property
    def _writer(self) -> asyncio.StreamWriter | None:
        writer: asyncio.StreamWriter | None = getattr(self._transport, "_io_writer", None)
        return writer


class TlsClient(MeshClient):
    """A client that speaks TLS or not at all, and reads the certificates anew for each handshake.

    The library's own goes on in the clear, password included, with a server that does not ask for TLS. Whoever sits
    between could make it look like that.
    """

    def __init__(self, tls: Tls) -> None:
        super().__init__()
        self._files = tls

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """Of the next handshake."""
        return self._files.context()

    def _connect_command(self) -> bytes:
        """Called when the line stands, and before anything about us is said."""
        writer = self._writer
        if writer is None or writer.get_extra_info("ssl_object") is None:
            raise nats.errors.Error("the server does not offer TLS, and COMFYMESH_NATS_TLS_* or tls:// asks for it")
        command: bytes = super()._connect_command()
        return command
