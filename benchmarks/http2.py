"""As much of HTTP/2 as a client of gRPC streams needs. Pure: bytes in, messages out. The only module that knows frames.

A load generator on the same cores as the server must not take them from it. grpc's Python client spends nearly as much
as the server; this spends a third of that, and leaves nothing out that the server would notice: requests, flow
control of streams and of the connection, settings and pings (RFC 9113), messages behind their length
(PROTOCOL-HTTP2.md of gRPC). Of headers it reads nothing but whether they end a stream: that one ends, or anything else
that is not the plain course, is an error.
"""

from __future__ import annotations

import struct
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_HEAD = struct.Struct(">HBBBI")
"""Of a frame: length (24 bits in two parts), type, flags, stream."""
_MESSAGE = struct.Struct(">BI")
"""Before each message: whether it is compressed, and its length."""
_DEFAULT_WINDOW = 65_535
_WINDOW = 1_048_576
"""Bytes that the other end may send before it is given more, on each stream and on the connection: as gRPC's client in
Java has it. The default is what 500 streams of ten messages a second send in a tenth of a second."""
_INITIAL_WINDOW_SIZE = 0x4
_END_STREAM, _ACK, _END_HEADERS, _PADDED = 0x1, 0x1, 0x4, 0x8
_LONGEST = 126
"""Lengths in headers beyond this would need more than one byte."""


class Kind(IntEnum):
    """Types of frames."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8


_READ_OVER = frozenset({Kind.WINDOW_UPDATE})
"""Requests are far smaller than the window that they have."""


class BrokenError(Exception):
    """The server did something other than sending messages on streams that stay open."""


class Connection:
    """A client's end of one connection.

    Args:
        authority: Whom the client means to talk to, as host:port.
    """

    def __init__(self, authority: str) -> None:
        self._authority = authority
        settings = frame(Kind.SETTINGS, content=struct.pack(">HI", _INITIAL_WINDOW_SIZE, _WINDOW))
        self._sending = bytearray(PREFACE + settings + _window_update(0, _WINDOW - _DEFAULT_WINDOW))
        self._rest = b""
        self._streams: list[_Stream] = []
        self._taken = 0

    def call(self, path: str, request: bytes) -> int:
        """Open a stream with its only request; answers its place among the streams, counted from 0."""
        number = 2 * len(self._streams) + 1
        self._streams.append(_Stream(number))
        self._sending += frame(Kind.HEADERS, _END_HEADERS, number, _headers(self._authority, path))
        self._sending += frame(Kind.DATA, _END_STREAM, number, _MESSAGE.pack(0, len(request)) + request)
        return len(self._streams) - 1

    def to_send(self) -> bytes:
        """What is to be sent now; each byte is answered once."""
        sending, self._sending = bytes(self._sending), bytearray()
        return sending

    def receive(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take what has been received; answers complete messages, each with the place of its stream.

        Raises:
            BrokenError: a stream ended, or something came that has no place here.
        """
        data = self._rest + data if self._rest else data
        messages: list[tuple[int, bytes]] = []
        at, end = 0, len(data)
        while end - at >= _HEAD.size:
            high, low, kind, flags, number = _HEAD.unpack_from(data, at)
            last = at + _HEAD.size + (high << 8 | low)
            if last > end:
                break
            content, at = data[at + _HEAD.size : last], last
            if kind == Kind.DATA and not flags:
                self._take(number >> 1, content, messages)
            else:
                self._control(kind, flags, number, content)
        self._rest = data[at:]
        return messages

    def _take(self, place: int, content: bytes, messages: list[tuple[int, bytes]]) -> None:
        stream = self._streams[place]
        messages.extend((place, message) for message in stream.messages(content))
        self._taken = self._give_back(0, self._taken + len(content))
        stream.taken = self._give_back(stream.number, stream.taken + len(content))

    def _give_back(self, number: int, taken: int) -> int:
        """The other end is told what was read once that is half of what it may send; answers what it was not told."""
        if taken < _WINDOW // 2:
            return taken
        self._sending += _window_update(number, taken)
        return 0

    def _control(self, kind: int, flags: int, number: int, content: bytes) -> None:
        if (kind == Kind.HEADERS and flags == _END_HEADERS) or kind in _READ_OVER:
            return
        if kind not in {Kind.SETTINGS, Kind.PING}:
            raise BrokenError(f"frame of type {kind} on stream {number}, flags {flags:#x}: {content!r}")
        if not flags & _ACK:
            self._sending += frame(kind, _ACK, 0, content if kind == Kind.PING else b"")


class _Stream:
    """What came on a stream, cut into messages."""

    __slots__ = ("_rest", "number", "taken")

    def __init__(self, number: int) -> None:
        self.number = number
        self.taken = 0
        self._rest = b""

    def messages(self, content: bytes) -> list[bytes]:
        data, found, at = self._rest + content, list[bytes](), 0
        while len(data) - at >= _MESSAGE.size:
            compressed, length = _MESSAGE.unpack_from(data, at)
            begin = at + _MESSAGE.size
            if compressed:
                raise BrokenError(f"a compressed message on stream {self.number}, which nobody asked for")
            if len(data) - begin < length:
                break
            at = begin + length
            found.append(data[begin:at])
        self._rest = data[at:]
        return found


def frame(kind: int, flags: int = 0, number: int = 0, content: bytes = b"") -> bytes:
    """One frame."""
    return _HEAD.pack(len(content) >> 8, len(content) & 0xFF, kind, flags, number) + content


def _window_update(number: int, more: int) -> bytes:
    """Lets the other end send so many bytes more, on a stream or, as number 0, on the connection."""
    return frame(Kind.WINDOW_UPDATE, 0, number, more.to_bytes(4))


def _headers(authority: str, path: str) -> bytes:
    """The headers of a call, each as it is and to be remembered by nobody (RFC 7541, 6.2.2), so none is compressed."""
    told = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": authority,
        "content-type": "application/grpc",
        "te": "trailers",
    }
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in told.items())


def _text(text: str) -> bytes:
    data = text.encode()
    if len(data) > _LONGEST:
        raise ValueError(f"{text!r} is longer than {_LONGEST} bytes")
    return bytes((len(data),)) + data
