"""A mesh's API as clients of a test see it, whatever is between."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any, Protocol

from google.rpc import error_details_pb2

from comfymesh.v1 import group_service_pb2, task_pb2, task_service_pb2

CONTENT_LABEL = "content"
"""Label of a task that names its content, so that the log can be compared with what was asked for."""

_RETRYABLE = frozenset(
    {"UNAVAILABLE", "BUS_UNAVAILABLE", "SERVER_DRAINING", "DEADLINE_EXCEEDED", "NO_FEASIBLE_NODE", "CANCELLED"}
)


Message = task_service_pb2.WatchTaskResponse | task_service_pb2.RunTaskResponse
"""What a stream tells."""


Followed = task_service_pb2.WatchTasksResponse | group_service_pb2.WatchGroupResponse
"""What a stream of many tasks tells."""


class CallFailedError(Exception):
    """A call that was not answered; `reason` is the machine-readable one, or the name of the status code."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    @property
    def retryable(self) -> bool:
        """Whether it may be answered when it is made again."""
        return self.reason in _RETRYABLE


class Api(Protocol):
    """A mesh's API as clients see it. Every call raises CallFailedError where it is not answered."""

    async def create(self, task: task_pb2.Task, request_id: str) -> task_pb2.Task:
        """CreateTask."""
        ...

    def run(self, task: task_pb2.Task, request_id: str) -> AsyncGenerator[task_service_pb2.RunTaskResponse]:
        """RunTask."""
        ...

    async def get(self, name: str) -> task_pb2.Task:
        """GetTask."""
        ...

    async def cancel(self, name: str) -> task_pb2.Task:
        """CancelTask."""
        ...

    async def create_batch(
        self, requests: Sequence[task_service_pb2.CreateTaskRequest], group: str
    ) -> Sequence[task_pb2.Task | CallFailedError]:
        """BatchCreateTasks: for each request its task, or why there is none."""
        ...

    async def cancel_group(self, group: str) -> None:
        """CancelGroup."""
        ...

    async def requeue(self, name: str) -> task_pb2.Task:
        """RequeueDeadLetters of one."""
        ...

    async def drop(self, name: str) -> task_pb2.Task:
        """DropDeadLetters of one."""
        ...

    def follow(self, group: str, count: int, token: str) -> AsyncGenerator[Followed]:
        """WatchGroup until `count` tasks have ended; without a group, WatchTasks, all that there is included."""
        ...

    def watch(self, name: str, token: str) -> AsyncGenerator[task_service_pb2.WatchTaskResponse]:
        """WatchTask."""
        ...

    async def read(self, artifact: str) -> tuple[int, str]:
        """The size and the SHA-256 of an artifact's bytes."""
        ...


def seen(task: task_pb2.Task) -> tuple[str, int, int]:
    """What tells one record of a task from another: state, attempt, update time in microseconds."""
    state = task_pb2.Task.State.Name(task.state).removeprefix("STATE_")
    return state, task.attempt, task.update_time.seconds * 1_000_000 + task.update_time.nanos // 1000


def one_of(result: Any) -> task_pb2.Task | CallFailedError:
    """What became of one of many: a task, or its refusal."""
    if result.WhichOneof("result") == "refusal":
        return CallFailedError(_reason(result.refusal))
    task: task_pb2.Task = result.task
    return task


def _reason(refusal: task_service_pb2.Refusal) -> str:
    info = error_details_pb2.ErrorInfo()
    for detail in refusal.details:
        if detail.Unpack(info):
            return str(info.reason)
    raise AssertionError(f"a refusal without a reason: {refusal}")


def one_by_one(message: Followed) -> Iterator[Followed]:
    """A message of many tasks, as if each of its changes had come in one of its own."""
    for change in message.passed:
        yield type(message)(resume_token=change.resume_token, task=change.task)
    last: Any = type(message)()
    last.CopyFrom(message)
    last.ClearField("passed")
    yield last


def only(answer: Any) -> task_pb2.Task:
    """The task that is the only result of a call.

    Raises:
        CallFailedError: it was refused.
    """
    (result,) = answer.results
    found = one_of(result)
    if isinstance(found, CallFailedError):
        raise found
    return found


def id_of(name: str) -> str:
    """The last part of a resource name."""
    return name.rpartition("/")[2]
