"""Parts of a task's record as protobuf messages and back: needs, placement, timing, errors, failures, artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from comfymesh import names
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.moments import seconds, timestamp
from comfymesh.tasks.record import (
    ANYWHERE,
    Artifact,
    ArtifactKind,
    Failure,
    ModelFile,
    Placement,
    Requirements,
    TaskError,
    Timing,
)
from comfymesh.v1 import dead_letter_pb2, error_reason_pb2, task_pb2
from comfymesh.wire.v1 import task_record_pb2

_KINDS = {kind: cast("task_pb2.Artifact.Kind", task_pb2.Artifact.Kind.Value(f"KIND_{kind}")) for kind in ArtifactKind}
_KIND_OF = {number: kind for kind, number in _KINDS.items()}
_REASONS = {
    failure: cast(
        "error_reason_pb2.ErrorReason",
        error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{failure}"),
    )
    for failure in FailureClass
}
_FAILURE_OF = {number: failure for failure, number in _REASONS.items()}
_RETRYABLE = frozenset(
    {
        FailureClass.DEVICE_FAULT,
        FailureClass.INPUT_UNAVAILABLE,
        FailureClass.INSTANCE_LOST,
        FailureClass.NODE_LOST,
        FailureClass.OUTPUT_LOST,
    },
)


def to_needs(requirements: Requirements) -> task_record_pb2.Requirements:
    """What a graph needs of an instance; where its caller wants it is written in the task."""
    models = [
        task_record_pb2.ModelFile(node_class=model.node_class, input=model.input, name=model.name)
        for model in requirements.models
    ]
    return task_record_pb2.Requirements(node_classes=requirements.node_classes, models=models)


def needs_of(message: task_record_pb2.Requirements, placement: Placement = ANYWHERE) -> Requirements:
    """What a graph needs of an instance, and where its caller wants it."""
    models = tuple(ModelFile(model.node_class, model.input, model.name) for model in message.models)
    return Requirements(tuple(message.node_classes), models, placement)


def to_placement(placement: Placement) -> task_pb2.Placement:
    """A caller's wish as callers see it."""
    return task_pb2.Placement(
        labels=dict(placement.labels),
        gpu_class=placement.gpu_class,
        min_vram_bytes=placement.min_vram_bytes,
        pool=placement.pool,
    )


def placement_of(message: task_pb2.Placement) -> Placement:
    """A caller's wish as a value."""
    return Placement(
        labels=tuple(sorted(message.labels.items())),
        gpu_class=message.gpu_class,
        min_vram_bytes=message.min_vram_bytes,
        pool=message.pool,
    )


def to_timing(timing: Timing) -> task_pb2.Timing:
    """Where the time of an attempt went, as callers see it."""
    message = task_pb2.Timing(
        loaded_models=timing.loaded, gpu_class=timing.gpu_class, peak_vram_bytes=timing.peak_vram_bytes
    )
    message.load_duration.FromMicroseconds(round(timing.load_seconds * 1e6))
    message.run_duration.FromMicroseconds(round(timing.run_seconds * 1e6))
    return message


def timing_of(message: task_pb2.Timing) -> Timing:
    """Where the time of an attempt went."""
    return Timing(
        message.load_duration.ToMicroseconds() / 1e6,
        message.run_duration.ToMicroseconds() / 1e6,
        tuple(message.loaded_models),
        message.gpu_class,
        message.peak_vram_bytes,
    )


def to_error(error: TaskError) -> task_pb2.TaskError:
    """Why a task failed, as callers see it."""
    return task_pb2.TaskError(
        reason=_REASONS[error.failure],
        message=error.message,
        metadata=error.metadata,
        traceback=error.traceback,
        retryable=error.failure in _RETRYABLE,
        log_tail=error.log_tail,
    )


def error_of(message: task_pb2.TaskError) -> TaskError:
    """Why a task failed."""
    return TaskError(
        _FAILURE_OF[message.reason], message.message, dict(message.metadata), message.traceback, message.log_tail
    )


def to_failure(failure: Failure) -> task_record_pb2.Failure:
    """A failed attempt, for its record."""
    return task_record_pb2.Failure(
        attempt=failure.attempt,
        node=failure.node,
        instance=failure.instance,
        reason=_REASONS[failure.failure],
        time=timestamp(failure.time),
        busy_seconds=failure.seconds,
    )


def attempt_failure(failure: Failure) -> dead_letter_pb2.AttemptFailure:
    """A failed attempt as callers see it."""
    return dead_letter_pb2.AttemptFailure(
        attempt=failure.attempt,
        node=names.node(failure.node),
        instance=failure.instance,
        reason=_REASONS[failure.failure],
        time=timestamp(failure.time),
    )


def failure_of(message: task_record_pb2.Failure) -> Failure:
    """A failed attempt, as its record has it."""
    failure = _FAILURE_OF[message.reason]
    when, busy = seconds(message.time), message.busy_seconds
    return Failure(message.attempt, message.node, message.instance, failure, when, busy)


def to_artifact(task_id: str, artifact: Artifact) -> task_pb2.Artifact:
    """An artifact as callers see it."""
    return task_pb2.Artifact(
        name=names.artifact(task_id, artifact.artifact_id),
        filename=artifact.filename,
        media_type=artifact.media_type,
        size_bytes=artifact.size_bytes,
        sha256=artifact.sha256,
        graph_node=artifact.graph_node,
        output_key=artifact.output_key,
        kind=_KINDS[artifact.kind],
    )


def artifact_of(message: task_pb2.Artifact, small: Mapping[str, bytes]) -> Artifact:
    """An artifact, with its bytes where these are `small` and part of the record."""
    artifact_id = names.parse_artifact(message.name)[1]
    return Artifact(
        artifact_id=artifact_id,
        filename=message.filename,
        media_type=message.media_type,
        size_bytes=message.size_bytes,
        sha256=message.sha256,
        graph_node=message.graph_node,
        output_key=message.output_key,
        kind=_KIND_OF[message.kind],
        small=small.get(artifact_id, b""),
    )
