"""Messages about workflows as values of the SDK, and the other way round."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfymesh.client.convert import enum_from_proto, time_from_proto
from comfymesh.client.errors import InvalidRequest, Violation
from comfymesh.client.inputs import input_to_proto
from comfymesh.client.models import Asset, Url
from comfymesh.client.workflow_models import (
    InputKind,
    ViolationSeverity,
    Workflow,
    WorkflowInput,
    WorkflowRef,
    WorkflowReview,
    WorkflowVersion,
    WorkflowViolation,
)
from comfymesh.v1 import task_pb2, workflow_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comfymesh.client.inputs import Scalar
    from comfymesh.v1 import workflow_service_pb2


def workflow_name(workflow: str | WorkflowRef | Workflow) -> str:
    """The resource name of a workflow, or of a version, from itself, its name, or ``portrait`` or ``portrait@3``."""
    name = workflow if isinstance(workflow, str) else workflow.name
    name, at, number = name.partition("@")
    full = name if "/" in name else f"workflows/{name}"
    return f"{full}/versions/{number}" if at else full


def workflow_from_proto(message: workflow_pb2.Workflow) -> Workflow:
    """A workflow."""
    return Workflow(
        name=message.name,
        display_name=message.display_name,
        description=message.description,
        labels=dict(message.labels),
        graph_json=message.graph_json,
        inputs=inputs_from_proto(message.inputs),
        default_version=message.default_version,
        latest_version=message.latest_version,
        create_time=time_from_proto(message, "create_time"),
        update_time=time_from_proto(message, "update_time"),
        delete_time=time_from_proto(message, "delete_time"),
        etag=message.etag,
    )


def version_from_proto(message: workflow_pb2.WorkflowVersion) -> WorkflowVersion:
    """A version."""
    return WorkflowVersion(
        name=message.name,
        number=message.number,
        graph_json=message.graph_json,
        inputs=inputs_from_proto(message.inputs),
        graph_digest=message.graph_digest,
        create_time=time_from_proto(message, "create_time"),
    )


def review_from_proto(message: workflow_service_pb2.ValidateWorkflowResponse) -> WorkflowReview:
    """A review."""
    return WorkflowReview(
        violations=tuple(_violation(each) for each in message.violations),
        runnable_outputs=tuple(message.runnable_outputs),
        dropped_outputs=tuple(message.dropped_outputs),
        able_instance_count=message.able_instance_count,
        instance_count=message.instance_count,
        violation_count=message.violation_count,
    )


def inputs_from_proto(messages: Sequence[workflow_pb2.WorkflowInput]) -> tuple[WorkflowInput, ...]:
    """Inputs."""
    return tuple(_input(message) for message in messages)


def inputs_to_proto(inputs: Sequence[WorkflowInput]) -> list[workflow_pb2.WorkflowInput]:
    """The messages for inputs.

    Raises:
        InvalidRequest: Some can't be sent, all of them at once.
    """
    made, wrong = list[workflow_pb2.WorkflowInput](), list[Violation]()
    for index, each in enumerate(inputs):
        try:
            made.append(_input_to_proto(each))
        except (TypeError, ValueError) as error:
            wrong.append(Violation(f"workflow.inputs[{index}]", str(error)))
    if wrong:
        raise InvalidRequest("Some inputs of the workflow can't be sent.", reason="INPUT_INVALID", violations=wrong)
    return made


def _input(message: workflow_pb2.WorkflowInput) -> WorkflowInput:
    return WorkflowInput(
        name=message.name,
        kind=enum_from_proto(InputKind, workflow_pb2.WorkflowInput.Kind.Name, message.kind, "KIND_"),
        targets=tuple(f"{target.graph_node}.{target.input}" for target in message.targets),
        description=message.description,
        required=message.required,
        default=_value(message.default_value) if message.HasField("default_value") else None,
        minimum=_number(message.minimum) if message.HasField("minimum") else None,
        maximum=_number(message.maximum) if message.HasField("maximum") else None,
        options=tuple(message.options),
    )


def _input_to_proto(each: WorkflowInput) -> workflow_pb2.WorkflowInput:
    made = workflow_pb2.WorkflowInput(
        name=each.name,
        kind=f"KIND_{each.kind.value}" if each.kind is not InputKind.UNKNOWN else "KIND_UNSPECIFIED",
        targets=[_target(path) for path in each.targets],
        description=each.description,
        required=each.required,
        options=each.options,
    )
    for field, value in (
        (made.default_value, each.default),
        (made.minimum, each.minimum),
        (made.maximum, each.maximum),
    ):
        if value is not None:
            field.CopyFrom(input_to_proto(value))
    return made


def _target(path: str) -> workflow_pb2.InputTarget:
    graph_node, dot, name = path.partition(".")
    if not dot:
        raise ValueError(f"{path!r} names no input of a graph node: write {{graph node id}}.{{input name}}.")
    return workflow_pb2.InputTarget(graph_node=graph_node, input=name)


def _value(message: task_pb2.InputValue) -> Scalar | None:
    kind = message.WhichOneof("kind")
    if kind == "asset":
        return Asset(message.asset)
    if kind == "url":
        return Url(message.url)
    value: Scalar | None = getattr(message, kind) if kind else None
    return value


def _number(message: task_pb2.InputValue) -> int | float | None:
    value = _value(message)
    return value if isinstance(value, (int, float)) else None


def _violation(message: workflow_pb2.WorkflowViolation) -> WorkflowViolation:
    name_of = workflow_pb2.WorkflowViolation.Severity.Name
    return WorkflowViolation(
        severity=enum_from_proto(ViolationSeverity, name_of, message.severity, "SEVERITY_"),
        type=message.type,
        message=message.message,
        graph_node=message.graph_node,
        graph_node_class=message.graph_node_class,
        input=message.input,
        workflow_input=message.workflow_input,
        nearest=tuple(message.nearest),
        dropped_outputs=tuple(message.dropped_outputs),
        offering_instance_count=message.offering_instance_count,
    )
