"""Listeners of the benchmark on a real gRPC server: the cheap one hears what gRPC's own client hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from benchmarks import http2
from benchmarks.listener import Received, Source, by_frames, by_grpc

_STREAMS, _MESSAGES = 5, 40
_LARGE = 20_000
"""Bytes of a message, of more than one frame. All that a stream tells is many times what it may send unread."""

Follow = Callable[[bytes, Any], AsyncIterator[bytes]]
SOURCE = Source("/test.Test/Follow", lambda number: str(number).encode(), lambda _: 0)


@asynccontextmanager
async def _serving(follow: Follow) -> AsyncIterator[str]:
    server = grpc.aio.server()
    handlers = {"Follow": grpc.unary_stream_rpc_method_handler(follow)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@pytest.mark.parametrize("listen", [by_frames, by_grpc])
async def test_every_stream_is_heard_in_full_and_in_order(listen: Callable[..., Awaitable[Received]]) -> None:
    async def follow(request: bytes, _: Any) -> AsyncIterator[bytes]:  # grpc's handlers carry no types
        for message in _told(request):
            yield message
        await asyncio.Event().wait()

    async def all_of_it(received: Received) -> None:
        while len(received) < _STREAMS * _MESSAGES:  # noqa: ASYNC110  # it comes over a socket, and nobody says when
            await asyncio.sleep(0.005)

    async with _serving(follow) as target:
        received = await listen(SOURCE, target, range(_STREAMS), all_of_it)
    assert [at for at, _ in received] == sorted(at for at, _ in received)
    messages = [message for _, message in received if isinstance(message, bytes)]
    for number in range(_STREAMS):
        told = _told(b"%d" % number)
        assert [message for message in messages if message.startswith(b"%d " % number)] == told


async def test_a_stream_that_ends_is_an_error_and_no_figure() -> None:
    async def follow(_: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the server stops")

    with pytest.raises(http2.BrokenError, match="type 1 on stream 1"):
        async with _serving(follow) as target:
            await by_frames(SOURCE, target, range(1), lambda _: asyncio.Event().wait())


def _told(request: bytes) -> list[bytes]:
    """What a stream tells: small messages and large ones, by turns."""
    return [request + b" %d " % number + bytes(_LARGE if number % 2 else 0) for number in range(_MESSAGES)]
