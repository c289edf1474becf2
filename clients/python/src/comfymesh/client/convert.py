"""Where protobuf messages become values of the SDK, and the other way round. For alerts: alert_convert."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING, TypedDict

from google.protobuf import duration_pb2

from comfymesh.client.errors import InvalidRequest, Violation
from comfymesh.client.events import ArtifactStored, Event, PreviewArrived, Progressed, TaskChanged
from comfymesh.client.inputs import Scalar, inputs_to_proto
from comfymesh.client.keywords import require_known
from comfymesh.client.models import (
    Artifact,
    ArtifactKind,
    Asset,
    AttemptFailure,
    DeadLetter,
    DeadLetterResolution,
    Group,
    Phase,
    Preview,
    Progress,
    Task,
    TaskError,
    TaskState,
)
from comfymesh.client.scheduling_convert import (
    placement_from_proto,
    placement_to_proto,
    timing_from_proto,
    waiting_from_proto,
)
from comfymesh.v1 import error_reason_pb2, task_pb2, task_service_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from enum import StrEnum
    from typing import TypeVar

    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

    from comfymesh.client.scheduling_models import Placement
    from comfymesh.v1 import asset_pb2, dead_letter_pb2, group_pb2

    E = TypeVar("E", bound=StrEnum)


class TaskOptions(TypedDict, total=False):
    """What else can be said about a task to create.

    Attributes:
        display_name: Name for people, at most 128 characters.
        priority: Higher runs first, -100 to 100.
        labels: What to write on it.
        execution_timeout: How long one attempt may execute.
        start_timeout: How long it may wait for its first attempt to begin; default: for ever.
        max_retries: How often a failure of the graph itself is tried again.
        allow_partial_outputs: Run the valid outputs of a graph of which others are invalid.
        group: The group that it belongs to: ``groups/{group}``, or its last part alone.
        callback_url: Is called (POST, signed) when the task reaches one of `callback_states`.
        callback_states: The states that it is told of; default: the final ones.
        placement: Where it may run, beyond what its graph needs.
        task_id: Last part of the task's name; default: chosen by the server.
        request_id: A UUID that names this request, to repeat it safely; default: a fresh one for each call.
    """

    display_name: str
    priority: int
    labels: Mapping[str, str]
    execution_timeout: timedelta
    start_timeout: timedelta
    max_retries: int
    allow_partial_outputs: bool
    group: str
    callback_url: str
    callback_states: Sequence[TaskState]
    placement: Placement
    task_id: str
    request_id: str


def task_to_proto(graph_json: str, inputs: Mapping[str, Scalar], options: TaskOptions) -> task_pb2.Task:
    """The message for a task to create.

    Raises:
        InvalidRequest: Inputs that no message can carry, all of them at once.
        TypeError: There is no such option.
    """
    require_known(options, TaskOptions.__annotations__)
    timeout, wait = options.get("execution_timeout"), options.get("start_timeout")
    return task_pb2.Task(
        graph_json=graph_json,
        inputs=inputs_to_proto(inputs),
        display_name=options.get("display_name", ""),
        priority=_int32("task.priority", options.get("priority", 0)),
        labels=options.get("labels", {}),
        execution_timeout=None if timeout is None else _duration(timeout),
        start_timeout=None if wait is None else _duration(wait),
        max_retries=_int32("task.max_retries", options.get("max_retries", 0)),
        allow_partial_outputs=options.get("allow_partial_outputs", False),
        group=group_name(options.get("group", "")),
        callback_url=options.get("callback_url", ""),
        callback_states=[f"STATE_{state}" for state in options.get("callback_states", ())],
        placement=placement_to_proto(options["placement"]) if "placement" in options else None,
    )


def group_name(name: str) -> str:
    """The resource name of a group, from it or from its last part; empty for none."""
    return f"groups/{name}" if name and "/" not in name else name


def _int32(field: str, number: int) -> int:
    if -(2**31) <= number < 2**31:
        return number
    violation = Violation(field, f"{number} does not fit in 32 bits")
    raise InvalidRequest(f"{field}: {violation.description}.", reason="INPUT_INVALID", violations=[violation])


def task_from_proto(message: task_pb2.Task) -> Task:
    """A task."""
    return Task(
        name=message.name,
        state=enum_from_proto(TaskState, task_pb2.Task.State.Name, message.state, "STATE_"),
        state_reason=message.state_reason,
        display_name=message.display_name,
        priority=message.priority,
        labels=dict(message.labels),
        error=_error(message.error) if message.HasField("error") else None,
        attempt=message.attempt,
        node=message.node,
        instance=message.instance,
        artifacts=tuple(artifact_from_proto(artifact) for artifact in message.artifacts),
        create_time=time_from_proto(message, "create_time"),
        update_time=time_from_proto(message, "update_time"),
        start_time=time_from_proto(message, "start_time"),
        end_time=time_from_proto(message, "end_time"),
        graph_digest=message.graph_digest,
        workflow=message.workflow,
        workflow_version=message.workflow_version,
        group=message.group,
        requeued_from=message.requeued_from,
        dead_letter_resolution=_resolution(message.dead_letter_resolution),
        requeued_as=message.requeued_as,
        placement=placement_from_proto(message.placement) if message.HasField("placement") else None,
        timing=timing_from_proto(message.timing) if message.HasField("timing") else None,
    )


def dead_letter_from_proto(message: dead_letter_pb2.DeadLetter) -> DeadLetter:
    """A dead letter."""
    return DeadLetter(
        task=task_from_proto(message.task),
        failures=tuple(
            AttemptFailure(each.attempt, each.node, each.instance, _reason(each.reason), time_from_proto(each, "time"))
            for each in message.failures
        ),
    )


def group_from_proto(message: group_pb2.Group) -> Group:
    """A group."""
    counts = {state: getattr(message, f"{state.lower()}_count", 0) for state in TaskState}
    return Group(
        name=message.name,
        task_count=message.task_count,
        counts={state: count for state, count in counts.items() if count},
        fraction=message.fraction,
        create_time=time_from_proto(message, "create_time"),
        end_time=time_from_proto(message, "end_time"),
    )


def artifact_from_proto(message: task_pb2.Artifact) -> Artifact:
    """An artifact, without its bytes."""
    return Artifact(
        name=message.name,
        filename=message.filename,
        media_type=message.media_type,
        size_bytes=message.size_bytes,
        sha256=message.sha256,
        graph_node=message.graph_node,
        output_key=message.output_key,
        kind=enum_from_proto(ArtifactKind, task_pb2.Artifact.Kind.Name, message.kind, "KIND_"),
    )


def asset_from_proto(message: asset_pb2.Asset) -> Asset:
    """An asset."""
    return Asset(
        name=message.name,
        filename=message.filename,
        media_type=message.media_type,
        size_bytes=message.size_bytes,
        sha256=message.sha256,
        create_time=time_from_proto(message, "create_time"),
        use_time=time_from_proto(message, "use_time"),
    )


def events_from_proto(
    message: task_service_pb2.RunTaskResponse | task_service_pb2.WatchTaskResponse,
) -> Sequence[Event]:
    """The events in a message of a watch, in order; none for heartbeats, artifact chunks and kinds not known."""
    token = message.resume_token
    match message.WhichOneof("event"):
        case "task":
            passed = message.passed if isinstance(message, task_service_pb2.RunTaskResponse) else ()
            return [TaskChanged(task_from_proto(task), token) for task in (*passed, message.task)]
        case "progress":
            stored = [artifact_from_proto(artifact) for artifact in message.progress.artifacts]
            found = [ArtifactStored(artifact, message.progress.attempt, token) for artifact in stored]
            return [*found, Progressed(_progress(message.progress), token)]
        case "preview":
            return [PreviewArrived(_preview(message.preview), token)]
        case _:
            return []


def state_to_proto(state: TaskState) -> str:
    """The name of a task state's number."""
    return "STATE_UNSPECIFIED" if state is TaskState.UNKNOWN else f"STATE_{state.value}"


