from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.client import (
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
from comfymesh.client.statuses import Status, error_from_status

if TYPE_CHECKING:
    from google.protobuf.message import Message


def details(*messages: Message, text: str = "It went wrong.") -> bytes:
    status = status_pb2.Status(message=text)
    for message in messages:
        packed = any_pb2.Any()
        packed.Pack(message)
        status.details.append(packed)
    return status.SerializeToString()


def info(reason: str, **metadata: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain="comfymesh", metadata=metadata)


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        ("INVALID_ARGUMENT", "INPUT_INVALID", InvalidRequest),
        ("INVALID_ARGUMENT", "REQUEST_ID_REUSED", InvalidRequest),
        ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE", InvalidRequest),
        ("NOT_FOUND", "TASK_NOT_FOUND", NotFound),
        ("ALREADY_EXISTS", "TASK_ALREADY_EXISTS", Conflict),
        ("FAILED_PRECONDITION", "TASK_ALREADY_FINISHED", Conflict),
        ("FAILED_PRECONDITION", "NO_FEASIBLE_NODE", NoFeasibleNode),
        ("UNAVAILABLE", "NO_FEASIBLE_NODE", Unavailable),
        ("RESOURCE_EXHAUSTED", "QUEUE_FULL", LimitExceeded),
        ("UNAUTHENTICATED", "KEY_UNKNOWN", AccessDenied),
        ("UNAVAILABLE", "SERVER_DRAINING", Unavailable),
        ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", DeadlineExceeded),
        ("UNIMPLEMENTED", "NOT_IMPLEMENTED", Incompatible),
        ("INTERNAL", "INTERNAL", ServerError),
        ("INVALID_ARGUMENT", "OF_THE_FUTURE", InvalidRequest),
    ],
)
def test_reason_and_code_choose_the_class(code: str, reason: str, kind: type[ComfyMeshError]) -> None:
    error = error_from_status(Status(code, "short", details(info(reason))))
    assert type(error) is kind
    assert (error.reason, error.code, error.message) == (reason, code, "It went wrong.")


def test_all_details_are_kept() -> None:
    bad = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field="a", description="A is bad."),
            error_details_pb2.BadRequest.FieldViolation(field="b", description="B too.", reason="TOO_SMALL"),
        ]
    )
    retry = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=3))
    resource = error_details_pb2.ResourceInfo(resource_type="T", resource_name="tasks/x")
    failed = error_details_pb2.PreconditionFailure(
        violations=[error_details_pb2.PreconditionFailure.Violation(subject="tasks/x", description="It ended.")]
    )
    raw = details(bad, info("INPUT_INVALID", limit="5"), retry, resource, failed, duration_pb2.Duration())
    error = error_from_status(Status("INVALID_ARGUMENT", "short", raw))
    assert error.violations == (
        Violation("a", "A is bad."),
        Violation("b", "B too.", "TOO_SMALL"),
        Violation("tasks/x", "It ended."),
    )
    assert error.retry_after == timedelta(seconds=3)
    assert error.metadata == {"limit": "5", "resource_type": "T", "resource_name": "tasks/x"}
    assert str(error).splitlines()[1:] == ["  a: A is bad.", "  b: B too.", "  tasks/x: It ended."]


@pytest.mark.parametrize(
    ("code", "text", "kind", "reason", "said"),
    [
        ("UNAVAILABLE", "a; b: Connection refused", Unavailable, "SERVER_UNREACHABLE", "(Connection refused)"),
        ("UNAVAILABLE", "a; b: Connection refused (111)", Unavailable, "SERVER_UNREACHABLE", "(Connection refused)"),
        (
            "UNAVAILABLE",
            "a: connect: Connection refused (111)",
            Unavailable,
            "SERVER_UNREACHABLE",
            "(Connection refused)",
        ),
        ("UNAVAILABLE", "a: [b: Domain name not found]", Unavailable, "SERVER_UNREACHABLE", "(Domain name not found)"),
        (
            "RESOURCE_EXHAUSTED",
            "Received message larger than max (5 vs. 4)",
            InvalidRequest,
            "MESSAGE_TOO_LARGE",
            "assets",
        ),
        ("RESOURCE_EXHAUSTED", "Too many pings", LimitExceeded, "RESOURCE_EXHAUSTED", "Too many pings"),
        ("DEADLINE_EXCEEDED", "", DeadlineExceeded, "DEADLINE_EXCEEDED", "host:1 did not answer"),
        ("UNIMPLEMENTED", "", Incompatible, "NOT_IMPLEMENTED", "same version"),
        ("UNKNOWN", "boom", ServerError, "INTERNAL", "boom"),
        ("DATA_LOSS", "", ServerError, "DATA_LOSS", "DATA_LOSS"),
    ],
)
def test_a_status_without_details_says_what_to_do(
    code: str, text: str, kind: type[ComfyMeshError], reason: str, said: str
) -> None:
    error = error_from_status(Status(code, text, target="host:1"))
    assert type(error) is kind
    assert error.reason == reason
    assert said in error.message
    assert error.metadata == {"grpc_message": text}


@pytest.mark.parametrize(
    ("target", "chain", "said"),
    [
        ("mesh", "a: Connection refused", "at mesh (Connection refused, at port 443 since none is named)."),
        ("mesh:1,other:1", "a: Connection refused", "at mesh:1,other:1 (Connection refused)."),
        ("mesh:1", "Tls handshake failed: SSL_ERROR_SSL: WRONG_VERSION_NUMBER: x: OK", "(it does not speak TLS)."),
    ],
)
def test_who_can_not_be_reached_is_told_with_what_may_be_wrong_in_its_name(target: str, chain: str, said: str) -> None:
    assert error_from_status(Status("UNAVAILABLE", chain, target=target)).message.endswith(said)


@given(st.binary(max_size=200), st.sampled_from(["UNAVAILABLE", "INTERNAL", "NOT_FOUND", "CANCELLED"]))
def test_no_details_are_too_broken_for_an_exception(raw: bytes, code: str) -> None:
    error = error_from_status(Status(code, "text", raw))
    assert error.reason
    assert error.message
