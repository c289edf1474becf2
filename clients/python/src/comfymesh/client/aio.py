"""The asynchronous client."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from comfymesh.client import batches, callbacks, convert, downloads, following, requests, watching
from comfymesh.client.access import Access, ApiKey, Tls
from comfymesh.client.administration import AdministrationCalls
from comfymesh.client.alerts import AlertCalls
from comfymesh.client.assets import AssetCalls
from comfymesh.client.calls import task_name
from comfymesh.client.dead_letters import DeadLetterCalls
from comfymesh.client.errors import TaskCancelled, TaskExpired, TaskFailed
from comfymesh.client.events import Event
from comfymesh.client.fleet import FleetCalls
from comfymesh.client.groups import AsyncGroupHandle
from comfymesh.client.models import Task, TaskState
from comfymesh.client.results import Result
from comfymesh.client.retries import RetryPolicy
from comfymesh.client.scheduling import SchedulingCalls
from comfymesh.client.tasks import TaskCalls
from comfymesh.client.usage import UsageCalls
from comfymesh.client.workflow_convert import workflow_name
from comfymesh.client.workflows import AsyncWorkflows
from comfymesh.v1 import task_service_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from comfymesh.client.batches import NewTask
    from comfymesh.client.callbacks import OnEvent, OnProgress
    from comfymesh.client.convert import TaskOptions
    from comfymesh.client.errors import ComfyMeshError
    from comfymesh.client.events import TasksEvent
    from comfymesh.client.graphs import Runnable
    from comfymesh.client.uploads import InputValue

DEFAULT_TARGET = "127.0.0.1:7700"

_ENDINGS = {TaskState.CANCELLED: TaskCancelled, TaskState.EXPIRED: TaskExpired}


class AsyncClient(
    TaskCalls, AssetCalls, DeadLetterCalls, FleetCalls, SchedulingCalls, AlertCalls, AdministrationCalls, UsageCalls
):
    """A client of one ComfyMesh server, for asyncio.

    Opens its connection at the first call. Calls that were not answered because the server is UNAVAILABLE are made
    again, all others are not. Streams that break go on where they were.

    Example:
        >>> async with AsyncClient("127.0.0.1:7700") as client:
        ...     result = await client.run(Path("graph.json"), {"3.seed": 42, "1.image": Path("photo.png")})
        ...     result.save("out/")

    Args:
        target: Address of the server, ``host:port``; several of equal ones, with commas between, are asked in turn.
        timeout: Seconds for one call that is not a stream, repetitions included.
        retries: How patient to be with a server that does not answer.
        api_key: An API key or JWT; or what answers one, asked before each call.
        tls: True to encrypt the line, or with which certificates. A must where a key goes to another machine.
        allow_plaintext: Accept that a key goes to another machine unencrypted.

    Attributes:
        workflows: Stored workflows.

    Raises:
        InvalidRequest: A key would go to another machine unencrypted.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout: float = 30.0,
        retries: RetryPolicy | None = None,
        api_key: ApiKey = "",
        tls: Tls | bool = False,
        allow_plaintext: bool = False,
    ) -> None:
        encryption = (Tls() if tls else None) if isinstance(tls, bool) else tls
        super().__init__(target, timeout, retries or RetryPolicy(), Access(api_key, encryption, allow_plaintext))
        self._farewells = watching.Farewells()
        self.workflows = AsyncWorkflows(self._transport, self._server, timeout, self.run)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.target!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection. Tasks go on; calls of this client that still wait end with a RuntimeError."""
        await self._farewells.close()
        await self._transport.close()

    async def run(
        self,
        graph: Runnable,
        inputs: Mapping[str, InputValue] | None = None,
        *,
        on_progress: OnProgress | None = None,
        on_event: OnEvent | None = None,
        previews: bool = False,
        out: str | Path | None = None,
        **options: Unpack[TaskOptions],
    ) -> Result:
        """Runs a graph to its end and brings what it made.

        Args:
            graph: The graph in API format: a mapping, its JSON text, or the path of its file; or a stored workflow.
            inputs: Values to set into it, by ``{graph node id}.{input name}``; of a workflow, by its inputs' names.
                Paths and bytes are uploaded.
            on_progress: Called with each progress. May be a coroutine function.
            on_event: Called with each event, state changes and previews included. May be a coroutine function.
            previews: Ask for previews; they come to `on_event`.
            out: Directory to save the artifacts into; their `path` is set then.
            **options: What else to say about the task.

        Returns:
            The task and its artifacts.

        Raises:
            TaskFailed: The task did not succeed; also as TaskCancelled and TaskExpired.
            InvalidRequest: The graph or an input is wrong.
            ComfyMeshError: The task could not be created or followed.
            OSError: An artifact can't be saved.
        """
        request = await requests.run_task(self._wire, self._server, graph, inputs, options)
        request.include_previews = previews
        chunks = downloads.ChunkBuffer()
        events = watching.run(
            self._transport.run_task, self._transport.watch_task, self._server, self._farewells, request, chunks
        )
        task = await callbacks.follow(events, on_progress, on_event)
        return await self._result(task, chunks, out)

    async def result(
        self,
        task: str | Task,
        *,
        on_progress: OnProgress | None = None,
        on_event: OnEvent | None = None,
        previews: bool = False,
        out: str | Path | None = None,
    ) -> Result:
        """Follows a task that exists to its end and brings what it made. Arguments and errors as of `run`."""
        final = await callbacks.follow(self._watch(task, "", previews), on_progress, on_event)
        return await self._result(final, downloads.ChunkBuffer(), out)

    async def create(
        self,
        graph: Runnable,
        inputs: Mapping[str, InputValue] | None = None,
        *,
        validate_only: bool = False,
        **options: Unpack[TaskOptions],
    ) -> Task:
        """Creates a task and returns at once.

        Args:
            graph: The graph in API format: a mapping, its JSON text, or the path of its file; or a stored workflow.
            inputs: Values to set into it, by ``{graph node id}.{input name}``; of a workflow, by its inputs' names.
                Paths and bytes are uploaded.
            validate_only: Check everything, create nothing.
            **options: What else to say about the task.

        Raises:
            ComfyMeshError: The task was not accepted.
        """
        run = await requests.run_task(self._wire, self._server, graph, inputs, options)
        request = task_service_pb2.CreateTaskRequest(
            task=run.task, task_id=run.task_id, request_id=run.request_id, validate_only=validate_only
        )
        answer = await self._call(self._transport.create_task, request)
        return convert.task_from_proto(answer.task)

    async def create_many(
        self, tasks: Iterable[NewTask], *, group: str = "", validate_only: bool = False
    ) -> Sequence[Task | ComfyMeshError]:
        """Creates many tasks, each for itself, and returns at once.

        Args:
            tasks: What to create, any number. A path that several of them name is uploaded once.
            group: The group of every task that names none: ``groups/{group}``, or its last part alone.
            validate_only: Check everything, create nothing.

        Returns:
            For each, in their order: the task, or the error why there is none.

        Raises:
            ComfyMeshError: A graph can't be read, an upload failed, or the server stayed away for too long.
        """
        wanted = await requests.create_tasks(self._wire, self._server, tasks, group)
        send, timeout = self._transport.batch_create_tasks, self._timeout
        return await batches.create(send, self._server, wanted, validate_only=validate_only, timeout=timeout)

    def group(self, name: str) -> AsyncGroupHandle:
        """A group of tasks, to look at, follow or cancel.

        Args:
            name: ``groups/{group}``, or its last part alone.
        """
        return AsyncGroupHandle(name, self._transport, self._server, self._timeout)

    async def watch(
        self, task: str | Task, resume_token: str | None = None, *, previews: bool = False
    ) -> AsyncGenerator[Event]:
        """The events of a task, up to and including its final state.

        Args:
            task: ``tasks/{task}``, its last part alone, or a task.
            resume_token: The token of the last event seen; without it the first event is the task as it stands.
            previews: Ask for previews.

        Raises:
            NotFound: There is none of that name.
            ComfyMeshError: The watch was refused, or the server stayed away for too long.
        """
        async with aclosing(self._watch(task, resume_token or "", previews)) as events:
            async for event in events:
                yield event

    async def watch_tasks(
        self,
        resume_token: str | None = None,
        *,
        states: Sequence[TaskState] = (),
        labels: Mapping[str, str] | None = None,
        group: str = "",
        workflow: str = "",
        include_existing: bool = False,
    ) -> AsyncGenerator[TasksEvent]:
        """Every state change of every task that matches, without end.

        Args:
            resume_token: The token of the last event seen; goes on behind it.
            states: Only changes into one of these states.
            labels: Only tasks that carry all these labels.
            group: Only tasks of this group.
            workflow: Only tasks of this workflow, or of one version, ``{workflow}@{number}``.
            include_existing: Begin with the tasks that are there; then comes `CaughtUp`.

        Raises:
            ComfyMeshError: The watch was refused, or the server stayed away for too long.
        """
        request = task_service_pb2.WatchTasksRequest(
            states=[convert.state_to_proto(state) for state in states],
            labels=labels,
            group=convert.group_name(group),
            workflow=workflow_name(workflow) if workflow else "",
            include_existing=include_existing,
            resume_token=resume_token or "",
        )
        async with aclosing(following.tasks(self._transport.watch_tasks, self._server, request)) as events:
            async for event in events:
                yield event

    def _watch(self, task: str | Task, token: str, previews: bool) -> AsyncGenerator[Event]:  # noqa: FBT001
        request = task_service_pb2.WatchTaskRequest(name=task_name(task), resume_token=token, include_previews=previews)
        return watching.watch(self._transport.watch_task, self._server, self._farewells, request)

    async def _result(self, task: Task, chunks: downloads.ChunkBuffer, out: str | Path | None) -> Result:
        if task.state is not TaskState.SUCCEEDED:
            raise _ENDINGS.get(task.state, TaskFailed)(task)
        artifacts = [chunks.take(artifact) or await self.read_artifact(artifact) for artifact in task.artifacts]
        result = Result(task, tuple(artifacts))
        return result if out is None else result.saved(out)
