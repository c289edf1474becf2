"""What only the bus on a real server can show."""

from __future__ import annotations

import asyncio
import gc
import json
from dataclasses import replace

import pytest

from comfymesh.bus import streams
from comfymesh.bus.client import Delivery
from comfymesh.bus.connection import Connection
from comfymesh.bus.jetstream import ApiError, JetStreamBus, StreamMismatchError
from comfymesh.bus.port import BusError, BusUnavailableError, Entry
from comfymesh.bus.streams import TASKS
from comfymesh.testkit.nats import NatsServer
from comfymesh.testkit.waiting import until

from .conftest import JetStreamWorld

TASK = "task.default.one"


async def test_what_was_confirmed_is_there_after_the_server_was_killed(jetstream: JetStreamWorld) -> None:
    sequences = await jetstream.bus.append([Entry(TASK, str(n).encode()) for n in range(50)])
    await jetstream.restart()
    found = await until(lambda: read(jetstream.bus), "the stream after the restart")
    assert found == sequences


async def test_opening_waits_for_a_server_that_is_not_there_yet(nats: NatsServer) -> None:
    await nats.kill()
    opening = asyncio.ensure_future(JetStreamBus.open(nats.url, "early"))
    done, _ = await asyncio.wait({opening}, timeout=0.3)
    assert not done
    await nats.start()
    async with await opening as bus:
        assert await bus.append([Entry(TASK, b"", expected=0)]) == [1]


async def test_a_server_that_does_not_answer_is_unavailable_after_the_timeout(nats: NatsServer) -> None:
    async with await JetStreamBus.open(nats.url, "maker"):
        pass  # has made the streams
    async with JetStreamBus(await Connection.open(nats.url, "patient"), timeout=0.2) as bus:
        nats.freeze()
        with pytest.raises(BusUnavailableError, match=rf"confirm {TASK} within"):
            await bus.append([Entry(TASK, b"")])
        with pytest.raises(BusUnavailableError, match=rf"confirm {TASK} and 999 more within"):
            await bus.append([Entry(TASK, b"")] * 1000)
        with pytest.raises(BusUnavailableError, match="answer"):
            await bus.last(TASKS, TASK)
        await nats.kill()


async def test_calls_under_way_when_the_connection_breaks_fail_at_once_and_leave_no_trace(nats: NatsServer) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with await JetStreamBus.open(nats.url, "broken") as bus:
        nats.freeze()
        calls = [asyncio.ensure_future(bus.append([Entry(TASK, b""), Entry(TASK, b"")])) for _ in range(3)]
        await until(lambda: len(bus._connection._waiting) == 6, "requests that wait for an answer")
        await nats.kill()
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(outcome, BusUnavailableError)
    del calls, outcome
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


