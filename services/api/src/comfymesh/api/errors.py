"""Refusals: what went wrong, for people and for machines, and the one table that turns it into a gRPC status."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from comfymesh.artifacts.errors import BlobMissingError, StoreFullError, StoreUnavailableError
from comfymesh.bus.port import BusUnavailableError, MessageTooLargeError
from comfymesh.bus.tasklog import UnreadableRecordError
from comfymesh.names import MalformedNameError
from comfymesh.telemetry import tracing
from comfymesh.v1.error_reason_pb2 import ErrorReason
from comfymesh.v1.task_service_pb2 import Refusal

logger = logging.getLogger(__name__)

DOMAIN = "comfymesh"

# An error travels in headers, its message twice, once with three bytes for each that is not ASCII. Of more than 8 KiB
# clients refuse some, of more than 16 KiB all (gRPC's soft and hard limit), and then they see no reason at all.
_MESSAGE_BYTES = 900
_TEXT_BYTES = 400
_METADATA_BYTES = 1800
_VIOLATION_BYTES = 2500

_CODES = {
    "INPUT_INVALID": StatusCode.INVALID_ARGUMENT,
    "GRAPH_UNPARSABLE": StatusCode.INVALID_ARGUMENT,
    "MESSAGE_TOO_LARGE": StatusCode.RESOURCE_EXHAUSTED,
    "INVALID_WORKFLOW": StatusCode.INVALID_ARGUMENT,
    "PARTIAL_OUTPUTS": StatusCode.INVALID_ARGUMENT,
    "PAGE_TOKEN_INVALID": StatusCode.INVALID_ARGUMENT,
    "REQUEST_ID_REUSED": StatusCode.INVALID_ARGUMENT,
    "TASK_NOT_FOUND": StatusCode.NOT_FOUND,
    "ASSET_NOT_FOUND": StatusCode.NOT_FOUND,
    "ARTIFACT_NOT_FOUND": StatusCode.NOT_FOUND,
    "NODE_NOT_FOUND": StatusCode.NOT_FOUND,
    "POOL_NOT_FOUND": StatusCode.NOT_FOUND,
    "INSTANCE_NOT_FOUND": StatusCode.NOT_FOUND,
    "GROUP_NOT_FOUND": StatusCode.NOT_FOUND,
    "RESUME_TOKEN_UNKNOWN": StatusCode.OUT_OF_RANGE,
    "TASK_ALREADY_EXISTS": StatusCode.ALREADY_EXISTS,
    "TASK_ALREADY_FINISHED": StatusCode.FAILED_PRECONDITION,
    "TASK_NOT_FAILED": StatusCode.FAILED_PRECONDITION,
    "DEAD_LETTER_RESOLVED": StatusCode.FAILED_PRECONDITION,
    "NO_FEASIBLE_NODE": StatusCode.FAILED_PRECONDITION,
    "BUS_UNAVAILABLE": StatusCode.UNAVAILABLE,
    "SERVER_DRAINING": StatusCode.UNAVAILABLE,
    "CONTENT_MISMATCH": StatusCode.INVALID_ARGUMENT,
    "RECORD_UNREADABLE": StatusCode.DATA_LOSS,
    "ALERT_NOT_FOUND": StatusCode.NOT_FOUND,
    "SILENCE_NOT_FOUND": StatusCode.NOT_FOUND,
    "ALERT_CHANNEL_NOT_FOUND": StatusCode.NOT_FOUND,
    "WEBHOOK_DELIVERY_NOT_FOUND": StatusCode.NOT_FOUND,
    "NOTIFIER_SILENT": StatusCode.UNAVAILABLE,
    "SCHEDULER_UNAVAILABLE": StatusCode.UNAVAILABLE,
    "SERVER_BUSY": StatusCode.UNAVAILABLE,
    "CREDENTIALS_MISSING": StatusCode.UNAUTHENTICATED,
    "CREDENTIALS_INVALID": StatusCode.UNAUTHENTICATED,
    "ISSUER_UNAVAILABLE": StatusCode.UNAVAILABLE,
    "SCOPE_MISSING": StatusCode.PERMISSION_DENIED,
    "TENANT_DISABLED": StatusCode.PERMISSION_DENIED,
    "TENANT_NOT_FOUND": StatusCode.NOT_FOUND,
    "TENANT_ALREADY_EXISTS": StatusCode.ALREADY_EXISTS,
    "KEY_NOT_FOUND": StatusCode.NOT_FOUND,
    "KEY_ENDED": StatusCode.FAILED_PRECONDITION,
    "ETAG_MISMATCH": StatusCode.ABORTED,
    "WORKFLOW_NOT_FOUND": StatusCode.NOT_FOUND,
    "WORKFLOW_ALREADY_EXISTS": StatusCode.ALREADY_EXISTS,
    "WORKFLOW_VERSION_IN_USE": StatusCode.FAILED_PRECONDITION,
    "QUOTA_EXCEEDED": StatusCode.RESOURCE_EXHAUSTED,
    "RATE_LIMITED": StatusCode.RESOURCE_EXHAUSTED,
    "GRAPH_NOT_ALLOWED": StatusCode.PERMISSION_DENIED,
    "UPLOAD_NOT_FOUND": StatusCode.NOT_FOUND,
    "UPLOAD_CONFLICT": StatusCode.ABORTED,
    "SIGNED_URL_UNSUPPORTED": StatusCode.FAILED_PRECONDITION,
    "STORE_FULL": StatusCode.RESOURCE_EXHAUSTED,
    "INTERNAL": StatusCode.INTERNAL,
}
"""The status code of each reason with which a call can be refused."""


_RESOURCE_TYPES = {
    "tasks": "comfymesh.v1.Task",
    "assets": "comfymesh.v1.Asset",
    "uploads": "comfymesh.v1.Upload",
    "artifacts": "comfymesh.v1.Artifact",
    "nodes": "comfymesh.v1.Node",
    "groups": "comfymesh.v1.Group",
    "alerts": "comfymesh.v1.Alert",
    "silences": "comfymesh.v1.Silence",
    "alertChannels": "comfymesh.v1.AlertChannel",
    "webhookDeliveries": "comfymesh.v1.WebhookDelivery",
    "tenants": "comfymesh.v1.Tenant",
    "keys": "comfymesh.v1.Key",
    "workflows": "comfymesh.v1.Workflow",
    "versions": "comfymesh.v1.WorkflowVersion",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One wrong field: its path in the request, what is wrong with it and what to do."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class QuotaViolation:
    """Whose limit was met, `tenants/{tenant}`, and which."""

    subject: str
    description: str


@dataclass(slots=True)
class RefusedError(Exception):
    """A call that is refused.

    Attributes:
        reason: A value of ErrorReason without its prefix.
        message: What was tried, what is wrong, what to do.
        metadata: Everything variable in the message.
        violations: Every wrong field of the request.
        resource: Name of the resource that the refusal is about.
        quota: The limit that was met.
        retry_after: When trying again may help, in seconds; None where it does not.
        code: The status code, where the reason alone does not say.
    """

    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: Sequence[Violation] = ()
    resource: str = ""
    quota: QuotaViolation | None = None
    retry_after: float | None = None
    code: StatusCode | None = None

    @property
    def status_code(self) -> StatusCode:
        """The gRPC status code."""
        return self.code or _CODES[self.reason]

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


def status_code_of(reason: str) -> str:
    """The name of the code with which calls are refused for a reason; empty where none are."""
    return _CODES[reason].name if reason in _CODES else ""


def invalid(violations: Sequence[Violation]) -> RefusedError:
    """A request with wrong fields."""
    count = len(violations)
    problems = "; ".join(f"{v.field}: {v.description}" for v in violations[:3])
    more = f"; and {count - 3} more" if count > 3 else ""
    return RefusedError("INPUT_INVALID", f"the request is not valid: {problems}{more}", violations=violations)


def not_found(kind: str, name: str) -> RefusedError:
    """A resource that does not exist; `kind` is task, group, alert_channel, ...: as in its reason, in lower case."""
    words = kind.replace("_", " ")
    message = f"there is no {words} {name}; check the name, and that the {words} has not been removed or ended"
    return RefusedError(f"{kind.upper()}_NOT_FOUND", message, {kind: name}, resource=name)


def draining() -> RefusedError:
    """The server is stopping."""
    return RefusedError(
        "SERVER_DRAINING", "this server is stopping; try again, streams with their token", retry_after=0.5
    )


def refusal(error: Exception) -> RefusedError | None:
    """What the caller is told of a domain error; None for one that is a defect of ours."""
    match error:
        case RefusedError():
            return error
        case MalformedNameError():
            return invalid([Violation("name", str(error))])
        case BusUnavailableError():
            message = "the message bus did not confirm; nothing was promised, try again with the same request ID"
            return RefusedError("BUS_UNAVAILABLE", message, retry_after=1.0)
        case StoreFullError():
            message = f"there is no room to store that; whoever operates the mesh has to make some: {error}"
            return RefusedError("STORE_FULL", message)
        case StoreUnavailableError():
            return RefusedError("BUS_UNAVAILABLE", f"the artifact store did not answer: {error}", retry_after=1.0)
        case BlobMissingError():
            return RefusedError("ARTIFACT_NOT_FOUND", f"{error}; it was removed, or the store lost it")
        case MessageTooLargeError():
            return RefusedError("MESSAGE_TOO_LARGE", str(error))
        case UnreadableRecordError():
            where = {"subject": error.subject, "sequence": str(error.sequence), "problem": error.reason}
            return RefusedError("RECORD_UNREADABLE", str(error), where)
        case _:
            return None


def defect(method: str, error: Exception, request_id: str = "") -> RefusedError:
    """A defect of ours: the log has it all, the caller is told where to find it there."""
    # Where nothing is traced, the report still needs a name of its own.
    trace_id = tracing.ids().get("trace_id") or uuid4().hex
    fields = {"action": "call_defect", "trace_id": trace_id, "request_id": request_id}
    logger.error("%s ended by a defect", method, exc_info=error, extra=fields)
    return RefusedError("INTERNAL", f"a defect of the server, reported as {trace_id}", {"trace_id": trace_id})


def to_refusal(method: str, error: Exception) -> Refusal:
    """What is told of one item of a call whose others may be well."""
    status = to_status(refusal(error) or defect(method, error))
    return Refusal(code=status.code, message=status.message, details=status.details)


def to_status(error: RefusedError, request_id: str = "") -> status_pb2.Status:
    """The refusal as google.rpc.Status, with details. `request_id` is what the caller calls its call."""
    details = _details(error)
    if request_id:
        details.append(error_details_pb2.RequestInfo(request_id=request_id))
    code: int = error.status_code.value[0]
    message = _shortened(error.message, _MESSAGE_BYTES)
    return status_pb2.Status(code=code, message=message, details=[_packed(detail) for detail in details])


def _details(error: RefusedError) -> list[Message]:
    assert f"ERROR_REASON_{error.reason}" in ErrorReason.keys()  # noqa: SIM118  # an enum of protobuf is not iterable
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=dict(_told(error.metadata))),
    ]
    if error.violations:
        details.append(error_details_pb2.BadRequest(field_violations=_fields(error.violations)))
    if error.resource:
        details.append(_about_resource(error))
    if error.quota is not None:
        met = error_details_pb2.QuotaFailure.Violation(subject=error.quota.subject, description=error.quota.description)
        details.append(error_details_pb2.QuotaFailure(violations=[met]))
    if error.retry_after is not None:
        delay = Duration()
        delay.FromMilliseconds(round(error.retry_after * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return details


def _told(metadata: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """As much of the metadata as there is room for, the first of it first."""
    room = _METADATA_BYTES
    for name, value in metadata.items():
        text = _shortened(value, _TEXT_BYTES)
        room -= len(name.encode()) + len(text.encode())
        if room < 0:
            return
        yield name, text


def _fields(violations: Sequence[Violation]) -> list[error_details_pb2.BadRequest.FieldViolation]:
    """As many violations as there is room for, and how many more there are."""
    made = error_details_pb2.BadRequest.FieldViolation
    found, room = list[error_details_pb2.BadRequest.FieldViolation](), _VIOLATION_BYTES
    for count, violation in enumerate(violations):
        field, description = (_shortened(t, _TEXT_BYTES) for t in (violation.field, violation.description))
        room -= len(field.encode()) + len(description.encode())
        if room < 0:
            left = len(violations) - count
            return [*found, made(description=f"and {left} more, which there is no room to tell; mend these first")]
        found.append(made(field=field, description=description))
    return found


def _shortened(text: str, most: int) -> str:
    """A text of at most so many bytes."""
    if len(text) <= most and len(data := text.encode()) <= most:
        return data.decode()
    return text[:most].encode()[: most - 3].decode(errors="ignore") + "..."


def _about_resource(error: RefusedError) -> Message:
    kind = _RESOURCE_TYPES.get(error.resource.rpartition("/")[0].rpartition("/")[2], "")
    detail: Message
    if error.status_code is StatusCode.FAILED_PRECONDITION:
        violation = error_details_pb2.PreconditionFailure.Violation(
            type=error.reason, subject=error.resource, description=error.message
        )
        detail = error_details_pb2.PreconditionFailure(violations=[violation])
    else:
        detail = error_details_pb2.ResourceInfo(
            resource_type=kind, resource_name=error.resource, description=error.message
        )
    return detail


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
