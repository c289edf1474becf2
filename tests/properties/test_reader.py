"""Whatever a NATS server sends, and however it is cut, our reader hands on what the library's does."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from types import SimpleNamespace

import nats.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.protocol.parser import Parser

from comfymesh.bus.client import Delivery, EachMessage, MeshClient

SUBJECTS = st.sampled_from(["a", "mesh.progress.t.1", "_INBOX.x.1"])
PAYLOADS = st.one_of(st.binary(max_size=40), st.sampled_from([b"", b"\r\n", b"MSG a 1 1\r\nx\r\n", b"PING\r\n"]))
HEAD = b"NATS/1.0\r\na: b\r\n\r\n"
KNOWN = 3
"""Subscriptions; a message for one that has ended may still be on its way."""


@st.composite
def sent(draw: st.DrawFn) -> bytes:
    """Something that the server sends."""
    number, subject, data = draw(st.integers(1, KNOWN + 1)), draw(SUBJECTS), draw(PAYLOADS)
    reply = draw(st.sampled_from(["", "back.1 "]))
    match draw(st.sampled_from(["message", "message", "message", "headers", "control"])):
        case "message":
            return f"MSG {subject} {number} {reply}{len(data)}\r\n".encode() + data + b"\r\n"
        case "headers":
            size = len(HEAD) + len(data)
            return f"HMSG {subject} {number} {reply}{len(HEAD)} {size}\r\n".encode() + HEAD + data + b"\r\n"
        case _:
            return draw(st.sampled_from([b"+OK\r\n", b"PONG\r\n"]))


class Library(MeshClient):
    """Reads as the library does."""

    def __init__(self) -> None:
        super().__init__()
        self._ps = Parser(self)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        if sid in self._subs:
            self._subs[sid]._future.take(Delivery(subject.decode(), reply.decode(), data, headers or b""))


def heard(pieces: list[bytes], *, ours: bool) -> list[tuple[int, Delivery]]:
    client, found = MeshClient() if ours else Library(), list[tuple[int, Delivery]]()
    for number in range(1, KNOWN + 1):
        each = EachMessage(lambda delivery, number=number: found.append((number, delivery)))
        client._subs[number] = SimpleNamespace(_future=each)

    async def read() -> None:
        for piece in pieces:
            await client._ps.parse(piece)

    asyncio.run(read())
    return found


@given(st.lists(sent(), max_size=12), st.lists(st.integers(0, 400), max_size=6))
def test_it_reads_what_the_library_reads(all_sent: list[bytes], cuts: list[int]) -> None:
    data = b"".join(all_sent)
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[begin:end] for begin, end in pairwise(places)]
    assert heard(pieces, ours=True) == heard([data], ours=False)


@pytest.mark.parametrize("payload", [b"MSG forged 1 4\r\nevil\r\n", b"MSG x", b"PING\r\n", b"", b"\r\n"])
def test_a_payload_is_none_of_our_lines_wherever_it_is_cut(payload: bytes) -> None:
    data = b"MSG a 1 back %d\r\n%b\r\nMSG b 2 1\r\nx\r\n" % (len(payload), payload)
    whole = heard([data], ours=False)
    assert [delivery.data for _, delivery in whole] == [payload, b"x"]
    for first in range(len(data)):
        assert heard([data[:first], data[first:]], ours=True) == whole


@pytest.mark.parametrize("odd", [b"\xff", b"\x0b", b"1\x0c1"])
@pytest.mark.parametrize("head", [b"", b"NATS/1.0\r\n\r\n"])
def test_a_subject_of_any_bytes_harms_nobody(head: bytes, odd: bytes) -> None:
    """Those that a server lets through: everything but blanks, tabs and ends of lines."""
    sizes = b"%d %d" % (len(head), len(head) + 1) if head else b"1"
    line = b"%bMSG a.%b 1 %b %b" % (b"H" if head else b"", odd, odd, sizes)
    text = odd.decode(errors="replace")
    found = heard([line + b"\r\n" + head + b"x\r\n", b"MSG b 1 1\r\ny\r\n"], ours=True)
    assert [(told.subject, told.reply, told.data) for _, told in found] == [
        (f"a.{text}", text, b"x"),
        ("b", "", b"y"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"MSG a 1 +1\r\nx\r\n",
        b"MSG a 1 -2\r\n+OK\r\n",
        b"MSG a 1 x\r\n",
        b"MSG a x 1\r\n1\r\n",
        b"MSG a\r\n",
        b"HMSG 1\r\nx\r\n",
    ],
)
def test_what_is_no_message_is_an_error_of_the_protocol(data: bytes) -> None:
    with pytest.raises(nats.errors.ProtocolError):
        heard([data], ours=True)


@pytest.mark.parametrize("piece", [b"MSG " + b"x" * 65_532, b"x" * 65_534 + b"\r\n"])
def test_a_line_without_an_end_is_not_kept_for_ever(piece: bytes) -> None:
    with pytest.raises(nats.errors.ProtocolError):
        heard([piece] * 32, ours=True)


def test_a_message_may_be_longer_than_any_line() -> None:
    data = bytes(3 << 20)
    sent = b"MSG a 1 %d\r\n%b\r\n" % (len(data), data)
    pieces = [sent[begin : begin + 65_536] for begin in range(0, len(sent), 65_536)]
    assert [told.data for _, told in heard(pieces, ours=True)] == [data]


@pytest.mark.parametrize("cut", [b"MSG a 1 ", b"MSG a 1 20\r\nhalf"])
def test_nothing_of_a_line_that_ended_with_an_error_is_read_into_the_next(cut: bytes) -> None:
    """Between its error and its hanging up, a server may still send what others have published, or a part of it."""
    client, found = MeshClient(), list[bytes]()
    client._subs[1] = SimpleNamespace(_future=EachMessage(lambda delivery: found.append(delivery.data)))
    client._status, client.options, client._attempt_reconnect = Client.CONNECTED, {"allow_reconnect": True}, _nothing
    client._error_cb = _nothing

    async def read() -> None:
        await client._ps.parse(b"-ERR 'Maximum Connections Exceeded'\r\n" + cut)
        assert client.is_reconnecting
        await client._ps.parse(b"MSG a 1 3\r\nnew\r\n")

    asyncio.run(read())
    assert found == [b"new"]


async def _nothing(*_: object) -> None:
    pass