@pytest.mark.parametrize("refusal", [RuntimeError("the handler is closed"), ConnectionResetError("Connection lost")])
async def test_a_connection_that_broke_with_something_to_send_is_closed_all_the_same(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    """Uvloop refuses to write to a transport that is closed, and the stream above it to wait until all is written."""

    def refuse(_: object) -> None:
        raise refusal

    connection = await Connection.open(nats.url, "broken")
    client = connection._client
    await nats.kill()
    await until(lambda: not connection.connected, "the end of the connection")
    assert client._transport is not None
    monkeypatch.setattr(client._transport, "writelines", refuse)
    client._pending, client._pending_data_size = [b"PING\r\n"], 6
    await connection.close()
    assert client.is_closed


async def test_a_message_that_a_subscriber_can_not_handle_costs_nothing_else(nats: NatsServer) -> None:
    heard: list[bytes] = []

    def hear(delivery: Delivery) -> None:
        heard.append(delivery.data)
        if delivery.data == b"bad":
            raise ValueError("as the test wants it")

    connection = await Connection.open(nats.url, "defect")
    await connection.subscribe("preview.default.one", hear)
    for data in (b"bad", b"good"):
        await connection.publish("preview.default.one", data)
    await until(lambda: heard == [b"bad", b"good"], "both messages")
    await connection.close()


@pytest.mark.parametrize("odd", ["\x0b", "\x0c", "\xff"])
async def test_a_subject_of_any_bytes_does_not_end_the_connections_of_those_who_listen(
    nats: NatsServer, odd: str
) -> None:
    async with JetStreamBus(await Connection.open(nats.url, "listener")) as bus:
        heard: asyncio.Queue[str] = asyncio.Queue()
        await bus.subscribe("progress.>", lambda message: heard.put_nowait(message.subject))
        await bus.publish("progress.first", b"")
        assert await heard.get() == "progress.first"
        _, line = await asyncio.open_connection("127.0.0.1", nats.port)
        subject = b"progress.a" + odd.encode("latin-1") + b"b"
        line.write(b"CONNECT {}\r\nPUB " + subject + b" 1\r\nx\r\nPUB progress.last 0\r\n\r\n")
        assert (await heard.get()).startswith("progress.a")
        assert await heard.get() == "progress.last"
        line.close()


async def test_streams_are_brought_up_to_date(nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await JetStreamBus.open(nats.url, "old") as bus:
        await bus.append([Entry(TASK, b"kept")])
    monkeypatch.setattr(streams, "ALL", (replace(TASKS, per_subject=2), *streams.ALL[1:]))
    async with await JetStreamBus.open(nats.url, "new") as bus:
        assert (await bus.call("STREAM.INFO.TASKS", {}))["config"]["max_msgs_per_subject"] == 2
        assert await read(bus) == [1]


async def test_a_stream_that_cannot_be_brought_up_to_date_is_refused_by_name(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await JetStreamBus.open(nats.url, "old"):
        pass
    monkeypatch.setattr(streams, "ALL", (replace(TASKS, storage=streams.Storage.MEMORY),))
    async with JetStreamBus(await Connection.open(nats.url, "new")) as bus:
        with pytest.raises(StreamMismatchError, match="TASKS"):
            await bus.ensure_streams()


async def test_what_is_acknowledged_is_on_the_disk(nats: NatsServer) -> None:
    async with await JetStreamBus.open(nats.url, "durable") as bus:
        assert (await bus.call("STREAM.INFO.TASKS", {}))["config"]["storage"] == "file"


@pytest.mark.parametrize("seen", [0, 1, 3, 5])
async def test_what_a_copy_lacks_is_read_from_the_leader(
    jetstream: JetStreamWorld, monkeypatch: pytest.MonkeyPatch, seen: int
) -> None:
    sequences = await jetstream.bus.append([Entry(TASK, str(n).encode()) for n in range(5)])
    await jetstream.bus.append([Entry("task.default.two", b"")])
    async with JetStreamBus(await Connection.open(jetstream.server.url, "replicated"), replicas=3) as bus:
        collect = bus._connection.collect

        async def lagging(subject: str, data: bytes, timeout: float) -> tuple[list[Delivery], int]:
            found, _ = await collect(subject, data, timeout)
            return found[:seen], 0

        monkeypatch.setattr(bus._connection, "collect", lagging)
        assert await read(bus) == sequences
        assert [m.sequence for m in await bus.after(TASKS, TASK, sequences[0], 2)] == sequences[1:3]
        assert await bus.after(TASKS, TASK, sequences[-1], 10) == []


async def test_a_page_that_the_server_cuts_short_is_not_the_end(
    jetstream: JetStreamWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few bytes it likes to answer with at once."""
    sequences = await jetstream.bus.append([Entry(TASK, bytes(10_000)) for _ in range(12)])
    collect, asked = jetstream.bus._connection.collect, list[int]()

    async def stingy(subject: str, data: bytes, timeout: float) -> tuple[list[Delivery], int]:
        answer = await collect(subject, json.dumps({**json.loads(data), "max_bytes": 25_000}).encode(), timeout)
        asked.append(len(answer[0]))
        return answer

    monkeypatch.setattr(jetstream.bus._connection, "collect", stingy)
    assert [m.sequence for m in await jetstream.bus.after(TASKS, TASK, 0, 100)] == sequences
    assert len(asked) > 2
    assert [m.sequence for m in await jetstream.bus.after(TASKS, TASK, 0, 7)] == sequences[:7]


async def test_only_a_message_that_is_not_there_is_none(jetstream: JetStreamWorld) -> None:
    async with JetStreamBus(await Connection.open(jetstream.server.url, "replicated"), replicas=3) as bus:
        assert await bus.last(TASKS, TASK) is None
        await bus.call("STREAM.DELETE.TASKS", {})
        with pytest.raises(ApiError, match="stream not found"):
            await bus.last(TASKS, TASK)
        with pytest.raises(BusError):
            await bus.after(TASKS, TASK, 0, 10)


async def read(bus: JetStreamBus) -> list[int]:
    try:
        return [message.sequence for message in await bus.after(TASKS, TASK, 0, 100)]
    except BusUnavailableError:
        return []
