"""Every error becomes one status, with a reason that the contract knows."""

from __future__ import annotations

import re

import pytest
from google.rpc import error_details_pb2
from opentelemetry.trace import NonRecordingSpan, SpanContext, use_span

from comfymesh.api import errors
from comfymesh.artifacts.errors import BlobMissingError, StoreUnavailableError
from comfymesh.bus.port import BusUnavailableError, MessageTooLargeError
from comfymesh.bus.tasklog import UnreadableRecordError
from comfymesh.names import MalformedNameError
from comfymesh.v1.error_reason_pb2 import ErrorReason


def kinds(refusal: errors.RefusedError) -> list[str]:
    return [detail.TypeName().rpartition(".")[2] for detail in errors.to_status(refusal).details]


@pytest.mark.parametrize(
    ("error", "code", "reason", "details"),
    [
        (MalformedNameError("x", "tasks/{task}"), "INVALID_ARGUMENT", "INPUT_INVALID", ["ErrorInfo", "BadRequest"]),
        (BusUnavailableError("x"), "UNAVAILABLE", "BUS_UNAVAILABLE", ["ErrorInfo", "RetryInfo"]),
        (StoreUnavailableError("x"), "UNAVAILABLE", "BUS_UNAVAILABLE", ["ErrorInfo", "RetryInfo"]),
        (BlobMissingError("o", "d"), "NOT_FOUND", "ARTIFACT_NOT_FOUND", ["ErrorInfo"]),
        (MessageTooLargeError("x"), "RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE", ["ErrorInfo"]),
        (UnreadableRecordError("task.default.one", 7, "torn"), "DATA_LOSS", "RECORD_UNREADABLE", ["ErrorInfo"]),
        (errors.draining(), "UNAVAILABLE", "SERVER_DRAINING", ["ErrorInfo", "RetryInfo"]),
        (errors.not_found("task", "tasks/one"), "NOT_FOUND", "TASK_NOT_FOUND", ["ErrorInfo", "ResourceInfo"]),
    ],
)
def test_a_domain_error_has_one_status(error: Exception, code: str, reason: str, details: list[str]) -> None:
    refusal = errors.refusal(error)
    assert refusal is not None
    assert (refusal.status_code.name, refusal.reason, kinds(refusal)) == (code, reason, details)
    info = error_details_pb2.ErrorInfo()
    assert errors.to_status(refusal).details[0].Unpack(info)
    assert (info.reason, info.domain) == (reason, "comfymesh")


def test_a_defect_has_none() -> None:
    assert errors.refusal(KeyError("ours")) is None


def test_each_defect_has_an_id_of_its_own_by_which_the_log_can_be_searched(caplog: pytest.LogCaptureFixture) -> None:
    told = [errors.defect("GetTask", KeyError("ours")).metadata["trace_id"] for _ in range(2)]
    assert len(set(told)) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", trace_id) for trace_id in told)
    assert [vars(record)["trace_id"] for record in caplog.records] == told


def test_the_id_of_a_defect_is_that_of_the_trace() -> None:
    context = SpanContext(trace_id=0xABC, span_id=1, is_remote=False)
    with use_span(NonRecordingSpan(context)):
        assert errors.defect("GetTask", KeyError("ours")).metadata["trace_id"] == f"{0xABC:032x}"


def test_every_reason_is_one_of_the_contract() -> None:
    assert {f"ERROR_REASON_{reason}" for reason in errors._CODES} <= set(ErrorReason.keys())


def test_many_violations_are_all_told_and_the_first_are_shown() -> None:
    refusal = errors.invalid([errors.Violation(f"f{n}", "is wrong") for n in range(5)])
    assert refusal.message == "the request is not valid: f0: is wrong; f1: is wrong; f2: is wrong; and 2 more"
    bad = error_details_pb2.BadRequest()
    assert errors.to_status(refusal).details[1].Unpack(bad)
    assert [violation.field for violation in bad.field_violations] == [f"f{n}" for n in range(5)]


@pytest.mark.parametrize("count", [0, 1, 20, 5000])
@pytest.mark.parametrize("text", ["x", "\u00e9" * 300, "\u4e2d" * 10_000, "long " * 1_000_000])
def test_however_much_is_wrong_the_details_fit_into_headers(count: int, text: str) -> None:
    violations = [errors.Violation(f"task.labels[{number}]", text) for number in range(count)]
    metadata = {f"key-{number}": text for number in range(count)}
    status = errors.to_status(errors.RefusedError("INPUT_INVALID", text, metadata, violations))
    assert len(status.SerializeToString()) + 3 * len(status.message.encode()) < 8 * 1024
    told = error_details_pb2.BadRequest()
    if count:
        assert status.details[1].Unpack(told)
        assert told.field_violations[0].field == "task.labels[0]"
    if count == 5000:
        assert "more" in told.field_violations[-1].description
