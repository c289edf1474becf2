"""Jobs read as recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from comfymesh.emulator.jobs import finished_job, queued_job, sorted_jobs
from comfymesh.emulator.prompt_queue import Prompt

TRACES = Path(__file__).parents[2] / "data" / "comfyui" / "traces"


def answers(trace: str, prefix: str) -> list[Any]:
    lines = map(json.loads, (TRACES / f"{trace}.jsonl").read_text().splitlines())
    return [line["resp"] for line in lines if line["kind"] == "http" and line["path"].startswith(prefix)]


def entry_and_job(trace: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    history = next(answer for answer in reversed(answers(trace, "/history/")) if answer)
    prompt_id, entry = next(iter(history.items()))
    job = next(answer for answer in reversed(answers(trace, "/api/jobs/")) if answer["id"] == prompt_id)
    return prompt_id, entry, job


def test_a_completed_job_reads_as_recorded() -> None:
    prompt_id, entry, job = entry_and_job("01-success-sampling-new-previews")
    assert finished_job(prompt_id, entry, whole=True) == job


def test_a_failed_job_reads_as_recorded() -> None:
    prompt_id, entry, job = entry_and_job("08-execution-error")
    assert finished_job(prompt_id, entry, whole=True) == job


def test_a_cancelled_job_reads_as_recorded() -> None:
    prompt_id, entry, job = entry_and_job("10-interrupt-running")
    assert finished_job(prompt_id, entry, whole=True) == job


def test_a_waiting_job_has_no_keys_without_a_value() -> None:
    prompt = Prompt(3, "p", {}, {"create_time": 5}, ["2"])
    assert queued_job(prompt, "pending") == {
        "id": "p",
        "status": "pending",
        "priority": 3,
        "create_time": 5,
        "outputs_count": 0,
        "previewable_outputs_count": 0,
    }


def test_jobs_are_sorted_by_duration_with_unfinished_ones_at_zero() -> None:
    slow = {"id": "slow", "execution_start_time": 0, "execution_end_time": 9}
    fast = {"id": "fast", "execution_start_time": 0, "execution_end_time": 1}
    waiting: dict[str, object] = {"id": "waiting"}
    ordered = sorted_jobs([slow, waiting, fast], "execution_duration", descending=False)
    assert [job["id"] for job in ordered] == ["waiting", "fast", "slow"]
