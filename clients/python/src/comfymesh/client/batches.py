"""Creates many tasks in as few calls as they fit into."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from comfymesh.client.convert import TaskOptions, task_from_proto
from comfymesh.client.errors import Unavailable
from comfymesh.client.statuses import error_of_refusal
from comfymesh.v1 import task_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from comfymesh.client.errors import ComfyMeshError
    from comfymesh.client.graphs import Runnable
    from comfymesh.client.models import Task
    from comfymesh.client.retries import Retrier, Server
    from comfymesh.client.uploads import InputValue

    SendBatch = Callable[[pb.BatchCreateTasksRequest, float], Awaitable[pb.BatchCreateTasksResponse]]

MOST_REQUESTS = 1000
"""Tasks that one call can create (comfymesh.v1.BatchCreateTasksRequest)."""

MOST_BYTES = 8 * 1024 * 1024
"""Bytes after which another call is begun; the server takes twice as many."""


@dataclass(frozen=True, slots=True)
class NewTask:
    """One of many tasks to create.

    Attributes:
        graph: The graph in API format: a mapping, its JSON text, or the path of its file; or a stored workflow.
        inputs: Values to set into it, by ``{graph node id}.{input name}``. Paths and bytes are uploaded.
        options: What else to say about the task.
    """

    graph: Runnable
    inputs: Mapping[str, InputValue] = field(default_factory=dict)
    options: TaskOptions = field(default_factory=dict)  # type: ignore[assignment]  # TypedDicts are dictionaries


async def create(
    send: SendBatch, server: Server, requests: Sequence[pb.CreateTaskRequest], *, validate_only: bool, timeout: float
) -> list[Task | ComfyMeshError]:
    """What becomes of each request, in their order. Those that the server could not take in are sent again.

    Args:
        send: Makes one BatchCreateTasks call.
        server: How patient to be with it.
        requests: What to create; each with a request ID.
        validate_only: Check everything, create nothing.
        timeout: Seconds for one call, repetitions included.

    Raises:
        ComfyMeshError: A call failed as a whole. Creating the same again is safe.
    """
    found: list[Task | ComfyMeshError] = []
    for part in _parts(requests):
        found += await _create_part(send, server, part, validate_only=validate_only, timeout=timeout)
    return found


async def _create_part(
    send: SendBatch, server: Server, requests: Sequence[pb.CreateTaskRequest], *, validate_only: bool, timeout: float
) -> list[Task | ComfyMeshError]:
    found: list[Task | ComfyMeshError | None] = [None] * len(requests)
    retrier = server.retrier(timeout)
    while open_ones := [n for n, outcome in enumerate(found) if outcome is None or isinstance(outcome, Unavailable)]:
        batch = pb.BatchCreateTasksRequest(requests=[requests[n] for n in open_ones], validate_only=validate_only)
        try:
            answer = await send(batch, retrier.remaining)
        except Unavailable as error:
            await retrier.failed(error)
            continue
        server.answered = True
        for n, result in zip(open_ones, answer.results, strict=True):
            found[n] = _outcome(result)
        away = next((outcome for outcome in found if isinstance(outcome, Unavailable)), None)
        if away is not None and not await _may_try_again(retrier, away):
            break  # Each says for itself why it is not there.
    return [outcome for outcome in found if outcome is not None]


async def _may_try_again(retrier: Retrier, error: Unavailable) -> bool:
    try:
        await retrier.failed(error)
    except Unavailable:
        return False
    return True


def _outcome(result: pb.BatchCreateTasksResult) -> Task | ComfyMeshError:
    if result.HasField("task"):
        return task_from_proto(result.task)
    return error_of_refusal(result.refusal.SerializeToString())


def _parts(requests: Sequence[pb.CreateTaskRequest]) -> Iterator[list[pb.CreateTaskRequest]]:
    part: list[pb.CreateTaskRequest] = []
    size = 0
    for request in requests:
        more = request.ByteSize()
        if part and (len(part) == MOST_REQUESTS or size + more > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(request)
        size += more
    if part:
        yield part
