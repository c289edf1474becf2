"""The API of a real mesh as the clients of `load` see it: any of its replicas, over gRPC."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Any, Self

import grpc

from comfymesh.testkit.meshapi import CallFailedError, Followed, one_by_one, one_of, only
from comfymesh.testkit.refusals import read_refusal
from comfymesh.v1 import (
    asset_service_pb2,
    asset_service_pb2_grpc,
    dead_letter_service_pb2,
    dead_letter_service_pb2_grpc,
    group_service_pb2,
    group_service_pb2_grpc,
    task_pb2,
    task_service_pb2,
    task_service_pb2_grpc,
)

_DEADLINE = 10.0
_STREAM_DEADLINE = 40.0
"""A frozen server says nothing at all: a stream that is not renewed would wait for it for ever."""
_MOST_CHANGES = (0, 3, 64)
"""What streams of many tasks ask for, one as often as another: 0 leaves it to the server."""

_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 300),
    ("grpc.enable_retries", 0),
)


class GrpcApi:
    """Implements load.Api.

    Args:
        targets: The replicas, host:port.
        rng: Chooses one for each call.
    """

    def __init__(self, targets: Sequence[str], rng: random.Random) -> None:
        self._targets = targets
        self._rng = rng
        self._stack = AsyncExitStack()
        self._channels: list[grpc.aio.Channel] = []

    async def __aenter__(self) -> Self:
        for target in self._targets:
            channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
            self._channels.append(await self._stack.enter_async_context(channel))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def create(self, task: task_pb2.Task, request_id: str) -> task_pb2.Task:
        """See Api.create."""
        request = task_service_pb2.CreateTaskRequest(task=task, request_id=request_id)
        return await self._task(self._tasks().CreateTask(request, timeout=_DEADLINE))

    async def get(self, name: str) -> task_pb2.Task:
        """See Api.get."""
        return await self._task(self._tasks().GetTask(task_service_pb2.GetTaskRequest(name=name), timeout=_DEADLINE))

    async def cancel(self, name: str) -> task_pb2.Task:
        """See Api.cancel."""
        request = task_service_pb2.CancelTaskRequest(name=name)
        return await self._task(self._tasks().CancelTask(request, timeout=_DEADLINE))

    async def run(self, task: task_pb2.Task, request_id: str) -> AsyncGenerator[task_service_pb2.RunTaskResponse, None]:
        """See Api.run."""
        request = task_service_pb2.RunTaskRequest(task=task, request_id=request_id)
        async with aclosing(_stream(self._tasks().RunTask(request, timeout=_STREAM_DEADLINE))) as messages:
            async for message in messages:
                yield message

    async def watch(self, name: str, token: str) -> AsyncGenerator[task_service_pb2.WatchTaskResponse, None]:
        """See Api.watch."""
        request = task_service_pb2.WatchTaskRequest(name=name, resume_token=token)
        async with aclosing(_stream(self._tasks().WatchTask(request, timeout=_STREAM_DEADLINE))) as messages:
            async for message in messages:
                yield message

    async def create_batch(
        self, requests: Sequence[task_service_pb2.CreateTaskRequest], group: str
    ) -> list[task_pb2.Task | CallFailedError]:
        """See Api.create_batch."""
        request = task_service_pb2.BatchCreateTasksRequest(requests=requests, group=group)
        answer = await _answer(self._tasks().BatchCreateTasks(request, timeout=_DEADLINE))
        return [one_of(result) for result in answer.results]

    async def cancel_group(self, group: str) -> None:
        """See Api.cancel_group."""
        request = group_service_pb2.CancelGroupRequest(name=group)
        await _answer(self._groups().CancelGroup(request, timeout=_DEADLINE))

    async def requeue(self, name: str) -> task_pb2.Task:
        """See Api.requeue."""
        request = dead_letter_service_pb2.RequeueDeadLettersRequest(names=[name])
        return only(await _answer(self._letters().RequeueDeadLetters(request, timeout=_DEADLINE)))

    async def drop(self, name: str) -> task_pb2.Task:
        """See Api.drop."""
        request = dead_letter_service_pb2.DropDeadLettersRequest(names=[name])
        return only(await _answer(self._letters().DropDeadLetters(request, timeout=_DEADLINE)))

    async def follow(self, group: str, count: int, token: str) -> AsyncGenerator[Followed, None]:
        """See Api.follow."""
        most = self._rng.choice(_MOST_CHANGES)
        if group:
            request = group_service_pb2.WatchGroupRequest(
                name=group, task_count=count, resume_token=token, max_changes=most
            )
            call = self._groups().WatchGroup(request, timeout=_STREAM_DEADLINE)
        else:
            everything = task_service_pb2.WatchTasksRequest(include_existing=True, resume_token=token, max_changes=most)
            call = self._tasks().WatchTasks(everything, timeout=_STREAM_DEADLINE)
        async with aclosing(_stream(call)) as messages:
            async for message in messages:
                for change in one_by_one(message):
                    yield change

    async def read(self, artifact: str) -> tuple[int, str]:
        """See Api.read."""
        stub = asset_service_pb2_grpc.AssetServiceStub(self._rng.choice(self._channels))
        digest, size = hashlib.sha256(), 0
        try:
            request = asset_service_pb2.ReadArtifactRequest(name=artifact)
            async for message in stub.ReadArtifact(request, timeout=_DEADLINE):
                digest.update(message.data)
                size += len(message.data)
        except grpc.aio.AioRpcError as error:
            raise _failed(error) from error
        return size, digest.hexdigest()

    def _groups(self) -> Any:
        return group_service_pb2_grpc.GroupServiceStub(self._rng.choice(self._channels))

    def _letters(self) -> Any:
        return dead_letter_service_pb2_grpc.DeadLetterServiceStub(self._rng.choice(self._channels))

    def _tasks(self) -> Any:
        return task_service_pb2_grpc.TaskServiceStub(self._rng.choice(self._channels))

    async def _task(self, call: Awaitable[Any]) -> task_pb2.Task:
        task: task_pb2.Task = (await _answer(call)).task
        return task


async def _answer(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise _failed(error) from error


async def _stream(call: Any) -> AsyncGenerator[Any, None]:
    try:
        async for message in call:
            yield message
    except grpc.aio.AioRpcError as error:
        raise _failed(error) from error
    finally:
        call.cancel()


def _failed(error: grpc.aio.AioRpcError) -> CallFailedError:
    """The reason that the mesh gave; where it is gRPC itself that failed, the status code."""
    try:
        return CallFailedError(read_refusal(error).reason)
    except AssertionError:
        return CallFailedError(error.code().name)
