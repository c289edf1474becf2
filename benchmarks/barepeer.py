"""The other process of `bare`: answers and sends with the libraries alone, nothing of the mesh between.

python -m benchmarks.barepeer NATS_URL    serves gRPC and listens to NATS; prints its port
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import nats
import uvloop
from nats.aio.msg import Msg

APPENDED, HEARD = "bare.appended", "heard"
"""Subjects: what the stream stores, and when the other process had it."""

FOLLOW = "/bare.Bare/Follow"
"""A stream that is told something again and again."""

_PADDING = bytes(80)
"""With the time before it, as large as a progress message of the mesh."""
_TICK_SECONDS = 0.001


class Crowd:
    """Streams that are told something again and again; who is slower is told the latest."""

    def __init__(self) -> None:
        self._latest: list[bytes] = []
        self._news: list[asyncio.Event] = []

    async def follow(self) -> AsyncIterator[bytes]:
        """A stream, as one watcher has it. Begins with an empty message."""
        number, news = len(self._news), asyncio.Event()
        self._news.append(news)
        self._latest.append(b"")
        while True:
            yield self._latest[number]
            await news.wait()
            news.clear()

    async def tell(self, rate: float, seconds: float) -> int:
        """Tell every stream something `rate` times a second, evenly spread over time; answers how often in all."""
        began, count, streams = time.perf_counter(), 0, itertools.cycle(range(len(self._news)))
        wanted = round(len(self._news) * rate * seconds)
        while count < wanted:
            due = min(wanted, int((time.perf_counter() - began) * len(self._news) * rate))
            for _ in range(count, due):
                number = next(streams)
                self._latest[number] = time.time_ns().to_bytes(8) + _PADDING
                self._news[number].set()
            count = due
            await asyncio.sleep(_TICK_SECONDS)
        return count


async def serve(nats_url: str) -> None:
    """Serve until terminated."""
    crowd = Crowd()
    connection = await nats.connect(nats_url)

    async def heard(_: Msg) -> None:
        await connection.publish(HEARD, time.monotonic_ns().to_bytes(8))

    async def echo(request: bytes, _: Any) -> AsyncIterator[bytes]:  # noqa: ANN401  # grpc's handlers carry no types
        yield request

    async def follow(_: bytes, __: Any) -> AsyncIterator[bytes]:  # noqa: ANN401
        async for message in crowd.follow():
            yield message

    async def tell(request: bytes, _: Any) -> bytes:  # noqa: ANN401
        return json.dumps(await crowd.tell(*json.loads(request))).encode()

    await connection.subscribe(f"{APPENDED}.delivered", cb=heard)
    handlers = {
        "Echo": grpc.unary_stream_rpc_method_handler(echo),
        "Follow": grpc.unary_stream_rpc_method_handler(follow),
        "Tell": grpc.unary_unary_rpc_method_handler(tell),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bare.Bare", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


def sent(message: bytes) -> int:
    """When a message of a stream was made, in nanoseconds since the epoch; 0 of the empty one that each begins with."""
    return int.from_bytes(message[:8])


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
