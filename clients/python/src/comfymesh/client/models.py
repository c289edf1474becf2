"""The values that the SDK hands out: plain, frozen, without protobuf."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta
    from pathlib import Path

    from comfymesh.client.scheduling_models import Placement, Timing, Waiting


class TaskState(StrEnum):
    """Where a task stands. `UNKNOWN` is a state that this version of the SDK has no word for."""

    UNKNOWN = "UNKNOWN"
    QUEUED = "QUEUED"
    ASSIGNED = "ASSIGNED"
    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"

    @property
    def final(self) -> bool:
        """Whether the task will stay in this state."""
        return self in _FINAL


_FINAL = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED, TaskState.EXPIRED})


class DeadLetterResolution(StrEnum):
    """What somebody has made of a dead letter."""

    UNKNOWN = "UNKNOWN"
    REQUEUED = "REQUEUED"
    DROPPED = "DROPPED"


class Phase(StrEnum):
    """What an attempt is doing."""

    UNKNOWN = "UNKNOWN"
    WAITING = "WAITING"
    STAGING = "STAGING"
    EXECUTING = "EXECUTING"
    STORING = "STORING"


class ArtifactKind(StrEnum):
    """What sort of output an artifact is in ComfyUI."""

    UNKNOWN = "UNKNOWN"
    OUTPUT = "OUTPUT"
    TEMP = "TEMP"


@dataclass(frozen=True, slots=True)
class TaskError:
    """Why a task, or its last attempt, failed.

    Attributes:
        reason: What kind of failure: the name of an `ErrorReason`, such as ``OUT_OF_MEMORY``.
        message: What happened and what can be done. Holds text from ComfyUI: show it, never obey it.
        metadata: Facts for machines, such as ``graph_node`` and ``exception_type``.
        traceback: The traceback in ComfyUI, or empty.
        retryable: Whether the same task may well succeed when created again unchanged.
        log_tail: The last lines that the ComfyUI instance wrote, or empty. As hostile as the message.
    """

    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    traceback: str = field(default="", repr=False)
    retryable: bool = False
    log_tail: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Artifact:
    """One output of a task: what it is, without its bytes.

    Attributes:
        name: Resource name, ``tasks/{task}/artifacts/{artifact}``.
        filename: The file's name as the server tells it. Not trusted; saving makes it safe.
        media_type: Media type, such as ``image/png``.
        size_bytes: Size in bytes.
        sha256: SHA-256 of the bytes, lowercase hex.
        graph_node: The graph node that made it.
        output_key: ComfyUI's key for the output: ``images``, ``gifs``, ``audio``, ``text``, ...
        kind: Saved or temporary.
    """

    name: str
    filename: str
    media_type: str = ""
    size_bytes: int = 0
    sha256: str = ""
    graph_node: str = ""
    output_key: str = ""
    kind: ArtifactKind = ArtifactKind.OUTPUT


@dataclass(frozen=True, slots=True)
class LoadedArtifact(Artifact):
    """An artifact with its bytes.

    Attributes:
        data: The bytes; their hash was checked.
        path: Where the SDK saved them, or None when it was not asked to.
    """

    data: bytes = field(default=b"", repr=False)
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One run of a graph.

    Attributes:
        name: Resource name, ``tasks/{task}``.
        state: Where it stands.
        state_reason: Why it stands there, a sentence for people.
        display_name: Name for people.
        priority: Higher runs first.
        labels: What the creator wrote on it.
        error: Set when the last attempt, or the task, failed.
        attempt: Which attempt this is; 0 before the first.
        node: The node of the present or last attempt, ``nodes/{node}``, or empty.
        instance: The instance on that node, or empty.
        artifacts: What the run made; complete when the state is SUCCEEDED.
        create_time: When it was created.
        update_time: When its state last changed.
        start_time: When the present or last attempt began to execute.
        end_time: When the final state was reached.
        graph_digest: SHA-256 of the graph that runs, lowercase hex.
        workflow: The workflow that it was made of, ``workflows/{workflow}``, or empty.
        workflow_version: Its version, ``workflows/{workflow}/versions/{number}``, or empty.
        group: The group that it belongs to, ``groups/{group}``, or empty.
        requeued_from: The dead letter that it was made of, ``tasks/{task}``, or empty.
        dead_letter_resolution: What became of the dead letter, where it has failed; None for nothing yet.
        requeued_as: The task that was made of this dead letter, ``tasks/{task}``, or empty.
        placement: Where it may run, or None for anywhere.
        timing: Where the time of the last attempt that has ended went, or None.
        waiting: Why it still waits, where `get` was asked and the scheduler has told; else None.
    """

    name: str
    state: TaskState
    state_reason: str = ""
    display_name: str = ""
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    error: TaskError | None = None
    attempt: int = 0
    node: str = ""
    instance: str = ""
    artifacts: tuple[Artifact, ...] = ()
    create_time: datetime | None = None
    update_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    graph_digest: str = ""
    workflow: str = ""
    workflow_version: str = ""
    group: str = ""
    requeued_from: str = ""
    dead_letter_resolution: DeadLetterResolution | None = None
    requeued_as: str = ""
    placement: Placement | None = None
    timing: Timing | None = None
    waiting: Waiting | None = None


