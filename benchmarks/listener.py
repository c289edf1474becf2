"""A client process of `watchers`: watches tasks and notes how late it hears of their progress.

python -m benchmarks.listener raw|sdk TARGET FIRST COUNT

Says so on standard output once every watcher has been told its task. Ends at the first line on standard input, and
prints the milliseconds from publishing to receipt of every progress that it received, as JSON. `sdk` reads each message
as our SDK does; `raw` keeps what gRPC hands over with its time, and reads it after the end, so that on a machine which
clients share with the API they take as little as they can.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterable, Callable

import grpc

from benchmarks import records
from comfymesh.client.transport import Transport
from comfymesh.v1 import task_service_pb2

_METHOD = "/comfymesh.v1.TaskService/WatchTask"

Received = list[tuple[int, task_service_pb2.WatchTaskResponse | bytes]]
"""When each message came, in nanoseconds, and what."""

Open = Callable[[task_service_pb2.WatchTaskRequest], AsyncIterable[task_service_pb2.WatchTaskResponse | bytes]]


async def raw(target: str, numbers: range) -> list[float]:
    """Watch with gRPC alone, until standard input says that it is enough."""
    write = task_service_pb2.WatchTaskRequest.SerializeToString
    async with grpc.aio.insecure_channel(target) as channel:
        return await _listen(channel.unary_stream(_METHOD, write, None), numbers)


async def sdk(target: str, numbers: range) -> list[float]:
    """Watch with the SDK."""
    transport = Transport(target)
    try:
        return await _listen(transport.watch_task, numbers)
    finally:
        await transport.close()


async def _listen(open_stream: Open, numbers: range) -> list[float]:
    received = Received()
    begun = [asyncio.Event() for _ in numbers]
    watching = [
        asyncio.create_task(_watch(open_stream, number, seen, received))
        for number, seen in zip(numbers, begun, strict=True)
    ]
    for seen in begun:
        await seen.wait()
    print("watching", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    return _latencies(received)


async def _watch(open_stream: Open, number: int, begun: asyncio.Event, received: Received) -> None:
    name = f"tasks/{records.key(number).task_id}"
    async for message in open_stream(task_service_pb2.WatchTaskRequest(name=name)):
        received.append((time.time_ns(), message))
        begun.set()  # The first one tells the task.


def _latencies(received: Received) -> list[float]:
    found = list[float]()
    for at, message in received:
        told = task_service_pb2.WatchTaskResponse.FromString(message) if isinstance(message, bytes) else message
        if told.HasField("progress"):
            found.append((at - told.progress.update_time.ToNanoseconds()) / 1e6)
    return found


if __name__ == "__main__":
    kind, target, first, count = sys.argv[1:]
    listen = {"raw": raw, "sdk": sdk}[kind]
    print(json.dumps(asyncio.run(listen(target, range(int(first), int(first) + int(count))))))
