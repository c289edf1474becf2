"""Follows many tasks, or a group, over streams that may break, without the caller noticing."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

from comfymesh.client.convert import group_from_proto, task_from_proto
from comfymesh.client.errors import Unavailable
from comfymesh.client.events import CaughtUp, GroupChanged, TaskChanged
from comfymesh.client.statuses import STREAM_BROKEN
from comfymesh.v1 import group_service_pb2, task_service_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator

    from comfymesh.client.events import GroupEvent, TasksEvent
    from comfymesh.client.retries import Server

    OpenTasks = Callable[[task_service_pb2.WatchTasksRequest], AsyncGenerator[task_service_pb2.WatchTasksResponse]]
    OpenGroup = Callable[[group_service_pb2.WatchGroupRequest], AsyncGenerator[group_service_pb2.WatchGroupResponse]]

_MOST_CHANGES = 64
"""How many changes a message may tell: as many as servers allow."""

Q = TypeVar("Q", task_service_pb2.WatchTasksRequest, group_service_pb2.WatchGroupRequest)
R = TypeVar("R", task_service_pb2.WatchTasksResponse, group_service_pb2.WatchGroupResponse)
E = TypeVar("E")


def tasks(
    open_stream: OpenTasks, server: Server, request: task_service_pb2.WatchTasksRequest
) -> AsyncGenerator[TasksEvent]:
    """The events of all tasks that match, without end.

    Raises:
        ComfyMeshError: The watch was refused, or the server stayed away for too long.
    """
    return _events(_messages(open_stream, server, request, ends=False), _of_tasks)


def group(
    open_stream: OpenGroup, server: Server, request: group_service_pb2.WatchGroupRequest
) -> AsyncGenerator[GroupEvent]:
    """The events of a group and its tasks, up to its end.

    Raises:
        ComfyMeshError: The watch was refused, or the server stayed away for too long.
    """
    return _events(_messages(open_stream, server, request, ends=True), _of_group)


async def _events(messages: AsyncGenerator[R], told: Callable[[R], Iterable[E]]) -> AsyncGenerator[E]:
    """What each message has told, as events."""
    async with aclosing(messages):
        async for message in messages:
            for event in told(message):
                yield event


async def _messages(
    open_stream: Callable[[Q], AsyncGenerator[R]], server: Server, request: Q, *, ends: bool
) -> AsyncGenerator[R]:
    """Every message, over as many streams as it takes: each begins behind the last message of the one before.

    That all there was has been told is handed on once, however many streams say it.

    Args:
        open_stream: Opens a stream.
        server: Says how patient to be.
        request: What to watch.
        ends: Whether the server may end it. Else that is a stream that broke.
    """
    retrier = server.retrier()
    request.max_changes = _MOST_CHANGES
    caught_up = False
    while True:
        try:
            async with aclosing(open_stream(request)) as messages:
                async for message in messages:
                    retrier.succeeded()
                    request.resume_token = message.resume_token
                    if not (caught_up and message.HasField("caught_up")):
                        yield message
                    caught_up = caught_up or message.HasField("caught_up")
        except Unavailable as error:
            broken = error
        else:
            if ends:
                return
            broken = Unavailable("The server ended a stream that has no end.", reason=STREAM_BROKEN, code="UNAVAILABLE")
        await retrier.failed(broken)


def _of_tasks(
    message: task_service_pb2.WatchTasksResponse | group_service_pb2.WatchGroupResponse,
) -> Iterator[TaskChanged | CaughtUp]:
    """What a message says of tasks."""
    match message.WhichOneof("event"):
        case "task":
            for change in message.passed:
                yield TaskChanged(task_from_proto(change.task), change.resume_token)
            yield TaskChanged(task_from_proto(message.task), message.resume_token)
        case "caught_up":
            yield CaughtUp(message.resume_token)


def _of_group(message: group_service_pb2.WatchGroupResponse) -> Iterator[GroupEvent]:
    """What a message says of a group and its tasks."""
    if message.HasField("group"):
        yield GroupChanged(group_from_proto(message.group), message.resume_token)
    yield from _of_tasks(message)
