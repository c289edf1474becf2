"""Whatever answers in the place of NATS: it is tried again, nothing is left open, and NATS is found once it is back."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from comfymesh.bus import connection as module
from comfymesh.bus.connection import Connection
from comfymesh.bus.port import BusUnavailableError
from comfymesh.testkit.waiting import until

INFO = (
    b'INFO {"server_id": "X", "server_name": "fake", "version": "2.15.1", "max_payload": 1048576, "headers": true}\r\n'
)
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def saying(text: bytes) -> Answer:
    """Says something and waits until the client has hung up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        while await reader.read(4096):
            pass

    return answer


def hanging_up(text: bytes) -> Answer:
    """Says something and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)

    return answer


async def well(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As NATS does, as far as a client without a request sees it."""
    writer.write(INFO)
    while line := await reader.readline():
        if line.startswith(b"PING"):
            writer.write(b"PONG\r\n")


def then(text: bytes) -> Answer:
    """As NATS does, and once the client takes itself for connected something else."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INFO)
        while not (await reader.readline()).startswith(b"PING"):
            pass
        writer.write(b"PONG\r\n" + text)

    return answer


WAYS = {
    "hangs up": hanging_up(b""),
    "hangs up after its greeting": hanging_up(INFO),
    "hangs up after the handshake": then(b""),
    "never answers": saying(b""),
    "never answers the first ping": saying(INFO),
    "speaks HTTP": hanging_up(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "greets with a list": saying(b"INFO []\r\n"),
    "greets without a word": saying(b"INFO\r\n"),
    "greets with broken JSON": saying(b'INFO {"a\r\n'),
    "says a line without an end": saying(b"x" * 200_000),
    "refuses in another encoding": saying(INFO + b"-ERR '\xff'\r\n"),
    "refuses": hanging_up(INFO + b"-ERR 'Authorization Violation'\r\n"),
    "refuses after the handshake": then(b"-ERR 'Authorization Violation'\r\n"),
}


class Place:
    """Where NATS should be: each try meets another of WAYS, until all `is_well`."""

    def __init__(self) -> None:
        self.is_well = True
        self.met: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        way = list(WAYS)[len(self.met) % len(WAYS)]
        answer = well if self.is_well else WAYS[way]
        self.met.append(way)
        try:
            await answer(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    async def was_tried(self, times: int) -> None:
        await until(lambda: len(self.met) >= times, f"try {times}, after the ways {self.met}")


@asynccontextmanager
async def place() -> AsyncIterator[tuple[Place, str]]:
    made = Place()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    async with server:
        yield made, f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HANDSHAKE_SECONDS", 0.02)
    monkeypatch.setattr(module, "_RECONNECT_WAIT", 0.001)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_it_comes_back_from_whatever_stood_in_the_place_of_nats_and_leaves_nothing_open() -> None:
    async with place() as (at, url):
        connection = await Connection.open(url, "test")
        before = descriptors()
        at.is_well, at.met = False, []
        await connection._client._process_op_err(ConnectionError("the test"))
        await at.was_tried(4 * len(WAYS))
        at.is_well = True
        await until(lambda: connection.connected and descriptors() <= before, "one connection and no more")
        await connection.close()
    gc.collect()  # what was left open warns, and pytest makes an error of it


async def test_a_start_goes_on_until_nats_answers_and_leaves_nothing_open() -> None:
    async with place() as (at, url):
        before = descriptors()
        at.is_well, at.met = False, []
        opening = asyncio.create_task(Connection.open(url, "test"))
        await at.was_tried(2 * len(WAYS))
        at.is_well = True
        connection = await opening
        await until(lambda: connection.connected, "the connection")
        await connection.close()
        await until(lambda: descriptors() <= before, "no connection")
    gc.collect()


async def test_a_start_that_is_given_up_leaves_nothing_open() -> None:
    async with place() as (at, url):
        before = descriptors()
        at.is_well, at.met = False, list(WAYS)[: list(WAYS).index("never answers")]
        opening = asyncio.create_task(Connection.open(url, "test"))
        await at.was_tried(len(at.met) + 1)
        opening.cancel()
        await asyncio.wait([opening])
        await until(lambda: descriptors() <= before, "no connection")
        with pytest.raises(BusUnavailableError):
            await Connection.open(url, "test", patient=False)
        await until(lambda: descriptors() <= before, "no connection")
    gc.collect()
