# ruff: noqa: ARG002, N802 - gRPC names the methods and their arguments
"""What a gRPC server owes its callers: it says when it goes, when it is full, and whose call it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from comfymesh.api.hub import Hub
from comfymesh.testkit.apis import BOOTSTRAP, GRAPH, LocalApi, Refused, local_api
from comfymesh.testkit.waiting import until
from comfymesh.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc

ROOT = Path(__file__).parents[3]
KNOWN = (("authorization", f"Bearer {BOOTSTRAP}"),)
LIST = ("TaskService/ListTasks", task_service_pb2.ListTasksRequest())
WATCH = task_service_pb2.WatchTasksRequest(include_existing=True)


def stub(api: LocalApi) -> Any:
    return task_service_pb2_grpc.TaskServiceStub(api.channel)


async def watching(api: LocalApi) -> Any:
    """A watch that has begun."""
    call = stub(api).WatchTasks(WATCH, metadata=KNOWN)
    assert (await call.read()).HasField("caught_up")
    return call


async def status(api: LocalApi) -> Any:
    return (await health_pb2_grpc.HealthStub(api.channel).Check(health_pb2.HealthCheckRequest())).status


async def test_who_stops_says_so_first_and_sends_watchers_elsewhere(tmp_path: Path) -> None:
    async with local_api(tmp_path, api_drain_notice_seconds=3.0) as api:
        call = await watching(api)
        api.stop.set()

        async def announced() -> bool:
            return bool(await status(api) == health_pb2.HealthCheckResponse.NOT_SERVING)

        await until(announced)
        await api.call(*LIST)  # whoever has not seen it yet is served
        with pytest.raises(grpc.aio.AioRpcError) as told:
            await call.read()
        refused = Refused(told.value)
        assert (refused.code, refused.reason) == ("UNAVAILABLE", "SERVER_DRAINING")
        assert "RetryInfo" in refused.details


async def test_a_server_that_is_full_says_so_and_has_room_again(tmp_path: Path) -> None:
    async with local_api(tmp_path, api_max_calls=3) as api:
        calls = [await watching(api) for _ in range(3)]
        with pytest.raises(Refused) as told:
            await api.call(*LIST)
        assert (told.value.code, told.value.reason) == ("UNAVAILABLE", "SERVER_BUSY")
        assert told.value.metadata == {"limit": "3"}
        assert "RetryInfo" in told.value.details
        with pytest.raises(Refused, match="SERVER_BUSY"):
            await api.call("TaskService/WatchTasks", WATCH)
        calls[0].cancel()

        async def has_room() -> bool:
            try:
                await api.call(*LIST)
            except Refused:
                return False
            return True

        await until(has_room)
        # What was refused has taken no place, and gives none back.
        for _ in range(5):
            with pytest.raises(Refused):
                await api.call(*LIST, "nobody")
        await api.call(*LIST)


async def test_over_one_connection_further_calls_wait(tmp_path: Path) -> None:
    async with local_api(tmp_path, api_max_connection_calls=2) as api:
        calls = [await watching(api) for _ in range(2)]
        with pytest.raises(Refused, match="DEADLINE_EXCEEDED"):
            await asyncio.wait_for(_short(api), 5)
        calls[0].cancel()
        await api.call(*LIST)


async def _short(api: LocalApi) -> None:
    try:
        await stub(api).ListTasks(LIST[1], metadata=KNOWN, timeout=0.3)
    except grpc.aio.AioRpcError as error:
        raise Refused(error) from None


async def test_a_deadline_ends_the_work_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def never(hub: Hub, sequence: int) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with local_api(tmp_path) as api:
        await api.call(
            "TaskService/CreateTask", task_service_pb2.CreateTaskRequest(task={"graph_json": json.dumps(GRAPH)})
        )
        monkeypatch.setattr(Hub, "until", never)
        for timeout in (0.3, 3.0, 30.0):
            with pytest.raises(grpc.aio.AioRpcError) as told:
                await stub(api).WatchTasks(WATCH, metadata=KNOWN, timeout=timeout).read()
            assert told.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            if began.is_set():  # on a busy machine it may have been too short for that
                break
        await until(ended.is_set, "the end of the work")


@pytest.mark.parametrize(("given", "told"), [("order-77", "order-77"), ("x" * 129, None), ("", None)])
async def test_a_refusal_repeats_what_the_caller_calls_its_call(tmp_path: Path, given: str, told: str | None) -> None:
    async with local_api(tmp_path) as api:
        request = task_service_pb2.GetTaskRequest(name="tasks/absent")
        with pytest.raises(Refused) as refused:
            await api.raw("TaskService/GetTask", request, (*KNOWN, ("x-request-id", given)))
        info = refused.value.details.get("RequestInfo")
        assert (info.request_id if info else None) == told


async def test_compressed_requests_are_taken_and_bombs_are_not(tmp_path: Path) -> None:
    async with local_api(tmp_path) as api:
        async with grpc.aio.insecure_channel(
            api.target, compression=grpc.Compression.Gzip, options=(("grpc.max_send_message_length", -1),)
        ) as channel:
            compressed = task_service_pb2_grpc.TaskServiceStub(channel)
            graph = task_service_pb2.CreateTaskRequest(task={"graph_json": json.dumps(GRAPH)}, validate_only=True)
            await compressed.CreateTask(graph, metadata=KNOWN)
            bomb = task_service_pb2.CreateTaskRequest(task=task_pb2.Task(graph_json=" " * (65 * 1024 * 1024)))
            with pytest.raises(grpc.aio.AioRpcError) as told:
                await compressed.CreateTask(bomb, metadata=KNOWN)
            assert told.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await api.call(*LIST)


@asynccontextmanager
async def counting(target: str) -> AsyncIterator[tuple[str, list[int]]]:
    """A way to a server: its address, and the sizes of what came back."""
    sizes: list[int] = []
    host, _, port = target.partition(":")

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: list[int] | None) -> None:
        while data := await reader.read(65536):
            if count is not None:
                count.append(len(data))
            writer.write(data)
            await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, far_writer, None), pump(far_reader, writer, sizes), return_exceptions=True)

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", sizes


async def listed_bytes(directory: Path, **settings: Any) -> int:
    """How many bytes it takes to list fifty tasks."""
    async with local_api(directory, **settings) as api, counting(api.target) as (target, sizes):
        create = task_service_pb2.CreateTaskRequest(task={"graph_json": json.dumps(GRAPH), "display_name": "x" * 100})
        await asyncio.gather(*(api.call("TaskService/CreateTask", create) for _ in range(50)))
        async with grpc.aio.insecure_channel(target) as channel:
            answer = await task_service_pb2_grpc.TaskServiceStub(channel).ListTasks(LIST[1], metadata=KNOWN)
        assert len(answer.tasks) == 50
        return sum(sizes)


async def test_responses_are_compressed_where_that_is_wanted(tmp_path: Path) -> None:
    plain, compressed = await listed_bytes(tmp_path), await listed_bytes(tmp_path, api_compress_responses=True)
    assert compressed < plain / 2


class Flaky(task_service_pb2_grpc.TaskServiceServicer):
    """Answers UNAVAILABLE twice, and then does."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def GetTask(self, request: Any, context: Any) -> Any:
        return await self._answer("GetTask", context, task_service_pb2.GetTaskResponse())

    async def CreateTask(self, request: Any, context: Any) -> Any:
        return await self._answer("CreateTask", context, task_service_pb2.CreateTaskResponse())

    async def _answer(self, method: str, context: Any, response: Any) -> Any:
        self.asked.append(method)
        if self.asked.count(method) <= 2:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return response


async def test_the_service_config_repeats_what_is_safe_to_repeat() -> None:
    config = (ROOT / "docs" / "service-config.json").read_text()
    server, flaky = grpc.aio.server(), Flaky()
    task_service_pb2_grpc.add_TaskServiceServicer_to_server(flaky, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        options = (("grpc.service_config", config),)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            client = task_service_pb2_grpc.TaskServiceStub(channel)
            await client.GetTask(task_service_pb2.GetTaskRequest())
            with pytest.raises(grpc.aio.AioRpcError):
                await client.CreateTask(task_service_pb2.CreateTaskRequest())
    finally:
        await server.stop(0)
    assert flaky.asked == ["GetTask"] * 3 + ["CreateTask"]
