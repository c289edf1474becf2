"""Makes requests out of what callers say; uploads on the way what has to be uploaded."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from comfymesh.client import convert, uploads
from comfymesh.client.graphs import graph_text
from comfymesh.client.keywords import require_known
from comfymesh.client.workflow_convert import workflow_name
from comfymesh.client.workflow_models import Workflow, WorkflowRef
from comfymesh.v1 import task_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from comfymesh.client.batches import NewTask
    from comfymesh.client.convert import TaskOptions
    from comfymesh.client.graphs import Runnable
    from comfymesh.client.inputs import Scalar
    from comfymesh.client.models import TaskState
    from comfymesh.client.retries import Server
    from comfymesh.client.uploads import InputValue, Wire


class TaskFilter(TypedDict, total=False):
    """Which tasks are meant.

    Attributes:
        states: Only tasks in one of these states.
        labels: Only tasks that carry all these labels.
        group: Only tasks of this group.
        graph_digest: Only tasks that run this graph with these inputs (`Task.graph_digest`).
        workflow: Only tasks of this workflow, or of this version of one: ``portrait`` or ``portrait@3``.
        created_after: Only tasks created at or after this time.
        created_before: Only tasks created before this time.
    """

    states: Sequence[TaskState]
    labels: Mapping[str, str] | None
    group: str
    graph_digest: str
    workflow: str
    created_after: datetime | None
    created_before: datetime | None


async def run_task(
    wire: Wire,
    server: Server,
    graph: Runnable,
    inputs: Mapping[str, InputValue] | None,
    options: TaskOptions,
) -> pb.RunTaskRequest:
    """A request to run a graph.

    Args:
        wire: How uploads reach the server.
        server: How patient to be with it.
        graph: The graph, or a stored workflow.
        inputs: Values to set into it; paths and bytes are uploaded.
        options: What else to say about the task.

    Raises:
        ComfyMeshError: The graph or an input can't be read, or an upload failed.
    """
    text, workflow = (
        ("", workflow_name(graph)) if isinstance(graph, (Workflow, WorkflowRef)) else (graph_text(graph), "")
    )
    ready = await uploads.upload_inputs(wire, server, inputs or {})
    task = convert.task_to_proto(text, ready, options)
    task.workflow = workflow
    return pb.RunTaskRequest(
        task=task,
        task_id=options.get("task_id", ""),
        request_id=options.get("request_id") or str(uuid.uuid4()),
        include_artifacts=True,
    )


async def create_tasks(wire: Wire, server: Server, tasks: Iterable[NewTask], group: str) -> list[pb.CreateTaskRequest]:
    """Requests to create tasks. What several of them read is uploaded once.

    Args:
        wire: How uploads reach the server.
        server: How patient to be with it.
        tasks: What to create.
        group: The group of every task that names none.

    Raises:
        ComfyMeshError: A graph or an input can't be read, or an upload failed.
    """
    uploaded: dict[Path | bytes, Scalar] = {}
    requests = list[pb.CreateTaskRequest]()
    for new in tasks:
        inputs = dict(new.inputs)
        for key, value in inputs.items():
            if isinstance(value, (Path, bytes)):
                if value not in uploaded:
                    uploaded[value] = await uploads.upload(wire, server, value)
                inputs[key] = uploaded[value]
        options: TaskOptions = {**new.options, "group": new.options.get("group") or group}
        run = await run_task(wire, server, new.graph, inputs, options)
        requests.append(pb.CreateTaskRequest(task=run.task, task_id=run.task_id, request_id=run.request_id))
    return requests


def list_tasks(which: TaskFilter, page_size: int) -> pb.ListTasksRequest:
    """A request for the first page of a list."""
    require_known(which, TaskFilter.__annotations__)
    request = pb.ListTasksRequest(
        page_size=page_size,
        states=[convert.state_to_proto(state) for state in which.get("states", ())],
        labels=which.get("labels"),
        group=convert.group_name(which.get("group", "")),
        graph_digest=which.get("graph_digest", ""),
        workflow=workflow_name(which["workflow"]) if which.get("workflow") else "",
    )
    if (after := which.get("created_after")) is not None:
        request.created_after.FromDatetime(after)
    if (before := which.get("created_before")) is not None:
        request.created_before.FromDatetime(before)
    return request
