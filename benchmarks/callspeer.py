"""The other server of `calls`: a bare grpc.aio server that answers what the mesh answers, and does nothing for it.

python -m benchmarks.callspeer MESH [NATS]    asks the mesh at MESH for its answers, serves them, prints its port

It takes the same requests, of the same messages, and its answers are written anew for every call, as the mesh's are.
With NATS it asks there for a task before it answers `GetTask`, by nats-py: what never answers with what was can't do
without.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import nats
import uvloop
from nats.aio.client import Client

from benchmarks import graphs, records
from comfymesh.bus import subjects
from comfymesh.bus.streams import TASKS
from comfymesh.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc

TELL = "/bare.Bare/Tell"
"""Has every stream of WatchTask told one more progress. Request and response are empty."""

PAGE = 50

_Context = grpc.aio.ServicerContext[Any, Any]
_GRAPH = json.dumps(graphs.picture())


def get_task(number: int = 0) -> task_service_pb2.GetTaskRequest:
    """What is asked of both servers: one task."""
    return task_service_pb2.GetTaskRequest(name=_name(number))


def list_tasks() -> task_service_pb2.ListTasksRequest:
    """A page of tasks."""
    return task_service_pb2.ListTasksRequest(page_size=PAGE)


def create_task() -> task_service_pb2.CreateTaskRequest:
    """A task that is checked and not stored."""
    return task_service_pb2.CreateTaskRequest(task=task_pb2.Task(graph_json=_GRAPH), validate_only=True)


def watch_task(number: int) -> task_service_pb2.WatchTaskRequest:
    """One task's progress."""
    return task_service_pb2.WatchTaskRequest(name=_name(number))


def watch_tasks() -> task_service_pb2.WatchTasksRequest:
    """Every task, each in a message of its own; then a message says that this was all."""
    return task_service_pb2.WatchTasksRequest(include_existing=True)


def progress(fraction: float) -> task_pb2.TaskProgress:
    """What a node would tell of a task that it runs."""
    message = task_pb2.TaskProgress(attempt=1, phase=task_pb2.TaskProgress.PHASE_EXECUTING, fraction=fraction)
    message.update_time.FromNanoseconds(time.time_ns())
    return message


def _name(number: int) -> str:
    return f"tasks/{records.key(number).task_id}"


@dataclass(frozen=True, slots=True)
class Answers:
    """What the mesh has answered."""

    get_task: task_service_pb2.GetTaskResponse
    list_tasks: task_service_pb2.ListTasksResponse
    create_task: task_service_pb2.CreateTaskResponse
    watch_task: task_service_pb2.WatchTaskResponse
    watch_tasks: list[task_service_pb2.WatchTasksResponse]


class BareTasks(task_service_pb2_grpc.TaskServiceServicer):
    """Gives answers that it has."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._news: list[asyncio.Event] = []

    async def GetTask(self, _: task_service_pb2.GetTaskRequest, __: _Context) -> task_service_pb2.GetTaskResponse:
        """One task."""
        return self._answers.get_task

    async def ListTasks(self, _: task_service_pb2.ListTasksRequest, __: _Context) -> task_service_pb2.ListTasksResponse:
        """A page."""
        return self._answers.list_tasks

    async def CreateTask(
        self, _: task_service_pb2.CreateTaskRequest, __: _Context
    ) -> task_service_pb2.CreateTaskResponse:
        """What was made of the same request."""
        return self._answers.create_task

    async def WatchTask(
        self, _: task_service_pb2.WatchTaskRequest, __: _Context
    ) -> AsyncIterator[task_service_pb2.WatchTaskResponse]:
        """A task, and then progress each time that it is told."""
        news, first = asyncio.Event(), self._answers.watch_task
        self._news.append(news)
        yield first
        while True:
            await news.wait()
            news.clear()
            yield task_service_pb2.WatchTaskResponse(resume_token=first.resume_token, progress=progress(0.5))

    async def WatchTasks(
        self, _: task_service_pb2.WatchTasksRequest, __: _Context
    ) -> AsyncIterator[task_service_pb2.WatchTasksResponse]:
        """Everything there is."""
        for message in self._answers.watch_tasks:
            yield message

    async def tell(self, _: bytes, __: _Context) -> bytes:
        """Have every watched task progress."""
        for news in self._news:
            news.set()
        return b""


class AskingTasks(BareTasks):
    """Asks NATS for the record of a task before it answers."""

    def __init__(self, answers: Answers, client: Client) -> None:
        super().__init__(answers)
        self._client = client

    async def GetTask(self, _: task_service_pb2.GetTaskRequest, __: _Context) -> task_service_pb2.GetTaskResponse:
        """One task."""
        await self._client.request(f"$JS.API.DIRECT.GET.{TASKS.name}.{subjects.task(records.key(0))}")
        return self._answers.get_task


async def _ask(target: str) -> Answers:
    async with grpc.aio.insecure_channel(target) as channel:
        stub = task_service_pb2_grpc.TaskServiceStub(channel)
        everything = []
        async for message in stub.WatchTasks(watch_tasks()):
            everything.append(message)
            if message.HasField("caught_up"):
                break
        return Answers(
            await stub.GetTask(get_task()),
            await stub.ListTasks(list_tasks()),
            await stub.CreateTask(create_task()),
            await anext(aiter(stub.WatchTask(watch_task(0)))),
            everything,
        )


async def serve(target: str, nats_url: str = "") -> None:
    """Serve until terminated."""
    answers = await _ask(target)
    tasks = AskingTasks(answers, await nats.connect(nats_url)) if nats_url else BareTasks(answers)
    server = grpc.aio.server()
    task_service_pb2_grpc.add_TaskServiceServicer_to_server(tasks, server)
    own = {"Tell": grpc.unary_unary_rpc_method_handler(tasks.tell)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bare.Bare", own),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
