"""The frames that the cheap listener reads and writes."""

from __future__ import annotations

import pytest
from benchmarks.http2 import PREFACE, BrokenError, Connection, Kind, frame
from hypothesis import given
from hypothesis import strategies as st

_HEADERS = frame(Kind.HEADERS, 0x4, 1, b"\x88")
_HALF_A_WINDOW = 524_288
_MOST = 16_384


def test_the_preface_goes_before_the_calls_and_each_byte_goes_out_once() -> None:
    connection = Connection("host:1")
    assert connection.call("/service/Method", b"one") == 0
    assert connection.call("/service/Method", b"two") == 1
    sent = connection.to_send()
    settings = frame(Kind.SETTINGS, 0, 0, b"\0\4" + (2 * _HALF_A_WINDOW).to_bytes(4))
    assert sent.startswith(
        PREFACE + settings + frame(Kind.WINDOW_UPDATE, 0, 0, (2 * _HALF_A_WINDOW - 65_535).to_bytes(4))
    )
    assert frame(Kind.DATA, 0x1, 1, b"\0\0\0\0\3one") in sent
    assert frame(Kind.DATA, 0x1, 3, b"\0\0\0\0\3two") in sent
    assert sent.count(b"\x05:path\x0f/service/Method") == 2
    assert connection.to_send() == b""


@given(st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=40)), max_size=8), st.data())
def test_messages_are_the_same_however_streams_frames_and_reads_cut_them(
    told: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    connection, sent = _calling(3), _HEADERS
    for place, message in told:
        coded = b"\0" + len(message).to_bytes(4) + message
        cut = data.draw(st.integers(0, len(coded)))
        sent += b"".join(frame(Kind.DATA, 0, 2 * place + 1, part) for part in (coded[:cut], coded[cut:]))
    found, size = [], data.draw(st.integers(1, len(sent)))
    for at in range(0, len(sent), size):
        found += connection.receive(sent[at : at + size])
    assert found == told


def test_settings_and_pings_are_answered_and_their_answers_are_not() -> None:
    connection = _calling(1)
    connection.receive(frame(Kind.SETTINGS, 0, 0, b"\0\3\0\0\0\x64") + frame(Kind.PING, 0, 0, b"12345678"))
    assert connection.to_send() == frame(Kind.SETTINGS, 0x1) + frame(Kind.PING, 0x1, 0, b"12345678")
    connection.receive(frame(Kind.SETTINGS, 0x1) + frame(Kind.PING, 0x1, 0, b"12345678"))
    connection.receive(frame(Kind.WINDOW_UPDATE, 0, 0, b"\0\0\0\1"))
    assert connection.to_send() == b""


def test_what_was_read_is_given_back_to_the_stream_and_to_the_connection() -> None:
    connection = _calling(2)
    half = b"\0" + (_HALF_A_WINDOW - 5).to_bytes(4) + bytes(_HALF_A_WINDOW - 5)
    parts = [half[at : at + _MOST] for at in range(0, len(half), _MOST)]
    middle = len(parts) // 2
    for part in parts[:middle]:
        for number in (1, 3):
            assert connection.to_send() == b""
            connection.receive(frame(Kind.DATA, 0, number, part))
    whole = frame(Kind.WINDOW_UPDATE, 0, 0, _HALF_A_WINDOW.to_bytes(4))
    assert connection.to_send() == whole
    for part in parts[middle:]:
        connection.receive(frame(Kind.DATA, 0, 3, part))
    assert connection.to_send() == frame(Kind.WINDOW_UPDATE, 0, 3, _HALF_A_WINDOW.to_bytes(4))


@pytest.mark.parametrize(
    "broken",
    [
        frame(Kind.HEADERS, 0x5, 1, b"\x88"),
        frame(Kind.RST_STREAM, 0, 1, bytes(4)),
        frame(Kind.GOAWAY, 0, 0, bytes(8)),
        frame(Kind.DATA, 0x1, 1, b""),
        frame(Kind.DATA, 0x8, 1, b"\1\0"),
        frame(Kind.DATA, 0, 1, b"\1\0\0\0\0"),
    ],
    ids=["ended", "reset", "goes away", "ended with data", "padded", "compressed"],
)
def test_what_is_not_the_plain_course_is_an_error(broken: bytes) -> None:
    with pytest.raises(BrokenError):
        _calling(1).receive(broken)


def test_headers_that_need_more_than_one_byte_for_a_length_are_refused() -> None:
    with pytest.raises(ValueError, match="longer than"):
        Connection("host:1").call("/" + "a" * 200, b"")


def _calling(streams: int) -> Connection:
    connection = Connection("host:1")
    for _ in range(streams):
        connection.call("/service/Method", b"")
    connection.to_send()
    return connection