def _progress(message: task_pb2.TaskProgress) -> Progress:
    return Progress(
        attempt=message.attempt,
        phase=enum_from_proto(Phase, task_pb2.TaskProgress.Phase.Name, message.phase, "PHASE_"),
        fraction=message.fraction,
        graph_nodes_done=message.graph_nodes_done,
        graph_node_count=message.graph_node_count,
        graph_node=message.graph_node,
        graph_node_class=message.graph_node_class,
        step=message.step,
        step_count=message.step_count,
        eta=message.eta.ToTimedelta() if message.HasField("eta") else None,
        queue_position=message.queue_position,
        update_time=time_from_proto(message, "update_time"),
        waiting=waiting_from_proto(message.waiting) if message.HasField("waiting") else None,
    )


def _preview(message: task_pb2.Preview) -> Preview:
    return Preview(message.attempt, message.graph_node, message.media_type, message.data)


def _error(message: task_pb2.TaskError) -> TaskError:
    return TaskError(
        _reason(message.reason),
        message.message,
        dict(message.metadata),
        message.traceback,
        message.retryable,
        message.log_tail,
    )


def _reason(number: int) -> str:
    try:
        return error_reason_pb2.ErrorReason.Name(number).removeprefix("ERROR_REASON_")
    except ValueError:  # a reason that a newer server knows
        return f"REASON_{number}"


def _resolution(number: int) -> DeadLetterResolution | None:
    if not number:
        return None
    name = task_pb2.Task.DeadLetterResolution.Name
    return enum_from_proto(DeadLetterResolution, name, number, "DEAD_LETTER_RESOLUTION_")


def enum_from_proto(kind: type[E], name_of: Callable[[int], str], number: int, prefix: str) -> E:
    """The member of that number, or UNKNOWN for one that a newer server knows."""
    try:
        return kind(name_of(number).removeprefix(prefix))
    except ValueError:
        return kind("UNKNOWN")


def time_from_proto(message: Message, field: str) -> datetime | None:
    """A field that may be absent."""
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    return stamp.ToDatetime(tzinfo=UTC)


def duration_from_proto(message: Message, field: str) -> timedelta | None:
    """A field that may be absent."""
    if not message.HasField(field):
        return None
    value: duration_pb2.Duration = getattr(message, field)
    return value.ToTimedelta()


def _duration(value: timedelta) -> duration_pb2.Duration:
    message = duration_pb2.Duration()
    message.FromTimedelta(value)
    return message
