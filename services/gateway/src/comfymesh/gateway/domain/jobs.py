"""Tasks as ComfyUI's jobs (ComfyUI protocol notes, section 5.3), and what lists of them can be asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from comfymesh.client import Task, TaskState
from comfymesh.gateway.domain import history, marks, naming
from comfymesh.gateway.domain.history import ENDED, PENDING, RUNNING, Prompt, milliseconds
from comfymesh.graphs import JsonValue

Job = dict[str, JsonValue]

_STATES: Mapping[str, Sequence[TaskState]] = {
    "pending": PENDING,
    "in_progress": RUNNING,
    "completed": (TaskState.SUCCEEDED,),
    "failed": (TaskState.FAILED, TaskState.EXPIRED),
    "cancelled": (TaskState.CANCELLED,),
}
_PREVIEWABLE = ("images", "gifs", "video", "audio")


@dataclass(frozen=True, slots=True)
class Question:
    """What a list of jobs was asked for.

    Attributes:
        states: States of the tasks that are meant.
        workflow_id: Only jobs of this workflow; None for all.
        by_duration: Sorted by how long they ran, and not by creation.
        descending: The largest first.
        offset: So many are left out.
        limit: At most so many; None for all.
    """

    states: Sequence[TaskState]
    workflow_id: str | None
    by_duration: bool
    descending: bool
    offset: int
    limit: int | None


def question(query: Mapping[str, str]) -> Question | str:
    """Reads a query; answers what is wrong with it where something is."""
    names = [name.strip().lower() for name in query.get("status", "").split(",") if name.strip()]
    if unknown := [name for name in names if name not in _STATES]:
        return f"Invalid status value(s): {', '.join(unknown)}. Valid values: {', '.join(_STATES)}"
    if query.get("sort_by") not in {None, "created_at", "execution_duration"}:
        return "sort_by must be 'created_at' or 'execution_duration'"
    order = query.get("sort_order", "desc").lower()
    if order not in {"asc", "desc"}:
        return "sort_order must be 'asc' or 'desc'"
    limit, offset = integer(query.get("limit")), integer(query.get("offset", "0"))
    if "limit" in query and (limit is None or limit <= 0):
        return "limit must be an integer" if limit is None else "limit must be a positive integer"
    if offset is None:
        return "offset must be an integer"
    return Question(
        [state for name in names or _STATES for state in _STATES[name]],
        query.get("workflow_id"),
        query.get("sort_by") == "execution_duration",
        order == "desc",
        max(0, offset),
        limit,
    )


def integer(text: str | None) -> int | None:
    """A number as ComfyUI reads it; None where it is none."""
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def answer(asked: Question, tasks: Iterable[Task]) -> dict[str, JsonValue]:
    """The list that was asked for."""
    chosen = [
        task
        for task in tasks
        if (not task.state.final or history.is_shown(task))
        and asked.workflow_id in {None, marks.read(task.labels).workflow_id}
    ]
    chosen.sort(key=_duration if asked.by_duration else _created, reverse=asked.descending)
    end = None if asked.limit is None else asked.offset + asked.limit
    page = [found for task in chosen[asked.offset : end] if (found := job(task)) is not None]
    more = asked.offset + len(page) < len(chosen)
    told: JsonValue = {"offset": asked.offset, "limit": asked.limit, "total": len(chosen), "has_more": more}
    return {"jobs": list[JsonValue](page), "pagination": told}


def job(task: Task) -> Job | None:
    """A task as a job; None where it is no prompt."""
    prompt_id = naming.prompt_id(task.name)
    if prompt_id is None:
        return None
    written = marks.read(task.labels)
    files = [*_files(task)]
    status = next(name for name, states in _STATES.items() if task.state in states or name == "cancelled")
    told: Job = {
        "id": prompt_id,
        "status": status,
        "priority": written.number,
        "create_time": milliseconds(task.create_time),
        "outputs_count": len(files),
        "previewable_outputs_count": len(files),
        "workflow_id": written.workflow_id or None,
    }
    if task.state in ENDED:
        told |= {
            "execution_start_time": milliseconds(task.start_time) or None,
            "execution_end_time": milliseconds(task.end_time),
            "preview_output": next((file for file in files if file["type"] == "output"), next(iter(files), None)),
            "execution_error": history.ending(task, prompt_id, {})[1] if status == "failed" else None,
        }
    return {name: value for name, value in told.items() if value is not None}


def whole_job(prompt: Prompt) -> Job | None:
    """A job with its outputs and graph, as it is told alone."""
    told = job(prompt.task)
    if told is None or not prompt.task.state.final:
        return told
    entry = history.entry(prompt)
    item = history.item(prompt)
    workflow: JsonValue = {"prompt": item[2], "extra_data": item[3]}
    return {**told, "outputs": entry["outputs"], "execution_status": entry["status"], "workflow": workflow}


def _files(task: Task) -> Iterable[Job]:
    for artifact in task.artifacts:
        if artifact.output_key in _PREVIEWABLE and not history.is_text(artifact):
            yield {**history.file(artifact), "nodeId": artifact.graph_node, "mediaType": artifact.output_key}


def _created(task: Task) -> int:
    return milliseconds(task.create_time)


def _duration(task: Task) -> int:
    return milliseconds(task.end_time) - milliseconds(task.start_time) if task.end_time and task.start_time else 0