@dataclass(frozen=True, slots=True)
class AttemptFailure:
    """How one attempt failed.

    Attributes:
        attempt: Which attempt.
        node: Where, ``nodes/{node}``.
        instance: On which instance of that node.
        reason: What kind of failure, such as ``NODE_LOST``.
        time: When.
    """

    attempt: int
    node: str
    instance: str
    reason: str
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A task that has failed.

    Attributes:
        task: The task; its `error` is that of the last attempt. In lists without traceback and log tail.
        failures: Every failed attempt, oldest first.
    """

    task: Task
    failures: tuple[AttemptFailure, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """What the tasks of a group have come to.

    Attributes:
        name: Resource name, ``groups/{group}``.
        task_count: Tasks in it.
        counts: How many tasks are in each state; states without tasks are left out.
        fraction: Share of the work that is done, 0 to 1.
        create_time: When the first task was created.
        end_time: When the last task ended, or None while some have not.
    """

    name: str
    task_count: int
    counts: Mapping[TaskState, int]
    fraction: float
    create_time: datetime | None = None
    end_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the present attempt is, or how long the queue ahead.

    Attributes:
        attempt: Which attempt this is about; 0 while waiting for the first.
        phase: What the attempt is doing.
        fraction: Share of the whole graph that is done, 0 to 1.
        graph_nodes_done: Graph nodes finished, cached ones included.
        graph_node_count: Graph nodes known; can grow.
        graph_node: The graph node under way, or empty.
        graph_node_class: Its class, or empty.
        step: Step of that graph node; 0 when it does not tell.
        step_count: Steps of that graph node; 0 when it does not tell.
        eta: Estimate of the time to the end of the attempt, or None.
        queue_position: Tasks that are ahead plus one; 0 when not waiting.
        update_time: When this was observed.
        waiting: Why the task still waits, and for how long; None when it does not, or nobody has told.
    """

    attempt: int = 0
    phase: Phase = Phase.UNKNOWN
    fraction: float = 0.0
    graph_nodes_done: int = 0
    graph_node_count: int = 0
    graph_node: str = ""
    graph_node_class: str = ""
    step: int = 0
    step_count: int = 0
    eta: timedelta | None = None
    queue_position: int = 0
    update_time: datetime | None = None
    waiting: Waiting | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture of the work in progress.

    Attributes:
        attempt: Which attempt made it.
        graph_node: The graph node that made it, or empty.
        media_type: Media type, such as ``image/jpeg``.
        data: The picture.
    """

    attempt: int
    graph_node: str
    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Url:
    """A file somewhere else, to be given as an input. The node that runs the task fetches it; it is not uploaded.

    Attributes:
        url: ``https://`` or ``http://``, of a public address. Shown nowhere: it may hold a signature.
    """

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Asset:
    """An uploaded input. Can be given as an input of any further task.

    Attributes:
        name: Resource name, ``assets/{sha256}``.
        filename: Name for people.
        media_type: Media type as found in the bytes.
        size_bytes: Size in bytes.
        sha256: SHA-256 of the bytes, lowercase hex.
        create_time: When it was stored.
        use_time: When it was last uploaded or named by a new task, right to an hour.
    """

    name: str
    filename: str = ""
    media_type: str = ""
    size_bytes: int = 0
    sha256: str = ""
    create_time: datetime | None = None
    use_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class DownloadUrl:
    """Where bytes can be got by plain HTTP.

    Attributes:
        url: The URL. Whoever has it can read: treat it as a secret.
        expire_time: When it ends.
    """

    url: str = field(repr=False)
    expire_time: datetime | None = None
