"""A connection between its transport and whoever asks, neither of which keeps up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from comfymesh.agent.http1.connection import Connection, Patience
from comfymesh.agent.http1.errors import BrokenError

HIGH = 256 << 10
PATIENCE = Patience(silence=60.0)


class Transport(asyncio.Transport):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.reading = True
        self.aborted = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
async def connection(transport: Transport) -> AsyncIterator[Connection]:
    lost: list[Connection] = []
    connection = Connection(asyncio.get_running_loop(), lost.append)
    connection.connection_made(transport)
    yield connection
    if not lost:
        connection.connection_lost(None)
    assert lost == [connection]


async def turns() -> None:
    """Whatever can go on has gone on."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_is_read_than_is_taken(connection: Connection, transport: Transport) -> None:
    asking = asyncio.create_task(connection.ask((b"GET",), PATIENCE))
    await turns()
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    await asking
    connection.data_received(b"a" * (HIGH - 1))
    assert transport.reading
    connection.data_received(b"b")
    assert not transport.reading
    pieces = connection.pieces()
    assert len(await anext(pieces)) == HIGH
    assert not transport.reading
    more = asyncio.ensure_future(anext(pieces))
    await turns()
    assert transport.reading
    connection.data_received(b"c" * (1_000_000 - HIGH))
    assert len(await more) == 1_000_000 - HIGH
    assert await anext(pieces, None) is None
    assert transport.reading
    assert connection.leave()


class Clock(asyncio.AbstractEventLoop):
    """An event loop whose time is set."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def create_future(self) -> asyncio.Future[Any]:
        return self._loop.create_future()

    def call_at(self, when: float, callback: Any, *args: Any, **_: Any) -> asyncio.TimerHandle:
        del when
        return self._loop.call_later(3600.0, callback, *args)


@pytest.fixture
async def clock() -> Clock:
    return Clock(asyncio.get_running_loop())


async def body(clock: Clock, transport: Transport, size: int) -> tuple[Connection, AsyncIterator[bytes]]:
    """A body of which 20 bytes have to come in 60 s of waiting."""
    connection = Connection(clock, lambda _: None)
    connection.connection_made(transport)
    asking = asyncio.create_task(connection.ask((b"GET",), Patience(silence=60.0, least=20)))
    await turns()
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    await asking
    return connection, connection.pieces()


async def take(clock: Clock, connection: Connection, pieces: AsyncIterator[bytes], size: int) -> bytes:
    """A piece that comes after half of the longest silence."""
    piece = asyncio.ensure_future(anext(pieces))
    await turns()
    clock.now += 30.0
    connection.data_received(b"a" * size)
    return await piece


async def test_a_body_that_trickles_is_given_up(clock: Clock, transport: Transport) -> None:
    """No silence is longer than it may be, so without a least speed it would never end."""
    connection, pieces = await body(clock, transport, 1000)
    await take(clock, connection, pieces, 9)
    with pytest.raises(TimeoutError, match="no more than 18 bytes in 60 s"):
        await take(clock, connection, pieces, 9)
    assert transport.aborted


async def test_a_body_that_is_slow_and_not_too_slow_is_read_to_its_end(clock: Clock, transport: Transport) -> None:
    connection, pieces = await body(clock, transport, 100)
    for _ in range(10):
        assert len(await take(clock, connection, pieces, 10)) == 10
    assert await anext(pieces, None) is None


async def test_a_body_is_not_slow_while_nobody_takes_it(clock: Clock, transport: Transport) -> None:
    connection, pieces = await body(clock, transport, 30)
    for _ in range(30):
        connection.data_received(b"a")
        assert await anext(pieces) == b"a"
        clock.now += 100.0
    assert await anext(pieces, None) is None


async def test_the_last_piece_may_be_small(clock: Clock, transport: Transport) -> None:
    connection, pieces = await body(clock, transport, 1)
    piece = asyncio.ensure_future(anext(pieces))
    await turns()
    clock.now += 60.0
    connection.data_received(b"a")
    assert await piece == b"a"


async def test_a_whole_body_is_read_up_to_its_limit(connection: Connection, transport: Transport) -> None:
    asking = asyncio.create_task(connection.ask((b"GET",), PATIENCE))
    await turns()
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    await asking
    reading = asyncio.create_task(connection.read(2_000_000))
    await turns()
    connection.data_received(b"a" * 999_999)
    assert transport.reading
    connection.data_received(b"a")
    assert len(await reading) == 1_000_000


async def test_no_more_is_written_than_is_taken(connection: Connection, transport: Transport) -> None:
    connection.pause_writing()
    asking = asyncio.create_task(connection.ask((b"a", b"b"), PATIENCE))
    await turns()
    assert transport.written == []
    connection.resume_writing()
    await turns()
    assert transport.written == [b"a", b"b"]
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await asking
    assert connection.leave()


async def test_an_answer_ends_what_is_written_and_the_connection(connection: Connection, transport: Transport) -> None:
    connection.pause_writing()
    asking = asyncio.create_task(connection.ask((b"a", b"b"), PATIENCE))
    await turns()
    connection.data_received(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    await asking
    assert (connection.status, transport.written) == (413, [])
    assert not connection.leave()
    assert transport.aborted


async def test_a_connection_that_ends_while_it_is_written_to_is_broken(connection: Connection) -> None:
    connection.pause_writing()
    asking = asyncio.create_task(connection.ask((b"a", b"b"), PATIENCE))
    await turns()
    connection.connection_lost(ConnectionResetError("reset by peer"))
    with pytest.raises(BrokenError, match="ConnectionResetError reset by peer"):
        await asking


async def test_an_end_while_nobody_asks_ends_the_connection(connection: Connection, transport: Transport) -> None:
    connection.eof_received()
    assert not connection.open
    assert transport.aborted


@pytest.mark.parametrize("last", [None, ConnectionResetError("reset by peer")])
async def test_an_answer_that_was_complete_stays_so(connection: Connection, last: Exception | None) -> None:
    asking = asyncio.create_task(connection.ask((b"GET",), PATIENCE))
    await turns()
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    connection.connection_lost(last)
    await asking
    assert await connection.read(10) == b"ok"
    assert not connection.leave()
