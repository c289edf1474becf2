"""Nobody's messages are read before it is known who sends them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from comfymesh.api.access.gate import Gate
from comfymesh.testkit.apis import BOOTSTRAP, LocalApi, Refused
from comfymesh.v1 import asset_service_pb2, task_pb2, task_service_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZE = 20 * 1024 * 1024
READ_AHEAD = 5 * 1024 * 1024
"""What HTTP/2 takes before anybody asks for it: gRPC's windows grow up to 4 MiB a stream where the line is fast."""


@dataclass
class Counting:
    """A line to the api that counts what callers send over it."""

    target: str = ""
    sent: int = 0

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self.target.split(":")
        to_reader, to_writer = await asyncio.open_connection(host, int(port))

        async def pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, counts: bool) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    self.sent += len(data) if counts else 0
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(pipe(reader, to_writer, counts=True), pipe(to_reader, writer, counts=False))


@asynccontextmanager
async def counted(api: LocalApi) -> AsyncIterator[tuple[LocalApi, Counting]]:
    line = Counting(api.target)
    server = await asyncio.start_server(line.join, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield LocalApi(api.bus, channel, api.target, api.stop), line
    finally:
        server.close()
        await server.wait_closed()


def large() -> task_pb2.Task:
    return task_pb2.Task(graph_json="x" * SIZE)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("TaskService/CreateTask", task_service_pb2.CreateTaskRequest(task=large())),
        ("TaskService/RunTask", task_service_pb2.RunTaskRequest(task=large())),
        ("AssetService/UploadAsset", [asset_service_pb2.UploadAssetRequest(data=bytes(SIZE))]),
    ],
    ids=["unary", "answers a stream", "takes a stream"],
)
async def test_the_messages_of_a_stranger_are_not_read(api: LocalApi, method: str, request_: Any) -> None:
    async with counted(api) as (through, line):
        with pytest.raises(Refused, match="CREDENTIALS_INVALID"):
            await through.call(method, request_, "cmk_of_nobody")
        assert line.sent < READ_AHEAD
        # The others' are, and a reason is told of what is too large.
        with pytest.raises(Refused, match="MESSAGE_TOO_LARGE"):
            await through.call(method, request_, BOOTSTRAP)
        assert line.sent > SIZE


async def test_a_defect_of_the_gate_is_told_as_one(api: LocalApi, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the gate is broken")

    with monkeypatch.context() as patched:
        patched.setattr(Gate, "admit", broken)
        with pytest.raises(Refused, match="INTERNAL"):
            await api.call("TaskService/ListTasks", task_service_pb2.ListTasksRequest())
    await api.call("TaskService/ListTasks", task_service_pb2.ListTasksRequest())
