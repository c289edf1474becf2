"""Tasks as ComfyUI's queue and history show prompts (ComfyUI protocol notes, sections 5.1 and 5.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from comfymesh.client import Artifact, ArtifactKind, Task, TaskState
from comfymesh.gateway.domain import marks, naming
from comfymesh.graphs import JsonValue

_TEXT = "text/plain"
PENDING = (TaskState.QUEUED, TaskState.ASSIGNED)
RUNNING = (TaskState.RUNNING, TaskState.CANCELLING)
ENDED = (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED, TaskState.EXPIRED)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A task, as a client of ComfyUI knows it.

    Attributes:
        task: The task.
        id: The prompt's id.
        graph: Its graph.
        outputs: The graph's output nodes.
        texts: What its artifacts that are texts say, by artifact.
    """

    task: Task
    id: str
    graph: Mapping[str, JsonValue]
    outputs: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)


def is_shown(task: Task) -> bool:
    """Whether history has it. A prompt that was taken out of the queue leaves nothing, as in ComfyUI."""
    return task.state.final and (task.state is not TaskState.CANCELLED or task.start_time is not None)


def is_gone(task: Task) -> bool:
    """Whether it is being stopped before it has begun: for ComfyUI's clients it is out of the queue."""
    return task.state is TaskState.CANCELLING and task.start_time is None


def is_text(artifact: Artifact) -> bool:
    """Whether an artifact is a text that a graph node shows, and no file."""
    return artifact.media_type.startswith(_TEXT) and artifact.filename.startswith(
        f"{artifact.graph_node.replace('/', '_')}-"
    )


def item(prompt: Prompt) -> list[JsonValue]:
    """What stands in the queue."""
    written = marks.read(prompt.task.labels)
    extra: dict[str, JsonValue] = {} if written.client is None else {"client_id": written.client}
    if written.previews:
        extra["preview_method"] = written.previews
    if written.workflow_id:
        extra["extra_pnginfo"] = {"workflow": {"id": written.workflow_id}}
    extra["create_time"] = milliseconds(prompt.task.create_time)
    return [written.number, prompt.id, dict(prompt.graph), extra, [*prompt.outputs]]


def entry(prompt: Prompt) -> dict[str, JsonValue]:
    """What stands in the history, of a prompt that is shown there."""
    shown = outputs(prompt.task, prompt.texts)
    succeeded = prompt.task.state is TaskState.SUCCEEDED
    return {
        "prompt": item(prompt),
        "outputs": {node: dict(keys) for node, keys in shown.items()},
        "status": {
            "status_str": "success" if succeeded else "error",
            "completed": succeeded,
            "messages": [[name, data] for name, data in messages(prompt)],
        },
        "meta": {
            node: {"node_id": node, "display_node": node, "parent_node": None, "real_node_id": node} for node in shown
        },
    }


def outputs(task: Task, texts: Mapping[str, str]) -> dict[str, dict[str, JsonValue]]:
    """What graph nodes have made, by graph node and ComfyUI's key."""
    found: dict[str, dict[str, list[JsonValue]]] = {}
    for artifact in task.artifacts:
        told = found.setdefault(artifact.graph_node, {}).setdefault(artifact.output_key or "images", [])
        told.append(texts[artifact.name] if artifact.name in texts else file(artifact))
    return {node: dict(keys) for node, keys in found.items()}


def file(artifact: Artifact) -> dict[str, JsonValue]:
    """How a file is named to clients; `GET /view` takes the same."""
    kind = "temp" if artifact.kind is ArtifactKind.TEMP else "output"
    return {"filename": naming.output_name(artifact.filename, artifact.name), "subfolder": "", "type": kind}


def messages(prompt: Prompt) -> Iterator[tuple[str, dict[str, JsonValue]]]:
    """What the client was told, in short, of a prompt that has ended."""
    task, began = prompt.task, milliseconds(prompt.task.start_time or prompt.task.create_time)
    yield "execution_start", {"prompt_id": prompt.id, "timestamp": began}
    yield "execution_cached", {"nodes": [], "prompt_id": prompt.id, "timestamp": began}
    yield ending(task, prompt.id, prompt.graph)


def ending(task: Task, prompt_id: str, graph: Mapping[str, JsonValue]) -> tuple[str, dict[str, JsonValue]]:
    """How a task that has ended is told to have."""
    data: dict[str, JsonValue] = {"prompt_id": prompt_id}
    timestamp = milliseconds(task.end_time or task.update_time)
    if task.state is TaskState.SUCCEEDED:
        return "execution_success", {**data, "timestamp": timestamp}
    error = task.error
    facts = error.metadata if error else {}
    node = facts.get("graph_node", "")
    written = graph.get(node)
    class_type = facts.get("graph_node_class") or (written.get("class_type") if isinstance(written, dict) else "")
    data |= {"node_id": node, "node_type": class_type or "", "executed": []}
    if task.state is TaskState.CANCELLED:
        return "execution_interrupted", {**data, "timestamp": timestamp}
    kind = facts.get("exception_type") or (error.reason if error else task.state.value)
    said = (error.message if error else "") or task.state_reason
    data |= {
        "exception_message": said.partition(f"raised {kind}: ")[2] or said,
        "exception_type": kind,
        "traceback": list[JsonValue](error.traceback.splitlines(keepends=True) if error else ()),
        "current_inputs": {},
        "current_outputs": [],
        "timestamp": timestamp,
    }
    return "execution_error", data


def milliseconds(time: datetime | None) -> int:
    """A time as ComfyUI writes it; 0 for none."""
    return 0 if time is None else round(time.timestamp() * 1000)
