"""What can go wrong, as exceptions.

ComfyMeshError
├── InvalidRequest      the request, the graph or an input is wrong; repeating it will not help
├── NotFound            no task, asset, artifact or node of that name
├── Conflict            the name is taken, or the task is not in a state for this
├── NoFeasibleNode      no node of the fleet could ever run the graph
├── AccessDenied        the server does not know the caller, or does not allow this
├── LimitExceeded       a quota, rate or queue is full; `retry_after` says when to come back
├── Unavailable         the server can't be reached, or can't serve at present
├── DeadlineExceeded    the answer did not come in time
├── Incompatible        client and server are of different versions
├── ServerError         a defect of the server
└── TaskFailed          the task itself came to a bad end
    ├── TaskCancelled
    └── TaskExpired
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from comfymesh.client.models import Task

CLOSED = "the client is closed"
"""What a RuntimeError says of a call that comes after its client was closed."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a request.

    Attributes:
        field: Path of the field, such as ``task.inputs[3.seed]``.
        description: What is wrong with it, for people.
        reason: The same for machines, or empty.
    """

    field: str
    description: str
    reason: str = ""


class ComfyMeshError(Exception):
    """Base of everything that the SDK raises on purpose.

    Attributes:
        reason: Why, for machines: the name of an `ErrorReason`, or one of the SDK's own.
        message: What went wrong and what to do, for people.
        metadata: What varies in the message, for machines.
        violations: Everything that is wrong with the request.
        retry_after: How long the server asks to wait before a repetition, or None.
        code: Name of the gRPC status code, or empty when the call was never made.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after: timedelta | None = None,
        code: str = "",
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after
        self.code = code

    def __str__(self) -> str:
        """The message, the reason and every violation, each on a line of its own."""
        lines = [f"{self.message} ({self.reason})"]
        lines += [f"  {violation.field}: {violation.description}" for violation in self.violations]
        return "\n".join(lines)


class InvalidRequest(ComfyMeshError):  # noqa: N818 - named for what it means, as callers read it in an except clause
    """The request, the graph or an input is wrong; repeating it will not help."""


class NotFound(ComfyMeshError):  # noqa: N818
    """No task, asset, artifact or node of that name."""


class Conflict(ComfyMeshError):  # noqa: N818
    """The name is taken, or the task is not in a state for this: it has ended, or has not failed."""


class NoFeasibleNode(ComfyMeshError):  # noqa: N818
    """No node of the fleet could ever run the graph; `metadata` says what each lacks."""


class AccessDenied(ComfyMeshError):  # noqa: N818
    """The server does not know the caller, or does not allow this."""


class LimitExceeded(ComfyMeshError):  # noqa: N818
    """A quota, rate or queue is full; `retry_after` says when to come back."""


class Unavailable(ComfyMeshError):  # noqa: N818
    """The server can't be reached, or can't serve at present."""


class DeadlineExceeded(ComfyMeshError):  # noqa: N818
    """The answer did not come in time."""


class Incompatible(ComfyMeshError):  # noqa: N818
    """Client and server are of different versions."""


class ServerError(ComfyMeshError):
    """A defect of the server."""


class TaskFailed(ComfyMeshError):  # noqa: N818
    """The task itself came to a bad end.

    Attributes:
        task: The task in its final state; `task.error` has the details.
    """

    def __init__(self, task: Task) -> None:
        error = task.error
        said = (error.message if error else "") or task.state_reason or "The server gives no reason."
        super().__init__(
            f"{task.name} {task.state.lower()}: {said}",
            reason=error.reason if error else task.state.value,
            metadata=error.metadata if error else None,
        )
        self.task = task


class TaskCancelled(TaskFailed):
    """Somebody cancelled the task."""


class TaskExpired(TaskFailed):
    """The task was not started in time."""
