"""A client process that listens to streams and notes how late it hears.

python -m benchmarks.listener frames|grpc|sdk mesh|bare TARGET FIRST COUNT

Says so on standard output once every stream has told its first message. Ends at the first line on standard input, and
prints the milliseconds from publishing to receipt of all that it received, as JSON. It only keeps what comes with
its time, and reads it after the end, since a machine that clients share with the API has no core for them.

`frames` reads a TCP connection as a load generator does (`benchmarks.http2`), `grpc` has grpc.aio hand messages over,
`sdk` has our SDK read them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from typing import cast

import grpc
import uvloop

from benchmarks import barepeer, http2, records
from comfymesh.client.transport import Transport
from comfymesh.v1 import task_service_pb2

Message = task_service_pb2.WatchTaskResponse | bytes
Received = list[tuple[int, Message]]
"""When each message came, in nanoseconds, and what."""

Enough = Callable[[Received], Awaitable[None]]
"""Awaited once all streams have begun, with what was received and what still will be; returns when that is enough."""


@dataclass(frozen=True, slots=True)
class Source:
    """What streams tell.

    Attributes:
        method: Path of the method.
        request: Opens the stream with a number.
        sent: When a message was published, in nanoseconds since the epoch; 0 for one that was not.
    """

    method: str
    request: Callable[[int], bytes]
    sent: Callable[[Message], int]


def _watch(number: int) -> task_service_pb2.WatchTaskRequest:
    return task_service_pb2.WatchTaskRequest(name=f"tasks/{records.key(number).task_id}")


def _sent_by_mesh(message: Message) -> int:
    told = task_service_pb2.WatchTaskResponse.FromString(message) if isinstance(message, bytes) else message
    return told.progress.update_time.ToNanoseconds() if told.HasField("progress") else 0


SOURCES = {
    "mesh": Source(
        "/comfymesh.v1.TaskService/WatchTask", lambda number: _watch(number).SerializeToString(), _sent_by_mesh
    ),
    "bare": Source(barepeer.FOLLOW, lambda _: b"", lambda message: barepeer.sent(bytes(message))),
}


async def by_frames(source: Source, target: str, numbers: range, enough: Enough) -> Received:
    """Listen to the frames of one connection.

    Raises:
        http2.BrokenError: the server did something other than telling.
    """
    host, _, port = target.rpartition(":")
    line = _Line(http2.Connection(target), [source.request(number) for number in numbers], source.method)
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: line, host, int(port))
    try:
        await line.begun
        waiting = asyncio.ensure_future(enough(line.received))
        await asyncio.wait([waiting, line.broken], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if line.broken.done():
            line.broken.result()
    finally:
        if not line.broken.cancel():
            line.broken.exception()  # Seen.
        transport.abort()
    return line.received


class _Line(asyncio.Protocol):
    """A connection, and what came over it so far."""

    def __init__(self, connection: http2.Connection, requests: list[bytes], path: str) -> None:
        self.received = Received()
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connection = connection
        self._silent = {connection.call(path, request) for request in requests}
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name.
        self._send()

    def data_received(self, data: bytes) -> None:
        at = time.time_ns()
        try:
            messages = self._connection.receive(data)
        except http2.BrokenError as error:
            self._break(error)
            return
        self.received.extend([(at, message) for _, message in messages])
        if self._silent:
            self._silent.difference_update(place for place, _ in messages)
            if not self._silent:
                self.begun.set_result(None)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(exc or http2.BrokenError("the line was cut"))

    def _send(self) -> None:
        if (sending := self._connection.to_send()) and self._transport is not None:
            self._transport.write(sending)

    def _break(self, error: Exception) -> None:
        for waiting in (self.begun, self.broken):
            if not waiting.done():
                waiting.set_exception(error)


async def by_grpc(source: Source, target: str, numbers: range, enough: Enough) -> Received:
    """Listen with grpc.aio."""
    async with grpc.aio.insecure_channel(target) as channel:
        open_stream = channel.unary_stream(source.method, None, None)
        return await _listen([open_stream(source.request(number)) for number in numbers], enough)


async def by_sdk(_: Source, target: str, numbers: range, enough: Enough) -> Received:
    """Watch tasks with our SDK."""
    transport = Transport(target)
    try:
        return await _listen([transport.watch_task(_watch(number)) for number in numbers], enough)
    finally:
        await transport.close()


async def _listen(streams: list[AsyncIterable[Message]], enough: Enough) -> Received:
    received = Received()
    begun = [asyncio.Event() for _ in streams]
    listening = [
        asyncio.create_task(_note(stream, seen, received)) for stream, seen in zip(streams, begun, strict=True)
    ]
    for seen in begun:
        await seen.wait()
    await enough(received)
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)
    return received


async def _note(stream: AsyncIterable[Message], begun: asyncio.Event, received: Received) -> None:
    async for message in stream:
        received.append((time.time_ns(), message))
        begun.set()


KINDS = {"frames": by_frames, "grpc": by_grpc, "sdk": by_sdk}


async def _until_told(_: Received) -> None:
    print("listening", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


def main(kind: str, source: str, target: str, first: str, count: str) -> None:
    """See the module."""
    told, numbers = SOURCES[source], range(int(first), int(first) + int(count))
    run = uvloop.run if kind == "frames" else asyncio.run
    received = run(KINDS[kind](told, target, numbers, _until_told))
    latencies = [(at - sent) / 1e6 for at, message in received if (sent := told.sent(message))]
    # Not `print`, which loses what a pipe does not take at once where PYTHONUNBUFFERED is set.
    with open(sys.stdout.fileno(), "w", closefd=False) as output:
        json.dump(latencies, output)


if __name__ == "__main__":
    main(*sys.argv[1:])
