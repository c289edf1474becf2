"""Answers leave in the order of their requests, whoever gives them."""

from __future__ import annotations

import asyncio

import pytest

from comfymesh.emulator.front import Front

QUICK = b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n"
OTHER = b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /other HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"


class Line(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closing


class Behind(asyncio.Protocol):
    """Stands for aiohttp, and keeps what it was handed."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.received.append(data)


class Stage:
    """A front that answers what is quick."""

    def __init__(self) -> None:
        self.behind, self.line = Behind(), Line()
        self.front = Front(self.behind, lambda data: b"answer" if data == QUICK else None)
        self.front.connection_made(self.line)

    @property
    def quick(self) -> int:
        return len(self.line.written)


@pytest.fixture
async def stage() -> Stage:
    return Stage()


async def test_what_it_knows_it_answers_and_hands_on_the_rest(stage: Stage) -> None:
    for data in (QUICK, OTHER):
        stage.front.data_received(data)
    assert (stage.line.written, stage.behind.received) == ([b"answer"], [OTHER])


async def test_while_aiohttp_has_one_to_answer_it_gets_what_comes(stage: Stage) -> None:
    for data in (OTHER, QUICK):
        stage.front.data_received(data)
    assert (stage.quick, stage.behind.received) == (0, [OTHER, QUICK])
    # It answers both, and nobody knows how many that makes: the connection is its own from now on.
    stage.front.behind_has_answered()
    stage.front.data_received(QUICK)
    assert stage.quick == 0


@pytest.mark.parametrize("request_", [OTHER, POST])
async def test_after_the_answer_it_is_its_turn_again(stage: Stage, request_: bytes) -> None:
    stage.front.data_received(request_)
    stage.front.behind_has_answered()
    stage.front.data_received(QUICK)
    assert stage.quick == 1


@pytest.mark.parametrize(
    "data",
    [
        OTHER[:-2],
        OTHER + OTHER,
        POST[:-1],
        POST + b"more",
        b"POST /other HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST /other HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
    ],
)
async def test_who_sends_pieces_or_goes_on_has_a_connection_with_aiohttp(stage: Stage, data: bytes) -> None:
    stage.front.data_received(data)
    stage.front.behind_has_answered()
    stage.front.data_received(QUICK)
    assert (stage.quick, stage.behind.received) == (0, [data, QUICK])


async def test_who_does_not_read_is_left_to_aiohttp(stage: Stage) -> None:
    stage.behind.pause_writing = stage.behind.resume_writing = lambda: None  # type: ignore[method-assign]
    stage.front.pause_writing()
    stage.front.data_received(QUICK)
    assert stage.quick == 0
    stage.front.behind_has_answered()
    stage.front.resume_writing()
    stage.front.data_received(QUICK)
    assert stage.quick == 1


async def test_nothing_is_written_to_a_line_that_closes(stage: Stage) -> None:
    stage.line.closing = True
    stage.front.data_received(QUICK)
    assert stage.quick == 0


async def test_aiohttp_hears_of_a_connection_that_lasts(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    now = asyncio.get_running_loop().time()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now + 61)
    stage.front.data_received(QUICK)
    stage.front.behind_has_answered()
    stage.front.data_received(QUICK)
    assert (stage.quick, stage.behind.received) == (1, [QUICK])
