"""Which of several servers is asked after one has failed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from comfymesh.client import transport as transports
from comfymesh.client.errors import NotFound, Unavailable
from comfymesh.client.transport import STREAM_BROKEN, Transport
from comfymesh.testkit.swallowing import swallowing
from comfymesh.v1 import asset_service_pb2, task_pb2, task_service_pb2

from .fake_mesh import FakeMesh

NOBODY = ("127.0.0.1:1", "localhost:1")


async def test_an_upload_that_fails_blames_the_server_that_it_went_to() -> None:
    """Another call has left that one meanwhile; the one that is asked since then has done nothing wrong."""
    transport = Transport(",".join(NOBODY))
    first = transport._replicas.current

    async def pieces() -> AsyncIterator[asset_service_pb2.UploadAssetRequest]:
        with pytest.raises(Unavailable):
            await transport.get_task(task_service_pb2.GetTaskRequest(), 10.0)
        assert transport._replicas.current != first
        yield asset_service_pb2.UploadAssetRequest()

    try:
        with pytest.raises(Unavailable):
            await transport.upload_asset(pieces())
        assert transport._replicas.current != first
    finally:
        await transport.close()


async def test_a_server_that_falls_silent_in_a_stream_is_left(mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    transport = asking(mesh.target, NOBODY[0])
    try:
        task = task_pb2.Task(graph_json="{}", display_name="hangs")
        created = await transport.create_task(task_service_pb2.CreateTaskRequest(task=task), 10.0)
        monkeypatch.setattr(transports, "SILENCE_LIMIT", 0.2)
        watching = transport.watch_task(task_service_pb2.WatchTaskRequest(name=created.task.name))
        with pytest.raises(Unavailable, match="has been silent") as silent:
            [_ async for _ in watching]
        assert silent.value.reason == STREAM_BROKEN
        assert transport._replicas.current == NOBODY[0]
    finally:
        await transport.close()


async def test_a_connection_that_is_dead_and_open_is_left_before_a_call_has_run_out_of_time(
    mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Needs both limits: by that of keepalive alone grpcio lets go a minute after its ping."""
    known = dict(transports._OPTIONS_OF_SEVERAL)
    quick = {name: known[name] // 10 for name in LIMITS}
    monkeypatch.setattr(transports, "_OPTIONS_OF_SEVERAL", tuple({**known, **quick}.items()))
    async with swallowing(mesh.target) as (way, passing):
        transport = asking(way, mesh.target)
        request = task_service_pb2.GetTaskRequest(name="tasks/none")
        try:
            with pytest.raises(NotFound):
                await transport.get_task(request, 10.0)
            passing.clear()
            with pytest.raises(Unavailable):
                await transport.get_task(request, 50.0)
            with pytest.raises(NotFound):
                await transport.get_task(request, 10.0)
            assert transport._replicas.current == mesh.target
        finally:
            await transport.close()


LIMITS = ("grpc.keepalive_time_ms", "grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms")


def asking(first: str, second: str) -> Transport:
    """Asks the first of two servers as long as that answers."""
    transport = Transport(f"{first},{second}")
    transport._replicas.leave(second)
    return transport
