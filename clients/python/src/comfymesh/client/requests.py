"""Makes requests out of what callers say; uploads on the way what has to be uploaded."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from comfymesh.client import convert, uploads
from comfymesh.client.graphs import graph_text
from comfymesh.v1 import task_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from comfymesh.client.batches import NewTask
    from comfymesh.client.convert import TaskOptions
    from comfymesh.client.graphs import Graph
    from comfymesh.client.inputs import Scalar
    from comfymesh.client.models import TaskState
    from comfymesh.client.retries import Server
    from comfymesh.client.uploads import InputValue, SendUpload


async def run_task(
    send: SendUpload,
    server: Server,
    graph: Graph,
    inputs: Mapping[str, InputValue] | None,
    options: TaskOptions,
) -> pb.RunTaskRequest:
    """A request to run a graph.

    Args:
        send: Makes one UploadAsset call.
        server: How patient to be with it.
        graph: The graph.
        inputs: Values to set into it; paths and bytes are uploaded.
        options: What else to say about the task.

    Raises:
        ComfyMeshError: The graph or an input can't be read, or an upload failed.
    """
    text = graph_text(graph)
    ready = await uploads.upload_inputs(send, server, inputs or {})
    return pb.RunTaskRequest(
        task=convert.task_to_proto(text, ready, options),
        task_id=options.get("task_id", ""),
        request_id=options.get("request_id") or str(uuid.uuid4()),
        include_artifacts=True,
    )


async def create_tasks(
    send: SendUpload, server: Server, tasks: Iterable[NewTask], group: str
) -> list[pb.CreateTaskRequest]:
    """Requests to create tasks. What several of them read is uploaded once.

    Args:
        send: Makes one UploadAsset call.
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
                    uploaded[value] = await uploads.upload(send, server, value)
                inputs[key] = uploaded[value]
        options: TaskOptions = {**new.options, "group": new.options.get("group") or group}
        run = await run_task(send, server, new.graph, inputs, options)
        requests.append(pb.CreateTaskRequest(task=run.task, task_id=run.task_id, request_id=run.request_id))
    return requests


def list_tasks(
    *,
    states: Sequence[TaskState],
    labels: Mapping[str, str] | None,
    group: str,
    graph_digest: str,
    created_after: datetime | None,
    created_before: datetime | None,
    page_size: int,
) -> pb.ListTasksRequest:
    """A request for the first page of a list. Arguments as of `AsyncClient.list`."""
    request = pb.ListTasksRequest(
        page_size=page_size,
        states=[convert.state_to_proto(state) for state in states],
        labels=labels,
        group=convert.group_name(group),
        graph_digest=graph_digest,
    )
    if created_after is not None:
        request.created_after.FromDatetime(created_after)
    if created_before is not None:
        request.created_before.FromDatetime(created_before)
    return request
