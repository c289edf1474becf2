"""The API's gRPC server in the simulation, and what clients reach it by."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message_factory import GetMessageClass

from comfymesh.api import errors
from comfymesh.api.access import caller
from comfymesh.testkit.callers import ANYBODY
from comfymesh.testkit.meshapi import CallFailedError, Followed, one_by_one, one_of, only
from comfymesh.testkit.simulation.chance import exponential
from comfymesh.testkit.simulation.lives import Life
from comfymesh.testkit.simulation.loop import Pause
from comfymesh.v1 import (
    asset_service_pb2,
    dead_letter_service_pb2,
    fleet_service_pb2,
    group_service_pb2,
    node_pb2,
    task_pb2,
    task_service_pb2,
)

_LATENCY = 0.002
_DEADLINE = 10.0
_MOST_CHANGES = (0, 3, 64)
"""What streams of many tasks ask for, one as often as another: 0 leaves it to the server."""


class SimulatedContext:
    """What a servicer is handed with a call."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """None."""
        return ()

    def time_remaining(self) -> None:
        """No deadline of the caller's."""
        return


class Endpoint:
    """An API that serves.

    Args:
        servicers: What it serves.
        life: The life of the process that it is part of.
    """

    def __init__(self, servicers: Iterable[object], life: Life) -> None:
        self.services: dict[str, Any] = {type(servicer).__name__: servicer for servicer in servicers}
        self.life = life
        self.port = 1
        self.open = True
        self._calls: set[asyncio.Task[Any]] = set()

    def begin(self, coroutine: Any) -> asyncio.Task[Any]:
        """Let the process work at a call."""
        task = self.life.spawn(_let_in(coroutine))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return task

    async def announce(self, notice: float) -> None:
        """See Server.announce."""
        await asyncio.sleep(notice)

    async def drain(self, grace: float) -> None:
        """See Server.drain."""
        self.open = False
        if self._calls:
            await asyncio.wait(list(self._calls), timeout=grace)
        for task in list(self._calls):
            task.cancel()


