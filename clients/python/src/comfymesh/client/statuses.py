"""Turns a failed call's status into an exception. Pure: codes are names, details are bytes.

The details are a `google.rpc.Status` in the trailing metadata `grpc-status-details-bin`. A status without them does not
come from the mesh but from gRPC itself, or from something between; it gets a reason of ours and a message that says
what to do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from comfymesh.client.errors import (
    AccessDenied,
    ComfyMeshError,
    Conflict,
    DeadlineExceeded,
    Incompatible,
    InvalidRequest,
    LimitExceeded,
    NoFeasibleNode,
    NotFound,
    ServerError,
    Unavailable,
    Violation,
)

if TYPE_CHECKING:
    from google.protobuf.any_pb2 import Any

DETAILS_KEY = "grpc-status-details-bin"
"""Key of the trailing metadata that carries the details."""

SERVER_UNREACHABLE = "SERVER_UNREACHABLE"
STREAM_BROKEN = "STREAM_BROKEN"
MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"

_BY_REASON: dict[str, type[ComfyMeshError]] = {
    "NO_FEASIBLE_NODE": NoFeasibleNode,
    "TASK_ALREADY_EXISTS": Conflict,
    "TASK_ALREADY_FINISHED": Conflict,
    "TASK_NOT_FAILED": Conflict,
    "DEAD_LETTER_RESOLVED": Conflict,
    "ETAG_MISMATCH": Conflict,
    MESSAGE_TOO_LARGE: InvalidRequest,
    "NOT_IMPLEMENTED": Incompatible,
    "INTERNAL": ServerError,
}

_BY_CODE: dict[str, type[ComfyMeshError]] = {
    "INVALID_ARGUMENT": InvalidRequest,
    "FAILED_PRECONDITION": InvalidRequest,
    "OUT_OF_RANGE": InvalidRequest,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": Conflict,
    "ABORTED": Conflict,
    "PERMISSION_DENIED": AccessDenied,
    "UNAUTHENTICATED": AccessDenied,
    "RESOURCE_EXHAUSTED": LimitExceeded,
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNIMPLEMENTED": Incompatible,
}


_BEHIND_CAUSE = re.compile(r"(\s*\(\d+\)|\])+$")
"""An error's number, or the end of a list of causes."""
_NO_TLS = "WRONG_VERSION_NUMBER"
_DEFAULT_PORT = 443


@dataclass(frozen=True, slots=True)
class Status:
    """How a call ended.

    Attributes:
        code: Name of the gRPC status code, such as ``NOT_FOUND``.
        message: The status message.
        details: Value of `DETAILS_KEY`, or None.
        target: Address of the server, for messages.
    """

    code: str
    message: str = ""
    details: bytes | None = None
    target: str = ""


@dataclass(frozen=True, slots=True)
class _Details:
    reason: str = ""
    message: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    retry_after: timedelta | None = None


def error_from_status(status: Status) -> ComfyMeshError:
    """The exception for a status that is not OK."""
    details = _parse(status.details)
    if not details.reason:
        details = _without_reason(status, details)
    return _family(status.code, details.reason)(
        details.message or status.message or f"The server answered {status.code} without a message.",
        reason=details.reason,
        metadata=details.metadata,
        violations=details.violations,
        retry_after=details.retry_after,
        code=status.code,
    )


def error_of_refusal(raw: bytes) -> ComfyMeshError:
    """The exception for a `google.rpc.Status` that came as a message and not as the end of a call."""
    status = status_pb2.Status.FromString(raw)
    code = code_pb2.Code.Name(status.code) if status.code in code_pb2.Code.values() else "UNKNOWN"
    return error_from_status(Status(code, status.message, raw))


def _family(code: str, reason: str) -> type[ComfyMeshError]:
    # UNAVAILABLE means "try again" with any reason: NO_FEASIBLE_NODE has this code while the fleet settles.
    if code == "UNAVAILABLE":
        return Unavailable
    return _BY_REASON.get(reason) or _BY_CODE.get(code, ServerError)


def _parse(raw: bytes | None) -> _Details:
    """What the details hold; nothing when they are absent or not understood."""
    if not raw:
        return _Details()
    try:
        status = status_pb2.Status.FromString(raw)
        details = _Details(message=status.message)
        for packed in status.details:
            details = _add(details, packed)
    except DecodeError:
        return _Details()
    return details


def _add(details: _Details, packed: Any) -> _Details:
    info = error_details_pb2.ErrorInfo()
    if packed.Unpack(info):
        return replace(details, reason=info.reason, metadata=details.metadata | dict(info.metadata))
    bad_request = error_details_pb2.BadRequest()
    if packed.Unpack(bad_request):
        return replace(details, violations=details.violations + _violations(bad_request))
    retry = error_details_pb2.RetryInfo()
    if packed.Unpack(retry):
        return replace(details, retry_after=retry.retry_delay.ToTimedelta())
    resource = error_details_pb2.ResourceInfo()
    if packed.Unpack(resource):
        named = {"resource_type": resource.resource_type, "resource_name": resource.resource_name}
        return replace(details, metadata=named | details.metadata)
    quota = error_details_pb2.QuotaFailure()
    if packed.Unpack(quota):
        met = tuple(Violation(v.subject, v.description) for v in quota.violations)
        return replace(details, violations=details.violations + met)
    precondition = error_details_pb2.PreconditionFailure()
    if packed.Unpack(precondition):
        failed = tuple(Violation(v.subject, v.description, v.type) for v in precondition.violations)
        return replace(details, violations=details.violations + failed)
    return details


def _violations(bad_request: error_details_pb2.BadRequest) -> tuple[Violation, ...]:
    return tuple(Violation(v.field, v.description, v.reason) for v in bad_request.field_violations)


def _cause(chain: str) -> str:
    """Of a chain of causes the last, which people understand; what stands behind it hangs on gRPC's engine."""
    if _NO_TLS in chain:
        return "it does not speak TLS"
    return _BEHIND_CAUSE.sub("", chain.rsplit(": ", 1)[-1].strip()) or "no cause given"


def _port(target: str) -> str:
    """Where gRPC has asked, if that was left to it."""
    return "" if ":" in target else f", at port {_DEFAULT_PORT} since none is named"


def _without_reason(status: Status, details: _Details) -> _Details:
    """Reason and message for a status that the mesh itself did not write; gRPC's words go into the metadata."""
    details = replace(details, metadata={"grpc_message": status.message} | details.metadata)
    if status.code == "UNAVAILABLE":
        text = f"No ComfyMesh server answers at {status.target} ({_cause(status.message)}{_port(status.target)})."
        return replace(details, reason=SERVER_UNREACHABLE, message=text)
    if status.code == "RESOURCE_EXHAUSTED" and "larger than max" in status.message:
        text = f"The message is larger than allowed ({status.message}). Upload big inputs as assets instead."
        return replace(details, reason=MESSAGE_TOO_LARGE, message=text)
    if status.code == "DEADLINE_EXCEEDED":
        text = f"{status.target} did not answer in time. Try again, or allow a longer timeout."
        return replace(details, reason="DEADLINE_EXCEEDED", message=text)
    if status.code == "UNIMPLEMENTED":
        text = f"{status.target} does not know this method. Use a client and a server of the same version."
        return replace(details, reason="NOT_IMPLEMENTED", message=text)
    if status.code in {"UNKNOWN", "INTERNAL"}:
        text = f"{status.target} failed and does not explain why ({status.message}). Its log may tell."
        return replace(details, reason="INTERNAL", message=text)
    return replace(details, reason=status.code, message=details.message or status.message)
