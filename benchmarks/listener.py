"""A client process of `watchers`: watches tasks and notes how late it hears of their progress.

Says so on standard output once every watcher has been told its task. Ends at the first line on standard input, and
prints the milliseconds from publishing to receipt of every progress that it received, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from benchmarks import records
from comfymesh.client.transport import Transport
from comfymesh.v1 import task_service_pb2


async def listen(target: str, numbers: range) -> list[float]:
    """Watch until standard input says that it is enough."""
    transport, latencies = Transport(target), list[float]()
    begun = [asyncio.Event() for _ in numbers]
    watching = [
        asyncio.create_task(_watch(transport, n, seen, latencies)) for n, seen in zip(numbers, begun, strict=True)
    ]
    for seen in begun:
        await seen.wait()
    print("watching", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    await transport.close()
    return latencies


async def _watch(transport: Transport, number: int, begun: asyncio.Event, latencies: list[float]) -> None:
    name = f"tasks/{records.key(number).task_id}"
    async for message in transport.watch_task(task_service_pb2.WatchTaskRequest(name=name)):
        if message.HasField("progress"):
            latencies.append((time.time_ns() - message.progress.update_time.ToNanoseconds()) / 1e6)
        else:
            begun.set()


if __name__ == "__main__":
    target, first, count = sys.argv[1:]
    print(json.dumps(asyncio.run(listen(target, range(int(first), int(first) + int(count))))))
