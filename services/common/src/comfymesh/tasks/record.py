"""What the log says of a task: plain values, without IO and without protobuf."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID, uuid5

from comfymesh.tasks.failures import FailureClass

SMALL_BYTES = 1024
"""A graph, or an output, that has no more bytes than this travels in the record itself: one message to be synced and
sent instead of two, and four that ask for it and answer."""

_PROMPT_NAMESPACE = UUID("6f3c1f0e-5d0c-5b8e-9a55-0c8f5e1f7a21")


class State(StrEnum):
    """Where a task stands. Values match `comfymesh.v1.Task.State`."""

    QUEUED = "QUEUED"
    ASSIGNED = "ASSIGNED"
    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED})
"""States that nothing leaves."""

HELD = frozenset({State.ASSIGNED, State.RUNNING, State.CANCELLING})
"""States in which a node holds an attempt of the task."""


class Resolution(StrEnum):
    """What somebody has made of a dead letter. Values match `comfymesh.v1.Task.DeadLetterResolution`."""

    REQUEUED = "REQUEUED"
    DROPPED = "DROPPED"


class ArtifactKind(StrEnum):
    """Whether ComfyUI saved an output or made it as a preview. Values match `comfymesh.v1.Artifact.Kind`."""

    OUTPUT = "OUTPUT"
    TEMP = "TEMP"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Names a task within the mesh. Ordered, so that it can break a tie."""

    tenant: str
    task_id: str


@dataclass(frozen=True, slots=True)
class SpecRef:
    """Points to a task's graph: SHA-256 (hex) and size in bytes of its text, and the spec itself where it is small.

    `blobs` are those that the spec names (SHA-256 in hex): files for its inputs, and the graph where it is that large;
    None where whoever wrote that did not say.
    """

    digest: str
    size_bytes: int
    small: bytes = b""
    blobs: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file as a graph names it: the loader's class, its input, the file."""

    node_class: str
    input: str
    name: str


@dataclass(frozen=True, slots=True)
class Placement:
    """Where its caller wants a task to run.

    Attributes:
        labels: Labels that the node must have, as (key, value), sorted.
        gpu_class: The instance's class of GPU; empty for any.
        min_vram_bytes: Memory that the instance's GPU must have at least.
        pool: The pool that the instance must be of; empty for any.
    """

    labels: tuple[tuple[str, str], ...] = ()
    gpu_class: str = ""
    min_vram_bytes: int = 0
    pool: str = ""


ANYWHERE = Placement()


@dataclass(frozen=True, slots=True)
class Requirements:
    """What an instance must offer to run a graph: node classes, model files, and what the caller asks for."""

    node_classes: tuple[str, ...] = ()
    models: tuple[ModelFile, ...] = ()
    placement: Placement = ANYWHERE


