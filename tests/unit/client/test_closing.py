"""What a client that is closed leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from comfymesh.client import AsyncClient, RetryPolicy
from comfymesh.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc


class Silent(task_service_pb2_grpc.TaskServiceServicer):
    """Has nothing to tell, but that it is there."""

    def __init__(self) -> None:
        self.watched = asyncio.Semaphore(0)

    async def WatchTasks(  # noqa: N802  # as the proto has it
        self, _request: object, _context: object
    ) -> AsyncIterator[task_service_pb2.WatchTasksResponse]:
        self.watched.release()
        yield task_service_pb2.WatchTasksResponse(heartbeat=task_pb2.Heartbeat())
        await asyncio.Event().wait()


async def test_a_watch_ends_with_its_client_and_is_not_begun_again() -> None:
    server, servicer = grpc.aio.server(), Silent()
    task_service_pb2_grpc.add_TaskServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = AsyncClient(f"127.0.0.1:{port}", retries=RetryPolicy(first_pause=0.0))

    async def watch() -> None:
        async for _ in client.watch_tasks():
            pass

    watching = asyncio.create_task(watch())
    await servicer.watched.acquire()
    await client.close()
    begun_again = asyncio.create_task(servicer.watched.acquire())
    try:
        await asyncio.wait({watching, begun_again}, timeout=40, return_when=asyncio.FIRST_COMPLETED)
        assert not begun_again.done()
        with pytest.raises(RuntimeError, match="the client is closed"):
            await watching
        with pytest.raises(RuntimeError, match="the client is closed"):
            await client.get("one")
    finally:
        watching.cancel()
        begun_again.cancel()
        await asyncio.gather(watching, begun_again, return_exceptions=True)
        await server.stop(0)
