"""Answers of every kind and of none, in any pieces: what is read of them, what is refused, what is held."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfymesh.agent.http1.errors import BadResponseError, BrokenError
from comfymesh.agent.http1.response import ResponseReader

SHORT = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nServer: x\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;why=not\r\nde\r\n0\r\nTrailer: x\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nabc"
OLD = b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nabc"
LIMIT = 64 << 10


def reading(*pieces: bytes) -> ResponseReader:
    reader = ResponseReader()
    for piece in pieces:
        reader.feed(piece)
    return reader


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (SHORT, 200, b"{}"),
        (CHUNKED, 200, b"abcde"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nContent-Length: 5\r\n\r\n" + SHORT, 200, b"{}"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 1\r\n\r\nx", 302, b"x"),
        (b"HTTP/1.1 200 OK\r\ncontent-length:2\r\nContent-Encoding: Identity\r\n\r\nab", 200, b"ab"),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab", 200, b"ab"),
    ],
)
def test_an_answer_is_read_and_the_connection_good_for_the_next(answer: bytes, status: int, body: bytes) -> None:
    reader = reading(answer)
    assert (reader.status, reader.take(), reader.complete, reader.reusable) == (status, body, True, True)
    reader.begin()
    reader.feed(SHORT)
    assert (reader.status, reader.take(), reader.complete) == (200, b"{}", True)


@given(st.sampled_from([SHORT, CHUNKED, UNTIL_CLOSE, OLD]), st.lists(st.integers(0, 200)))
@settings(max_examples=60, deadline=None)
def test_it_does_not_matter_in_what_pieces_it_comes(answer: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(answer), *(cut % len(answer) for cut in cuts)})
    cut = reading(*(answer[begin:end] for begin, end in itertools.pairwise(edges)))
    whole = reading(answer)
    for reader in (cut, whole):
        reader.end()
    assert (cut.status, cut.take(), cut.complete) == (whole.status, whole.take(), whole.complete)


@pytest.mark.parametrize("answer", [UNTIL_CLOSE, OLD])
def test_without_a_length_the_end_of_the_connection_is_the_end(answer: bytes) -> None:
    reader = reading(answer)
    assert not reader.complete
    reader.end()
    assert (reader.take(), reader.complete, reader.reusable) == (b"abc", True, False)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nServer:", SHORT[:-1], CHUNKED[:-2], b"HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_an_answer_that_breaks_off_is_none(answer: bytes) -> None:
    reader = reading(answer)
    assert not reader.complete
    with pytest.raises(BrokenError, match="before its answer was complete"):
        reader.end()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-nonsense\r\n\r\n",
        b"HTTP/3.1 200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\x00c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(BadResponseError):
        reading(answer)


@pytest.mark.parametrize(
    ("begun", "flood"),
    [
        (b"", b"\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 ", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"A"),
        (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
        (b"HTTP/1.1 200 OK\r\nA: ", b"b"),
    ],
)
@pytest.mark.parametrize("size", [1_000, 8 * LIMIT])
def test_a_head_without_end_is_given_up(begun: bytes, flood: bytes, size: int) -> None:
    reader = reading(begun)
    piece = flood * (size // len(flood))
    with pytest.raises(BadResponseError, match=r"no body"):  # noqa: PT012  # which one is too many does not matter
        for _ in range(LIMIT // len(piece) + 2):
            reader.feed(piece)


@pytest.mark.parametrize(
    "begun", [b"1;", b"0\r\nTrailer: ", b"0\r\n" + b"Trailer: x\r\n" * (LIMIT // 8), b"2\r\nab\r\n" + b"0" * 100]
)
def test_framing_without_end_is_given_up(begun: bytes) -> None:
    reader = reading(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with pytest.raises(BadResponseError):  # noqa: PT012  # as above
        reader.feed(begun)
        for _ in range(2 * LIMIT // 1000):
            reader.feed(b"x" * 1000)


@pytest.mark.parametrize("junk", [b"junk", SHORT, b"HTTP/1.1 100 Continue\r\n\r\n", b"x" * (4 * LIMIT)])
@pytest.mark.parametrize("apart", [False, True])
def test_whatever_follows_an_answer_costs_the_connection(junk: bytes, *, apart: bool) -> None:
    reader = reading(SHORT, junk) if apart else reading(SHORT + junk)
    assert (reader.take(), reader.complete, reader.reusable) == (b"{}", True, False)


def test_a_server_that_will_close_is_not_asked_again() -> None:
    reader = reading(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
    assert (reader.take(), reader.complete, reader.reusable) == (b"x", True, False)


@given(st.lists(st.binary(max_size=200), max_size=20), st.sampled_from([b"", SHORT[:60], CHUNKED[:60]]))
@settings(max_examples=100, deadline=None)
def test_no_bytes_do_more_than_be_refused(pieces: list[bytes], begun: bytes) -> None:
    try:
        reader = reading(begun, *pieces)
        reader.end()
    except BrokenError:
        return
    assert len(reader.body) <= sum(map(len, pieces))
