"""Creates many tasks at once; each for itself."""

from __future__ import annotations

from collections.abc import Iterator

from comfymesh.api import fields
from comfymesh.api.errors import Violation, invalid, to_refusal
from comfymesh.api.submitting import Submitting
from comfymesh.bus import bulk
from comfymesh.v1 import task_service_pb2
from comfymesh.v1.task_service_pb2 import BatchCreateTasksResult

MOST_REQUESTS = 1000


async def create(
    submitting: Submitting, batch: task_service_pb2.BatchCreateTasksRequest, tenant: str
) -> list[BatchCreateTasksResult]:
    """What becomes of each request of a batch, in their order.

    Raises:
        RefusedError: the batch itself is not valid; nothing was tried.
    """
    if wrong := list(_violations(batch)):
        raise invalid(wrong)

    async def one(request: task_service_pb2.CreateTaskRequest) -> BatchCreateTasksResult:
        request.task.group = request.task.group or batch.group
        return await _one(submitting, request, tenant, validate_only=batch.validate_only or request.validate_only)

    return await bulk.each(batch.requests, one)


async def _one(
    submitting: Submitting, request: task_service_pb2.CreateTaskRequest, tenant: str, *, validate_only: bool
) -> BatchCreateTasksResult:
    try:
        task = await submitting.submit(request, tenant, validate_only=validate_only)
    except Exception as error:  # what is wrong with one item, a defect of ours included, must not spoil the others
        return BatchCreateTasksResult(refusal=to_refusal("BatchCreateTasks", error))
    return BatchCreateTasksResult(task=task)


def _violations(batch: task_service_pb2.BatchCreateTasksRequest) -> Iterator[Violation]:
    count = len(batch.requests)
    if not 1 <= count <= MOST_REQUESTS:
        yield Violation("requests", f"has {count} entries; send 1 to {MOST_REQUESTS} at a time")
    yield from fields.group_violations("group", batch.group)
