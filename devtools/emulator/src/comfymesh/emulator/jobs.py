"""Jobs: the view of queue and history that ``/api/jobs`` gives (ComfyUI protocol notes, section 5.3). No IO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from comfymesh.emulator.prompt_queue import Prompt

Job = dict[str, object]
STATES = ("pending", "in_progress", "completed", "failed", "cancelled")
_PREVIEWABLE = ("images", "gifs", "video", "audio")
_ENDINGS = {
    "execution_success": "completed",
    "execution_error": "failed",
    "execution_interrupted": "cancelled",
}


def queued_job(prompt: Prompt, state: str) -> Job:
    """Returns the job of a prompt that waits or runs."""
    return _without_nulls(
        {
            "id": prompt.id,
            "status": state,
            "priority": prompt.number,
            "create_time": prompt.extra_data.get("create_time"),
            "outputs_count": 0,
            "previewable_outputs_count": 0,
            "workflow_id": workflow_id(prompt.extra_data),
        }
    )


def finished_job(prompt_id: str, entry: Mapping[str, object], *, whole: bool = False) -> Job:
    """Returns the job of an entry of the history.

    Args:
        prompt_id: The prompt.
        entry: The entry.
        whole: Whether outputs, status and workflow are added, as ``/api/jobs/{id}`` does.
    """
    item = cast("list[object]", entry["prompt"])
    extra_data = cast("Mapping[str, object]", item[3])
    status = cast("Mapping[str, object]", entry["status"])
    outputs = cast("Mapping[str, Mapping[str, object]]", entry["outputs"])
    times = dict(cast("list[tuple[str, Mapping[str, object]]]", status["messages"]))
    last = next((name for name in reversed(times) if name in _ENDINGS), "execution_error")
    files = [*_files(outputs)]
    job = {
        "id": prompt_id,
        "status": _ENDINGS[last],
        "priority": item[0],
        "create_time": extra_data.get("create_time"),
        "execution_start_time": times.get("execution_start", {}).get("timestamp"),
        "execution_end_time": times.get(last, {}).get("timestamp"),
        "execution_error": times.get("execution_error"),
        "outputs_count": len(files),
        "previewable_outputs_count": len(files),
        "preview_output": next((file for file in files if file["type"] == "output"), next(iter(files), None)),
        "workflow_id": workflow_id(extra_data),
    }
    if whole:
        job["outputs"] = outputs
        job["execution_status"] = status
        job["workflow"] = {"prompt": item[2], "extra_data": extra_data}
    return _without_nulls(job)


def workflow_id(extra_data: Mapping[str, object]) -> object:
    """Returns the id that the client's front-end gave the workflow, or None."""
    info = extra_data.get("extra_pnginfo")
    workflow = info.get("workflow") if isinstance(info, Mapping) else None
    return workflow.get("id") if isinstance(workflow, Mapping) else None


def sorted_jobs(jobs: list[Job], sort_by: str, *, descending: bool) -> list[Job]:
    """Sorts jobs by creation, or by how long they ran."""

    def key(job: Job) -> float:
        if sort_by == "execution_duration":
            return _number(job, "execution_end_time") - _number(job, "execution_start_time")
        return _number(job, "create_time")

    return sorted(jobs, key=key, reverse=descending)


def _number(job: Job, name: str) -> float:
    value = job.get(name)
    return value if isinstance(value, (int, float)) else 0


def _files(outputs: Mapping[str, Mapping[str, object]]) -> Iterator[dict[str, object]]:
    for node_id, kinds in outputs.items():
        for kind, entries in kinds.items():
            for entry in entries if isinstance(entries, list) and kind in _PREVIEWABLE else ():
                if isinstance(entry, dict):
                    yield {**entry, "nodeId": node_id, "mediaType": kind}


def _without_nulls(job: Job) -> Job:
    return {name: value for name, value in job.items() if value is not None}