class SimulatedApi:
    """Clients' way to whichever API serves. Implements load.Api.

    Args:
        endpoints: Those that serve now.
        rng: Chooses one, and how long the way is.
        lost: How often an answer is lost on its way.
        defect: Told of errors that no caller should ever see.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        rng: random.Random,
        lost: Callable[[], float],
        defect: Callable[[str, BaseException], None],
    ) -> None:
        self._endpoints = endpoints
        self._rng = rng
        self._lost = lost
        self._defect = defect

    async def create(self, task: task_pb2.Task, request_id: str) -> task_pb2.Task:
        """See Api.create."""
        request = task_service_pb2.CreateTaskRequest(task=task, request_id=request_id)
        return await self._task("CreateTask", request)

    async def get(self, name: str) -> task_pb2.Task:
        """See Api.get."""
        return await self._task("GetTask", task_service_pb2.GetTaskRequest(name=f"tasks/{_id(name)}"))

    async def cancel(self, name: str) -> task_pb2.Task:
        """See Api.cancel."""
        return await self._task("CancelTask", task_service_pb2.CancelTaskRequest(name=f"tasks/{_id(name)}"))

    async def run(self, task: task_pb2.Task, request_id: str) -> AsyncGenerator[task_service_pb2.RunTaskResponse, None]:
        """See Api.run."""
        async with aclosing(
            self._stream("RunTask", task_service_pb2.RunTaskRequest(task=task, request_id=request_id))
        ) as told:
            async for message in told:
                yield message

    async def watch(self, name: str, token: str) -> AsyncGenerator[task_service_pb2.WatchTaskResponse, None]:
        """See Api.watch."""
        request = task_service_pb2.WatchTaskRequest(name=f"tasks/{_id(name)}", resume_token=token)
        async with aclosing(self._stream("WatchTask", request)) as told:
            async for message in told:
                yield message

    async def create_batch(
        self, requests: Sequence[task_service_pb2.CreateTaskRequest], group: str
    ) -> list[task_pb2.Task | CallFailedError]:
        """See Api.create_batch."""
        request = task_service_pb2.BatchCreateTasksRequest(requests=requests, group=group)
        return [one_of(result) for result in (await self._call("TaskService", "BatchCreateTasks", request)).results]

    async def cancel_group(self, group: str) -> None:
        """See Api.cancel_group."""
        await self._call("GroupService", "CancelGroup", group_service_pb2.CancelGroupRequest(name=group))

    async def requeue(self, name: str) -> task_pb2.Task:
        """See Api.requeue."""
        request = dead_letter_service_pb2.RequeueDeadLettersRequest(names=[name])
        return only(await self._call("DeadLetterService", "RequeueDeadLetters", request))

    async def drop(self, name: str) -> task_pb2.Task:
        """See Api.drop."""
        request = dead_letter_service_pb2.DropDeadLettersRequest(names=[name])
        return only(await self._call("DeadLetterService", "DropDeadLetters", request))

    async def follow(self, group: str, count: int, token: str) -> AsyncGenerator[Followed, None]:
        """See Api.follow."""
        most = self._rng.choice(_MOST_CHANGES)
        if group:
            request = group_service_pb2.WatchGroupRequest(
                name=group, task_count=count, resume_token=token, max_changes=most
            )
            stream = self._stream("WatchGroup", request, "GroupService")
        else:
            everything = task_service_pb2.WatchTasksRequest(include_existing=True, resume_token=token, max_changes=most)
            stream = self._stream("WatchTasks", everything)
        async with aclosing(stream) as told:
            async for message in told:
                for change in one_by_one(message):
                    yield change

    async def _stream(self, method: str, request: Any, service: str = "TaskService") -> AsyncGenerator[Any, None]:
        endpoint = await self._reach()
        told: asyncio.Queue[Any] = asyncio.Queue()
        stream = getattr(endpoint.services[service], method)(request, SimulatedContext())
        pump = endpoint.begin(_pump(stream, told))
        try:
            while (message := await told.get()) is not None:
                if isinstance(message, BaseException):
                    raise self._failed(endpoint, message)
                await self._way()
                if self._rng.random() < self._lost():
                    raise CallFailedError("UNAVAILABLE")
                yield _read(message, request, service, method)
        finally:
            pump.cancel()

    async def read(self, artifact: str) -> tuple[int, str]:
        """See Api.read."""
        request = asset_service_pb2.ReadArtifactRequest(name=artifact)
        endpoint = await self._reach()
        stream = endpoint.services["AssetService"].ReadArtifact(request, SimulatedContext())
        data = await self._answer(endpoint, _joined(stream))
        return len(data), hashlib.sha256(data).hexdigest()

    async def _task(self, method: str, request: Any) -> task_pb2.Task:
        task: task_pb2.Task = (await self._call("TaskService", method, request)).task
        return task

    async def cordon(self, node: str, reason: str) -> tuple[Life, node_pb2.Node]:
        """CordonNode; also answers whose answer it is."""
        return await self._node("CordonNode", fleet_service_pb2.CordonNodeRequest(name=node, reason=reason))

    async def uncordon(self, node: str) -> tuple[Life, node_pb2.Node]:
        """UncordonNode; also answers whose answer it is."""
        return await self._node("UncordonNode", fleet_service_pb2.UncordonNodeRequest(name=node))

    async def node(self, node: str) -> tuple[Life, node_pb2.Node]:
        """GetNode; also answers whose answer it is."""
        return await self._node("GetNode", fleet_service_pb2.GetNodeRequest(name=node))

    async def _node(self, method: str, request: Any) -> tuple[Life, node_pb2.Node]:
        endpoint = await self._reach()
        return endpoint.life, (await self._ask(endpoint, "FleetService", method, request)).node

    async def _call(self, service: str, method: str, request: Any) -> Any:
        return await self._ask(await self._reach(), service, method, request)

    async def _ask(self, endpoint: Endpoint, service: str, method: str, request: Any) -> Any:
        servicer = endpoint.services[service]
        answer = await self._answer(endpoint, getattr(servicer, method)(request, SimulatedContext()))
        return _read(answer, request, service, method)

    async def _reach(self) -> Endpoint:
        await self._way()
        serving = [endpoint for endpoint in self._endpoints if endpoint.open and endpoint.life.alive]
        if not serving:
            raise CallFailedError("UNAVAILABLE")
        return self._rng.choice(serving)

    async def _answer(self, endpoint: Endpoint, coroutine: Any) -> Any:
        call = endpoint.begin(coroutine)
        await asyncio.wait([call], timeout=_DEADLINE)
        if not call.done():
            call.cancel()
            raise CallFailedError("DEADLINE_EXCEEDED")
        error = asyncio.CancelledError() if call.cancelled() else call.exception()
        if error is not None:
            raise self._failed(endpoint, error)
        await self._way()
        if self._rng.random() < self._lost():
            raise CallFailedError("UNAVAILABLE")
        return call.result()

    def _failed(self, endpoint: Endpoint, error: BaseException) -> CallFailedError:
        if isinstance(error, asyncio.CancelledError) or not endpoint.life.alive:
            return CallFailedError("UNAVAILABLE")
        refused = errors.refusal(error) if isinstance(error, Exception) else None
        if refused is None:
            self._defect(endpoint.life.name, error)
            return CallFailedError("INTERNAL")
        return CallFailedError(refused.reason)

    async def _way(self) -> None:
        await Pause(exponential(self._rng) * _LATENCY)


async def _let_in(coroutine: Any) -> Any:
    """What the interceptor would do."""
    caller.enter(ANYBODY)
    return await coroutine


async def _pump(stream: AsyncIterator[Any], told: asyncio.Queue[Any]) -> None:
    try:
        async for message in stream:
            told.put_nowait(message)
    except (Exception, asyncio.CancelledError) as error:  # whatever it is, it is what the client sees
        told.put_nowait(error)
        if isinstance(error, asyncio.CancelledError):
            raise
    else:
        told.put_nowait(None)


async def _joined(stream: AsyncIterator[Any]) -> bytes:
    return b"".join([message.data async for message in stream])


def _id(name: str) -> str:
    return name.rpartition("/")[2]


def _read(response: Any, request: Any, service: str, method: str) -> Any:
    """What a client has of a response. Some servicers encode theirs by themselves."""
    if not isinstance(response, bytes):
        return response
    return _output(request.DESCRIPTOR, service, method).FromString(response)


@cache
def _output(request: Descriptor, service: str, method: str) -> Any:
    called = request.file.services_by_name[service].methods_by_name[method]
    return GetMessageClass(called.output_type)
