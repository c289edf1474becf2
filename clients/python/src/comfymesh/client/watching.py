"""Follows a task to its final state over streams that may break, without the caller noticing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from comfymesh.client.convert import events_from_proto
from comfymesh.client.errors import Unavailable
from comfymesh.client.events import ArtifactStored, TaskChanged
from comfymesh.client.statuses import STREAM_BROKEN
from comfymesh.v1 import task_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from comfymesh.client.downloads import ChunkBuffer
    from comfymesh.client.events import Event
    from comfymesh.client.models import Artifact, Task
    from comfymesh.client.retries import Retrier, Server

    OpenWatch = Callable[[pb.WatchTaskRequest], AsyncGenerator[pb.WatchTaskResponse]]
    OpenRun = Callable[[pb.RunTaskRequest], AsyncGenerator[pb.RunTaskResponse]]

M = TypeVar("M")

_FAREWELL = 2.0
"""Seconds to let the server end a stream after its last event, before it is cancelled."""


class Position:
    """How far a task has been followed.

    Attributes:
        token: Resume token of the last message, or empty.
        task: The task as last seen, or None.
    """

    def __init__(self, token: str = "") -> None:
        self.token = token
        self.task: Task | None = None
        self._stored: set[tuple[int, Artifact]] = set()

    @property
    def final(self) -> bool:
        """Whether the final state has been seen."""
        return self.task is not None and self.task.state.final

    def advance(self, message: pb.RunTaskResponse | pb.WatchTaskResponse) -> tuple[Sequence[Event], bool]:
        """Takes a message.

        Returns:
            Its events, without what was seen before, as streams repeat it after they were resumed; and whether the
            message is more than such a repetition.
        """
        self.token = message.resume_token or self.token
        events = [event for event in events_from_proto(message) if not self._known(event)]
        return events, bool(events) or not message.HasField("task")

    def _known(self, event: Event) -> bool:
        if isinstance(event, ArtifactStored):
            found = event.attempt, event.artifact
            known = found in self._stored
            self._stored.add(found)
            return known
        if not isinstance(event, TaskChanged):
            return False
        known, self.task = event.task == self.task, event.task
        return known


class Farewells:
    """Streams that have told all they have to tell, and end by themselves while their readers have gone on.

    A cancelled stream is dearer to a gRPC server than an ended one, and its end takes a moment to arrive.
    """

    def __init__(self) -> None:
        self._leaving: set[asyncio.Task[None]] = set()

    def bid(self, messages: AsyncGenerator[Any]) -> None:
        """Takes a stream over."""
        task = asyncio.create_task(_see_off(messages))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Cancels what has not ended."""
        leaving = list(self._leaving)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)


async def watch(
    open_stream: OpenWatch, server: Server, farewells: Farewells, request: pb.WatchTaskRequest
) -> AsyncGenerator[Event]:
    """The events of a task up to its final state.

    Args:
        open_stream: Begins one WatchTask stream.
        server: How patient to be with it.
        farewells: Takes the stream over after its final state.
        request: Which task, from which position, and whether with previews.

    Raises:
        ComfyMeshError: The watch was refused, or the server stayed away for too long.
    """
    position = Position(request.resume_token)
    async for event in _resume(open_stream, server.retrier(), farewells, request, position):
        yield event


async def run(
    open_run: OpenRun,
    open_watch: OpenWatch,
    server: Server,
    farewells: Farewells,
    request: pb.RunTaskRequest,
    chunks: ChunkBuffer,
) -> AsyncGenerator[Event]:
    """Creates a task and yields its events up to its final state.

    Until the task is known to exist the same request is repeated; its request ID makes that safe. After that the
    watch goes on where it broke.

    Args:
        open_run: Begins one RunTask stream.
        open_watch: Begins one WatchTask stream.
        server: How patient to be with it.
        farewells: Takes the stream over after its final state.
        request: What to run.
        chunks: Receives the artifact chunks that come with the stream; incomplete when it breaks.

    Raises:
        ComfyMeshError: The task was refused, or the server stayed away for too long.
    """
    position = Position()
    retrier = server.retrier()
    while position.task is None:
        try:
            async with _reading(open_run(request), farewells) as (messages, leave):
                async for message in messages:
                    events, news = position.advance(message)
                    if news:
                        retrier.succeeded()
                    chunks.take_from(message)
                    for event in events:
                        yield event
                    if position.task is not None and position.final and chunks.holds(position.task.artifacts):
                        leave()
                        return
            broken = _ended_early()
        except Unavailable as error:
            broken = error
        if position.final:
            return
        await retrier.failed(broken)
    watch_request = pb.WatchTaskRequest(name=position.task.name, include_previews=request.include_previews)
    async for event in _resume(open_watch, retrier, farewells, watch_request, position):
        yield event


async def _resume(
    open_stream: OpenWatch,
    retrier: Retrier,
    farewells: Farewells,
    request: pb.WatchTaskRequest,
    position: Position,
) -> AsyncGenerator[Event]:
    while True:
        request.resume_token = position.token
        try:
            async with _reading(open_stream(request), farewells) as (messages, leave):
                async for message in messages:
                    events, news = position.advance(message)
                    if news:
                        retrier.succeeded()
                    for event in events:
                        yield event
                    if position.final:
                        leave()
                        return
            broken = _ended_early()
        except Unavailable as error:
            broken = error
        await retrier.failed(broken)


@asynccontextmanager
async def _reading(
    messages: AsyncGenerator[M], farewells: Farewells
) -> AsyncGenerator[tuple[AsyncGenerator[M], Callable[[], None]]]:
    """A stream and the way to leave it politely; left in any other way it is cancelled."""
    left = False

    def leave() -> None:
        nonlocal left
        left = True

    try:
        yield messages, leave
    finally:
        if left:
            farewells.bid(messages)
        else:
            await messages.aclose()


async def _see_off(messages: AsyncGenerator[Any]) -> None:
    with suppress(TimeoutError, Unavailable):
        async with asyncio.timeout(_FAREWELL):
            async for _ in messages:
                pass
    await messages.aclose()


def _ended_early() -> Unavailable:
    text = "The server ended the stream before the task reached a final state."
    return Unavailable(text, reason=STREAM_BROKEN, code="UNAVAILABLE")
