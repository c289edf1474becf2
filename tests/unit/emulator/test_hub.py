"""Events leave in order, those of one moment in one write."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import WebSocketReader

from comfymesh.emulator.faults import Faults
from comfymesh.emulator.hub import Hub
from comfymesh.emulator.outlet import Outlet, frame


class Line(asyncio.WriteTransport):
    """Keeps each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closing


@dataclass
class Stage:
    """A hub with two sockets, of `a` and of `b`."""

    crashed: asyncio.Event = field(default_factory=asyncio.Event)
    lines: dict[str, Line] = field(default_factory=lambda: {"a": Line(), "b": Line()})
    drained: int = 0
    gone: ConnectionError | None = None

    def __post_init__(self) -> None:
        self.hub = Hub(Faults({}), lambda _: self.crashed.set())
        for name, line in self.lines.items():
            self.hub.join(name, Outlet(web.WebSocketResponse(), line, self._drain))

    async def _drain(self) -> None:
        self.drained += 1
        if self.gone is not None:
            raise self.gone

    async def run(self) -> None:
        """Let the hub send what waits."""
        sending = asyncio.ensure_future(self.hub.run())
        for _ in range(5):
            await asyncio.sleep(0)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


def read(data: bytes) -> list[str | bytes]:
    """The messages in what was written, as a client's library reads them."""
    loop = asyncio.get_running_loop()
    queue = WebSocketDataQueue(BaseProtocol(loop), 1 << 30, loop=loop)
    failed, _ = WebSocketReader(queue, 0, compress=False, decode_text=True).feed_data(data)
    assert not failed
    return [message.data for message, *_ in queue._buffer]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
async def test_a_client_reads_messages_of_any_size(size: int) -> None:
    text, data = "é" * (size // 2), b"x" * size
    assert read(frame(text) + frame(data) + frame("")) == [text, data, ""]


async def test_what_waits_together_leaves_in_one_write_each_and_in_order() -> None:
    stage = Stage()
    stage.hub.send("first", {"n": 1}, None)
    stage.hub.send_frame(b"picture", "a")
    await asyncio.to_thread(stage.hub.send, "last", {"n": 2}, None)  # as the worker does
    await stage.run()
    found = {name: [read(data) for data in line.writes] for name, line in stage.lines.items()}
    first, last = json.dumps({"type": "first", "data": {"n": 1}}), json.dumps({"type": "last", "data": {"n": 2}})
    assert found == {"a": [[first, b"picture", last]], "b": [[first, last]]}
    assert stage.drained == 2


async def test_it_is_woken_again_by_what_comes_later() -> None:
    stage = Stage()
    sending = asyncio.ensure_future(stage.hub.run())
    for number in range(3):
        stage.hub.send("event", number, "a")
        for _ in range(5):
            await asyncio.sleep(0)
    assert len(stage.lines["a"].writes) == 3
    sending.cancel()


async def test_what_cannot_be_written_ends_the_instance_after_what_came_before_it() -> None:
    stage = Stage()
    stage.hub.send("before", 1, "a")
    stage.hub.send("bad", {"value": object()}, "a")
    stage.hub.send("after", 2, "a")
    await stage.run()
    assert stage.crashed.is_set()
    assert [read(data) for data in stage.lines["a"].writes] == [[json.dumps({"type": "before", "data": 1})]]


async def test_a_socket_that_is_gone_is_no_error() -> None:
    stage = Stage()
    stage.lines["a"].closing = True
    stage.hub.send("event", 1, None)
    await stage.run()
    assert (stage.lines["a"].writes, len(stage.lines["b"].writes)) == ([], 1)


async def test_a_reader_that_dies_while_it_is_waited_for_ends_nobody_elses_events() -> None:
    stage = Stage(gone=ConnectionResetError("Connection lost"))
    stage.hub.send("event", 1, None)
    await stage.run()
    assert [len(line.writes) for line in stage.lines.values()] == [1, 1]
