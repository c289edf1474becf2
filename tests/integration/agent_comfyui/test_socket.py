"""The socket is kept, whatever happens to it."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from websockets.asyncio.server import Server, ServerConnection, serve

from comfymesh.agent.comfyui.events import FeatureFlags, Status, TextProgress
from comfymesh.agent.comfyui.protocol import HELLO
from comfymesh.agent.comfyui.socket import EventSocket, SocketTimings

from .conftest import SOCKET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from comfymesh.agent.comfyui.events import Event

    from .fake_comfyui import FakeComfy


class Ears:
    def __init__(self) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.states: asyncio.Queue[str | None] = asyncio.Queue()


def status(remaining: int) -> str:
    return json.dumps({"type": "status", "data": {"status": {"exec_info": {"queue_remaining": remaining}}}})


def address(server: Server) -> str:
    return f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


@asynccontextmanager
async def listening(url: str, ears: Ears, timings: SocketTimings = SOCKET) -> AsyncIterator[EventSocket]:
    socket = EventSocket(
        url.replace("http", "ws") + "/ws",
        ears.events.put_nowait,
        ears.states.put_nowait,
        timings=timings,
        rng=random.Random(0),
    )
    socket.start()
    try:
        yield socket
    finally:
        await socket.close()


async def test_it_counts_as_connected_from_its_first_status_on(fake: FakeComfy) -> None:
    ears = Ears()
    async with listening(fake.url, ears) as socket:
        client_id = await ears.states.get()
        assert await ears.events.get() == Status(0, client_id)
        assert socket.client_id == client_id


async def test_its_first_message_are_our_feature_flags(fake: FakeComfy) -> None:
    async with listening(fake.url, Ears()):
        await fake.until(lambda: fake.first_messages == [HELLO])


async def test_events_of_any_size_arrive_in_order(fake: FakeComfy) -> None:
    ears = Ears()
    async with listening(fake.url, ears):
        await fake.until(lambda: fake.first_messages)
        await fake.send("feature_flags", padding="x" * (8 << 20))
        await fake.send_raw(b"\0\0\0\3\0\0\0\1" + b"2step 1")
        await ears.events.get()
        assert isinstance(await ears.events.get(), FeatureFlags)
        assert await ears.events.get() == TextProgress("2", "step 1")


async def test_what_comes_in_pieces_overtakes_nothing_and_nothing_overtakes_it() -> None:
    ears = Ears()

    async def tell(socket: ServerConnection) -> None:
        await socket.send(status(0))
        await socket.recv()
        for number in range(1, 4):
            await socket.send(status(number))
            await socket.send([status(10 + number)[:20], status(10 + number)[20:]])
        await socket.wait_closed()

    async with serve(tell, "127.0.0.1", 0) as server, listening(address(server), ears):
        told = [await ears.events.get() for _ in range(7)]
    assert [event.queue_remaining for event in told if isinstance(event, Status)] == [0, 1, 11, 2, 12, 3, 13]


async def test_a_server_that_greets_nobody_is_left() -> None:
    ears, calls = Ears(), itertools.count()

    async def greet_the_second(socket: ServerConnection) -> None:
        if next(calls):
            await socket.send(status(0))
        await socket.wait_closed()

    timings = replace(SOCKET, open=0.05)
    async with serve(greet_the_second, "127.0.0.1", 0) as server, listening(address(server), ears, timings):
        assert await ears.states.get() is not None


async def test_a_lost_connection_is_told_and_replaced_under_another_client_id(fake: FakeComfy) -> None:
    ears = Ears()
    async with listening(fake.url, ears):
        first = await ears.states.get()
        await fake.until(lambda: fake.first_messages)
        await fake.drop_sockets()
        assert await ears.states.get() is None
        second = await ears.states.get()
    assert None not in (first, second)
    assert first != second


async def test_it_waits_for_a_server_that_is_not_there_yet(fake: FakeComfy) -> None:
    await fake.die()
    ears = Ears()
    async with listening(fake.url, ears) as socket:
        assert socket.client_id is None
        await fake.start()
        assert await ears.states.get() is not None


async def test_giving_up_a_connection_makes_a_new_one(fake: FakeComfy) -> None:
    ears = Ears()
    async with listening(fake.url, ears) as socket:
        first = await ears.states.get()
        socket.reconnect("the test says so")
        assert await ears.states.get() is None
        assert await ears.states.get() not in (None, first)


async def test_giving_up_without_a_connection_does_nothing(fake: FakeComfy) -> None:
    await fake.die()
    async with listening(fake.url, Ears()) as socket:
        socket.reconnect("the test says so")
        assert socket.client_id is None


async def test_closing_tells_that_it_is_over_and_ends_its_task(fake: FakeComfy) -> None:
    ears = Ears()
    async with listening(fake.url, ears) as socket:
        await ears.states.get()
    assert ears.states.get_nowait() is None
    assert socket.client_id is None
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "comfyui-socket"]


async def test_nothing_is_told_from_when_it_is_closed_on() -> None:
    ears, told = Ears(), asyncio.Event()

    async def go_on_telling(socket: ServerConnection) -> None:
        await socket.send(status(0))
        await told.wait()
        await socket.send(status(1))
        await socket.wait_closed()

    async with serve(go_on_telling, "127.0.0.1", 0) as server, listening(address(server), ears) as socket:
        assert await ears.events.get() == Status(0)
        closing = asyncio.create_task(socket.close())
        await asyncio.sleep(0)
        told.set()
        await closing
    assert ears.events.empty()


async def test_closing_while_it_waits_for_a_server_ends_its_task(fake: FakeComfy) -> None:
    await fake.die()
    async with listening(fake.url, Ears()):
        pass
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "comfyui-socket"]
