from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from comfymesh.cli.complaints import advise, complain
from comfymesh.cli.jsonlines import error_json, line, plain
from comfymesh.cli.outcomes import EXIT_CODES_HELP, ExitCode, exit_code
from comfymesh.cli.session import Session
from comfymesh.client import (
    AccessDenied,
    ComfyMeshError,
    Conflict,
    DeadlineExceeded,
    InvalidRequest,
    LimitExceeded,
    LoadedArtifact,
    NoFeasibleNode,
    NotFound,
    ServerError,
    Task,
    TaskCancelled,
    TaskError,
    TaskExpired,
    TaskFailed,
    TaskState,
    Unavailable,
    Violation,
)

FAILED = Task(
    "tasks/t1", TaskState.FAILED, error=TaskError("OUT_OF_MEMORY", "No memory.", traceback="Tb", retryable=True)
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TaskFailed(FAILED), ExitCode.FAILED),
        (TaskCancelled(Task("tasks/t1", TaskState.CANCELLED)), ExitCode.CANCELLED),
        (TaskExpired(Task("tasks/t1", TaskState.EXPIRED)), ExitCode.EXPIRED),
        *((kind("x", reason="R"), ExitCode.INVALID) for kind in (InvalidRequest, NotFound, Conflict)),
        *((kind("x", reason="R"), ExitCode.INVALID) for kind in (NoFeasibleNode, AccessDenied)),
        *((kind("x", reason="R"), ExitCode.UNAVAILABLE) for kind in (Unavailable, DeadlineExceeded)),
        *((kind("x", reason="R"), ExitCode.UNAVAILABLE) for kind in (LimitExceeded, ServerError)),
    ],
)
def test_each_outcome_has_its_exit_code(error: ComfyMeshError, code: ExitCode) -> None:
    assert exit_code(error) is code


def test_every_exit_code_is_documented() -> None:
    assert all(f"\n  {code.value} " in EXIT_CODES_HELP for code in ExitCode)


def test_advice_follows_the_reason() -> None:
    assert "comfymesh dev" in advise(Unavailable("x", reason="SERVER_UNREACHABLE"))
    assert advise(LimitExceeded("x", reason="QUEUE_FULL", retry_after=timedelta(seconds=90))) == (
        "try again in 1 min 30 s."
    )
    assert "comfymesh get t1" in advise(TaskFailed(FAILED))
    assert "run it again" in advise(TaskFailed(FAILED))
    assert advise(NotFound("x", reason="OF_THE_FUTURE")) == ""
    lacking = Task("tasks/t1", TaskState.FAILED, error=TaskError("MISSING_DEPENDENCY", "Invalid image file: photo.png"))
    assert "--input NODE.INPUT=@FILE" in advise(TaskFailed(lacking))


@pytest.mark.parametrize(("field", "told"), [("task.inputs[5.seed]", True), ("tenant.limits.max_waiting_tasks", False)])
def test_how_inputs_are_written_is_told_to_whoever_wrote_one(field: str, *, told: bool) -> None:
    error = InvalidRequest("x", reason="INPUT_INVALID", violations=[Violation(field, "is wrong")])
    assert ("comfymesh run --help" in advise(error)) is told


def test_what_the_message_says_is_not_said_again(capsys: pytest.CaptureFixture[str]) -> None:
    text = "tenants/default has used 1 of 1"
    violations = [Violation("tenants/default", f"max_waiting_tasks: {text}")]
    complain(Session(), LimitExceeded(text, reason="QUOTA_EXCEEDED", violations=violations))
    assert capsys.readouterr().err.count(text) == 1


def test_values_become_json_that_machines_understand() -> None:
    artifact = LoadedArtifact(name="n", filename="\x1b[2J.png", data=b"bytes", path=Path("out/a"))
    task = Task("tasks/t", TaskState.SUCCEEDED, artifacts=(artifact,), create_time=datetime(2026, 1, 1, tzinfo=UTC))
    text = line(plain(task))
    assert "\x1b" not in text
    found = json.loads(text)
    assert found["state"] == "SUCCEEDED"
    assert found["create_time"] == "2026-01-01T00:00:00+00:00"
    assert found["artifacts"][0]["path"] == "out/a"
    assert "data" not in found["artifacts"][0]
    assert plain(timedelta(seconds=1.5)) == 1.5
    with pytest.raises(TypeError):
        plain(object())


def test_errors_become_json_with_all_they_carry() -> None:
    error = InvalidRequest("bad", reason="INPUT_INVALID", violations=[Violation("a", "b")], code="INVALID_ARGUMENT")
    assert error_json(error) == {
        "error": {
            "reason": "INPUT_INVALID",
            "message": "bad",
            "metadata": {},
            "violations": [{"field": "a", "description": "b", "reason": ""}],
            "retry_after": None,
            "code": "INVALID_ARGUMENT",
        }
    }
    assert '"task"' in line(error_json(TaskFailed(FAILED)))
