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
