"""The client for programs without asyncio: the asynchronous one, on a loop and thread of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

from comfymesh.client.aio import DEFAULT_TARGET, AsyncClient
from comfymesh.client.loop_thread import LoopThread
from comfymesh.client.sync_administration import SyncAdministrationCalls
from comfymesh.client.sync_alerts import SyncAlertCalls
from comfymesh.client.sync_assets import SyncAssetCalls
from comfymesh.client.sync_fleet import SyncFleetCalls
from comfymesh.client.sync_usage import SyncUsageCalls
from comfymesh.client.sync_workflows import Workflows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Any, Self

    from comfymesh.client.access import ApiKey, Tls
    from comfymesh.client.batches import NewTask
    from comfymesh.client.callbacks import OnEvent, OnProgress
    from comfymesh.client.convert import TaskOptions
    from comfymesh.client.dead_letters import DeadLetterOptions
    from comfymesh.client.errors import ComfyMeshError
    from comfymesh.client.events import Event, GroupEvent, TasksEvent
    from comfymesh.client.graphs import Runnable
    from comfymesh.client.groups import AsyncGroupHandle
    from comfymesh.client.models import Artifact, DeadLetter, Group, LoadedArtifact, Task, TaskState
    from comfymesh.client.requests import TaskFilter
    from comfymesh.client.results import Result
    from comfymesh.client.retries import RetryPolicy
    from comfymesh.client.scheduling_models import Policy, Queue, Setting
    from comfymesh.client.uploads import InputValue


class ClientOptions(TypedDict, total=False):
    """What else `AsyncClient` takes; see there."""

    timeout: float
    retries: RetryPolicy | None
    api_key: ApiKey
    tls: Tls | bool
    allow_plaintext: bool


class GroupHandle:
    """Tasks that were created to belong together. Methods are those of `AsyncGroupHandle`, without ``await``."""

    def __init__(self, group: AsyncGroupHandle, thread: LoopThread) -> None:
        self.name = group.name
        self._group = group
        self._thread = thread

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def get(self) -> Group:
        """The group as it stands. See `AsyncGroupHandle.get`."""
        return self._thread.call(self._group.get())

    def cancel(self, reason: str = "") -> int:
        """Asks for every task that has not ended to be stopped. See `AsyncGroupHandle.cancel`."""
        return self._thread.call(self._group.cancel(reason))

    def watch(self, resume_token: str | None = None, *, task_count: int = 0) -> Iterator[GroupEvent]:
        """The events of the group and of its tasks. See `AsyncGroupHandle.watch`."""
        return self._thread.iterate(self._group.watch(resume_token, task_count=task_count))


class Client(SyncAdministrationCalls, SyncAlertCalls, SyncAssetCalls, SyncFleetCalls, SyncUsageCalls):
    """A client of one ComfyMesh server. Methods are those of `AsyncClient`, without ``await``.

    It may be used by several threads. Callbacks are called on the client's own thread, where no method can be called.

    Example:
        >>> with Client("127.0.0.1:7700") as client:
        ...     result = client.run(Path("graph.json"), {"3.seed": 42, "1.image": Path("photo.png")})
        ...     result.save("out/")

    Args:
        target: Address of the server, ``host:port``; several of equal ones, with commas between, are asked in turn.
        **how: Everything else that `AsyncClient` takes: `timeout`, `retries`, `api_key`, `tls`, `allow_plaintext`.

    Attributes:
        workflows: Stored workflows.
    """

    def __init__(self, target: str = DEFAULT_TARGET, **how: Unpack[ClientOptions]) -> None:
        self._client = AsyncClient(target, **how)
        self._thread = LoopThread()
        self.workflows = Workflows(self._client.workflows, self._thread)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._client.target!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection. Tasks go on; calls of this client that still wait end with a RuntimeError."""
        self._thread.close(self._client.close)

    def run(
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
        """Runs a graph to its end and brings what it made. See `AsyncClient.run`."""
        return self._thread.call(
            self._client.run(
                graph,
                inputs,
                on_progress=on_progress,
                on_event=on_event,
                previews=previews,
                out=out,
                **options,
            )
        )

    def result(
        self,
        task: str | Task,
        *,
        on_progress: OnProgress | None = None,
        on_event: OnEvent | None = None,
        previews: bool = False,
        out: str | Path | None = None,
    ) -> Result:
        """Follows a task to its end and brings what it made. See `AsyncClient.result`."""
        return self._thread.call(
            self._client.result(task, on_progress=on_progress, on_event=on_event, previews=previews, out=out)
        )

    def create(
        self,
        graph: Runnable,
        inputs: Mapping[str, InputValue] | None = None,
        *,
        validate_only: bool = False,
        **options: Unpack[TaskOptions],
    ) -> Task:
        """Creates a task and returns at once. See `AsyncClient.create`."""
        return self._thread.call(self._client.create(graph, inputs, validate_only=validate_only, **options))

    def create_many(
        self, tasks: Iterable[NewTask], *, group: str = "", validate_only: bool = False
    ) -> Sequence[Task | ComfyMeshError]:
        """Creates many tasks, each for itself, and returns at once. See `AsyncClient.create_many`."""
        return self._thread.call(self._client.create_many(tasks, group=group, validate_only=validate_only))

    def group(self, name: str) -> GroupHandle:
        """A group of tasks, to look at, follow or cancel. See `AsyncClient.group`."""
        return GroupHandle(self._client.group(name), self._thread)

    def get(self, task: str | Task) -> Task:
        """The task as it stands now. See `AsyncClient.get`."""
        return self._thread.call(self._client.get(task))

    def task_graph(self, task: str | Task) -> dict[str, Any]:
        """The graph that a task runs, its inputs set. See `AsyncClient.task_graph`."""
        return self._thread.call(self._client.task_graph(task))

    def list(self, *, page_size: int = 0, **which: Unpack[TaskFilter]) -> Iterator[Task]:
        """All tasks, newest first. See `AsyncClient.list`."""
        return self._thread.iterate(self._client.list(page_size=page_size, **which))

    def watch(self, task: str | Task, resume_token: str | None = None, *, previews: bool = False) -> Iterator[Event]:
        """The events of a task, up to and including its final state. See `AsyncClient.watch`."""
        return self._thread.iterate(self._client.watch(task, resume_token, previews=previews))

    def watch_tasks(
        self,
        resume_token: str | None = None,
        *,
        states: Sequence[TaskState] = (),
        labels: Mapping[str, str] | None = None,
        group: str = "",
        workflow: str = "",
        include_existing: bool = False,
    ) -> Iterator[TasksEvent]:
        """Every state change of every task that matches, without end. See `AsyncClient.watch_tasks`."""
        return self._thread.iterate(
            self._client.watch_tasks(
                resume_token,
                states=states,
                labels=labels,
                group=group,
                workflow=workflow,
                include_existing=include_existing,
            )
        )

    def cancel(self, task: str | Task, reason: str = "") -> Task:
        """Asks for a task to be stopped; returns at once. See `AsyncClient.cancel`."""
        return self._thread.call(self._client.cancel(task, reason))

    def dead_letters(
        self, *, include_resolved: bool = False, page_size: int = 0, **which: Unpack[DeadLetterOptions]
    ) -> Iterator[DeadLetter]:
        """Tasks that have failed and that nobody has seen to. See `AsyncClient.dead_letters`."""
        return self._thread.iterate(
            self._client.dead_letters(include_resolved=include_resolved, page_size=page_size, **which)
        )

    def dead_letter(self, task: str | Task) -> DeadLetter:
        """A task that has failed, with all the evidence. See `AsyncClient.dead_letter`."""
        return self._thread.call(self._client.dead_letter(task))

    def requeue(self, *tasks: str | Task, **which: Unpack[DeadLetterOptions]) -> Mapping[str, Task | ComfyMeshError]:
        """Makes a new task of each dead letter. See `AsyncClient.requeue`."""
        return self._thread.call(self._client.requeue(*tasks, **which))

    def drop(self, *tasks: str | Task, **which: Unpack[DeadLetterOptions]) -> Mapping[str, Task | ComfyMeshError]:
        """Notes of each dead letter that nothing more is to be done about it. See `AsyncClient.drop`."""
        return self._thread.call(self._client.drop(*tasks, **which))

    def read_artifact(self, artifact: str | Artifact) -> LoadedArtifact:
        """Reads an artifact and checks its hash. See `AsyncClient.read_artifact`."""
        return self._thread.call(self._client.read_artifact(artifact))

    def policy(self) -> Policy:
        """How the scheduler orders and places tasks. See `AsyncClient.policy`."""
        return self._thread.call(self._client.policy())

    def update_policy(
        self,
        settings: Mapping[str, Setting | None] | None = None,
        *,
        tenants: Mapping[str, Mapping[str, Setting] | None] | None = None,
        etag: str = "",
        validate_only: bool = False,
    ) -> Policy:
        """Changes settings of the policy. See `AsyncClient.update_policy`."""
        return self._thread.call(
            self._client.update_policy(settings, tenants=tenants, etag=etag, validate_only=validate_only)
        )

    def queue(self) -> Queue:
        """What waits and runs. See `AsyncClient.queue`."""
        return self._thread.call(self._client.queue())