@dataclass(frozen=True, slots=True)
class Work:
    """How much work a graph is, to compare it with others.

    Attributes:
        shape: Digest of its structure: classes, links, model files. Graphs that differ in seeds, texts, sizes or steps
            have the same; empty where it was not read.
        units: Its size among graphs of its shape: sampling steps x megapixels x pictures. 1 where nothing tells.
    """

    shape: str = ""
    units: float = 1.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time of an attempt went, in seconds, as the agent saw it from outside ComfyUI.

    Attributes:
        load_seconds: Graph nodes that load model files, and samplers until their first step is under way.
        run_seconds: All else, from the beginning of the execution to its end.
        loaded: Model files that were loaded, in order.
        gpu_class: Class of the instance's GPU; empty where it is not known.
        peak_vram_bytes: The most of its memory that the instance held meanwhile; 0 where nobody saw.
    """

    load_seconds: float
    run_seconds: float
    loaded: tuple[str, ...] = ()
    gpu_class: str = ""
    peak_vram_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Artifact:
    """A stored output; `sha256` is the hex digest of its bytes and its address in the artifact store.

    A small one is not there: `small` holds its bytes.
    """

    artifact_id: str
    filename: str
    media_type: str
    size_bytes: int
    sha256: str
    graph_node: str
    output_key: str
    kind: ArtifactKind
    small: bytes = b""


@dataclass(frozen=True, slots=True)
class TaskError:
    """Why an attempt failed. Texts may come from ComfyUI and are hostile."""

    failure: FailureClass
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    traceback: str = ""
    log_tail: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt: which, where, how, when (seconds since the epoch), and how many seconds it executed."""

    attempt: int
    node: str
    instance: str
    failure: FailureClass
    time: float
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """The part of a task that never changes. Times in seconds, `create_time` since the epoch.

    `callback_url` is called when the task reaches one of `callback_states`, or the final ones where none are named.
    `group` is the id of the group that it belongs to, empty for none.
    `requeued_from` is the id of the dead letter that it was made of, empty for none.
    `start_timeout` says how long it may wait for its first attempt to begin, None for ever.
    `workflow_version` is the full name of the version of a workflow that it was made of, empty where it was of none.
    `trace_parent` is the W3C trace context of the call that created the task, empty where it was not traced.
    `unknown` is what a later version has written of the task and this one does not know, as it is stored; see `codec`.
    `message` is the codec's: the same as it is written, once that was needed.
    """

    key: Key
    request_digest: str
    spec: SpecRef
    requirements: Requirements
    create_time: float
    work: Work = Work()
    display_name: str = ""
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    execution_timeout: float = 3600.0
    start_timeout: float | None = None
    max_retries: int = 0
    allow_partial_outputs: bool = False
    trace_parent: str = ""
    group: str = ""
    requeued_from: str = ""
    callback_url: str = ""
    callback_states: tuple[State, ...] = ()
    workflow_version: str = ""
    unknown: bytes = b""
    message: object = field(default=None, init=False, repr=False, compare=False)

    @property
    def start_by(self) -> float | None:
        """When its first attempt must have begun, seconds since the epoch; None where that does not matter."""
        return None if self.start_timeout is None else self.create_time + self.start_timeout


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """A task after a change. Times in seconds since the epoch; `event` names what made the change.

    `releases` counts how often in a row it was handed back before it had begun.
    `timing` tells where the time of the last attempt that ended went, None where it did not run or nobody saw.
    `resolution` is what was made of the dead letter, and `requeued_as` the id of the task that was made of it.
    """

    definition: Definition
    state: State
    event: str
    update_time: float
    reason: str = ""
    attempt: int = 0
    node: str = ""
    instance: str = ""
    error: TaskError | None = None
    artifacts: tuple[Artifact, ...] = ()
    failures: tuple[Failure, ...] = ()
    not_before: float = 0.0
    releases: int = 0
    start_time: float | None = None
    end_time: float | None = None
    timing: Timing | None = None
    resolution: Resolution | None = None
    requeued_as: str = ""

    @property
    def key(self) -> Key:
        """Whose task it is, and which."""
        return self.definition.key

    @property
    def is_final(self) -> bool:
        """Whether the task has ended."""
        return self.state in FINAL

    @property
    def is_dead_letter(self) -> bool:
        """Whether the task has failed, and waits for somebody to see to that."""
        return self.state is State.FAILED and self.resolution is None

    @property
    def has_begun(self) -> bool:
        """Whether any attempt came so far that it ended by itself, or executes. What was handed back did not."""
        return self.start_time is not None or bool(self.failures)


def prompt_id(key: Key, attempt: int, node: str, instance: str) -> str:
    """The id under which an instance is given an attempt.

    Derived, not drawn: after any lost answer the agent can find out whether this very attempt was submitted. The place
    is part of it, since nodes submit while they claim, and two may claim the same attempt.
    """
    return str(uuid5(_PROMPT_NAMESPACE, f"{key.tenant}/{key.task_id}/{attempt}/{node}/{instance}"))
