"""Whatever a NATS server sends, and however it is cut, our reader hands on what the library's does."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from types import SimpleNamespace

import nats.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st
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


def heard(pieces: list[bytes], *, ours: bool) -> list[tuple[int, Delivery]]:
    client, found = MeshClient(), list[tuple[int, Delivery]]()
    if not ours:
        client._ps = Parser(client)
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


@pytest.mark.parametrize("data", [b"MSG a 1 x\r\n", b"MSG a x 1\r\n1\r\n", b"MSG a\r\n"])
def test_what_is_no_message_is_an_error_of_the_protocol(data: bytes) -> None:
    with pytest.raises(nats.errors.ProtocolError):
        heard([data], ours=True)
