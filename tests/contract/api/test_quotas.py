"""Tenants are held to their limits, and told which one they met and when to come back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from comfymesh.tasks.events import Started, Succeeded
from comfymesh.tasks.record import Artifact, ArtifactKind, Key
from comfymesh.testkit.apis import GRAPH, Bus, LocalApi, Refused, local_api
from comfymesh.testkit.tasks import assigned, failed
from comfymesh.testkit.waiting import until
from comfymesh.v1 import (
    asset_service_pb2,
    dead_letter_service_pb2,
    task_pb2,
    task_service_pb2,
    tenant_pb2,
    tenant_service_pb2,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


def create(task_id: str = "", request_id: str = "", graph: Mapping[str, Any] = GRAPH) -> Any:
    task = task_pb2.Task(graph_json=json.dumps(graph))
    return task_service_pb2.CreateTaskRequest(task=task, task_id=task_id, request_id=request_id)


async def add(api: LocalApi, secret: str, *args: Any) -> str:
    return str((await api.call("TaskService/CreateTask", create(*args), secret)).task.name)


async def refused(api: LocalApi, secret: str, method: str, request: Any) -> Refused:
    with pytest.raises(Refused) as told:
        await api.call(method, request, secret)
    return told.value


async def usage(api: LocalApi, secret: str) -> tenant_pb2.Usage:
    answer = await api.call("TenantService/GetTenant", tenant_service_pb2.GetTenantRequest(), secret)
    found: tenant_pb2.Usage = answer.usage
    return found


def upload(data: bytes) -> list[Any]:
    header = asset_service_pb2.UploadAssetHeader(filename="x.bin")
    return [asset_service_pb2.UploadAssetRequest(header=header), asset_service_pb2.UploadAssetRequest(data=data)]


async def test_no_more_tasks_wait_than_may(api: LocalApi) -> None:
    secret = await api.tenant("queueing", limits=tenant_pb2.Limits(max_waiting_tasks=3))
    for number in range(3):
        await add(api, secret, f"t{number}")
    told = await refused(api, secret, "TaskService/CreateTask", create())
    assert (told.code, told.reason) == ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")
    assert told.metadata == {"quota": "max_waiting_tasks", "limit": "3", "used": "3"}
    assert told.details["QuotaFailure"].violations[0].subject == "tenants/queueing"
    assert told.details["RetryInfo"].retry_delay.seconds == 1
    assert (await usage(api, secret)).waiting_tasks == 3

    await api.call("TaskService/CancelTask", task_service_pb2.CancelTaskRequest(name="tasks/t0"), secret)
    await until(lambda: _waiting(api, secret, 2), "room for one more")
    await add(api, secret)


async def test_at_once_no_more_are_taken_either(api: LocalApi) -> None:
    secret = await api.tenant("bursting", limits=tenant_pb2.Limits(max_waiting_tasks=50))
    batch = task_service_pb2.BatchCreateTasksRequest(requests=[create() for _ in range(40)])
    answers = await asyncio.gather(*(api.call("TaskService/BatchCreateTasks", batch, secret) for _ in range(3)))
    results = [result for answer in answers for result in answer.results]
    assert sum(result.HasField("task") for result in results) == 50
    assert {result.refusal.code for result in results if result.HasField("refusal")} == {8}


async def test_what_was_accepted_is_answered_again_however_full_it_is(api: LocalApi) -> None:
    secret = await api.tenant("repeating", limits=tenant_pb2.Limits(max_waiting_tasks=1))
    request_id = "6f1c1a3e-8f43-4d8f-9b60-0f7f3d0c2a12"
    name = await add(api, secret, "", request_id)
    assert (await refused(api, secret, "TaskService/CreateTask", create())).reason == "QUOTA_EXCEEDED"
    assert await add(api, secret, "", request_id) == name


async def test_a_limit_that_is_raised_holds_at_once(api: LocalApi) -> None:
    secret = await api.tenant("growing", limits=tenant_pb2.Limits(max_waiting_tasks=1))
    await add(api, secret)
    assert (await refused(api, secret, "TaskService/CreateTask", create())).reason == "QUOTA_EXCEEDED"
    tenant = tenant_pb2.Tenant(name="tenants/growing", limits=tenant_pb2.Limits(max_waiting_tasks=2))
    mask = {"paths": ["limits.max_waiting_tasks"]}
    await api.call(
        "TenantService/UpdateTenant", tenant_service_pb2.UpdateTenantRequest(tenant=tenant, update_mask=mask)
    )
    await add(api, secret)


async def ran(api: LocalApi, tenant: str, task_id: str, seconds: float, size: int = 0) -> None:
    """A task that has run for so long until now, and made a file."""
    stored = await api.log.get(Key(tenant, task_id))
    assert stored is not None
    now = time.time()
    made = Artifact("0", "a.png", "image/png", size, "a" * 64, "2", "images", ArtifactKind.OUTPUT)
    for event, at in ((assigned(), now - seconds), (Started(), now - seconds), (Succeeded((made,)), now)):
        stored = await api.log.change(stored, event, at)


async def test_seconds_of_gpus_are_counted_by_the_day(tmp_path: Path) -> None:
    async with local_api(tmp_path) as api:
        secret = await api.tenant("spending")
        await add(api, secret, "t1")
        await ran(api, "spending", "t1", 12.5)
        await until(lambda: _ended(api, secret, "t1"))
        limited = tenant_pb2.Tenant(name="tenants/spending", limits=tenant_pb2.Limits(gpu_seconds_per_day=10))
        await update(api, limited, "limits")
        told = await refused(api, secret, "TaskService/CreateTask", create())
        assert told.metadata["quota"] == "gpu_seconds_per_day"
        assert 0 < told.details["RetryInfo"].retry_delay.seconds <= 24 * 3600
        assert (await usage(api, secret)).gpu_seconds_today == pytest.approx(12.5, abs=0.1)


async def _ended(api: LocalApi, secret: str, task_id: str) -> bool:
    listed = await api.call("TaskService/ListTasks", task_service_pb2.ListTasksRequest(states=[5]), secret)
    return [task.name for task in listed.tasks] == [f"tasks/{task_id}"]


async def test_bytes_of_assets_and_artifacts_are_counted_together(tmp_path: Path) -> None:
    bus = Bus()
    async with local_api(tmp_path, bus) as api:
        secret = await api.tenant("hoarding", limits=tenant_pb2.Limits(max_stored_bytes=1000))
        await add(api, secret, "t1")
        await ran(api, "hoarding", "t1", 1.0, size=400)
        await api.call("AssetService/UploadAsset", upload(b"a" * 500), secret)
        await api.call("AssetService/UploadAsset", upload(b"a" * 500), secret)  # the same: no more bytes
    async with local_api(tmp_path, bus) as api:
        assert (await usage(api, secret)).stored_bytes == 900
        told = await refused(api, secret, "AssetService/UploadAsset", upload(b"b" * 101))
        assert told.metadata == {"quota": "max_stored_bytes", "limit": "1000", "used": "900"}
        await api.call("AssetService/UploadAsset", upload(b"b" * 100), secret)
        assert await until(lambda: _full(api, secret))
        told = await refused(api, secret, "TaskService/CreateTask", create())
        assert told.metadata["quota"] == "max_stored_bytes"


async def _full(api: LocalApi, secret: str) -> bool:
    return (await usage(api, secret)).stored_bytes == 1000


async def test_a_graph_names_only_what_its_tenant_may_use(api: LocalApi) -> None:
    allowed = tenant_pb2.Allowance(node_classes=["Load", "S*"], models=["a.*"])
    secret = await api.tenant("confined", allowance=allowed)
    await add(api, secret)
    wrong = {
        "1": {"class_type": "Load", "inputs": {"name": "b.safetensors"}},
        "2": {"class_type": "Save", "inputs": {"images": ["1", 0]}},
        "3": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
        "4": {"class_type": "Save", "inputs": {"images": ["3", 0]}},
    }
    told = await refused(api, secret, "TaskService/CreateTask", create(graph=wrong))
    assert (told.code, told.reason) == ("PERMISSION_DENIED", "GRAPH_NOT_ALLOWED")
    fields = [violation.field for violation in told.details["BadRequest"].field_violations]
    assert fields == ["task.graph_json[3]", "task.graph_json[1].inputs.name"]


async def test_a_dead_letter_makes_no_task_that_may_not_be(api: LocalApi) -> None:
    secret = await api.tenant("again", limits=tenant_pb2.Limits(max_waiting_tasks=1))
    await add(api, secret, "t1")
    stored = await api.log.get(Key("again", "t1"))
    assert stored is not None
    for event in (assigned(), failed()):
        stored = await api.log.change(stored, event, time.time())
    await until(lambda: _waiting(api, secret, 0))
    await add(api, secret, "t2")
    assert await requeued(api, secret) == "QUOTA_EXCEEDED"

    cancel = task_service_pb2.CancelTaskRequest(name="tasks/t2")
    await api.call("TaskService/CancelTask", cancel, secret)
    await until(lambda: _waiting(api, secret, 0))
    await update(api, tenant_pb2.Tenant(name="tenants/again", allowance={"models": ["b.*"]}), "allowance")
    assert await requeued(api, secret) == "GRAPH_NOT_ALLOWED"
    await update(api, tenant_pb2.Tenant(name="tenants/again"), "allowance")
    assert await requeued(api, secret) == ""


async def _waiting(api: LocalApi, secret: str, count: int) -> bool:
    return (await usage(api, secret)).waiting_tasks == count


async def update(api: LocalApi, tenant: tenant_pb2.Tenant, *paths: str) -> None:
    request = tenant_service_pb2.UpdateTenantRequest(tenant=tenant, update_mask={"paths": paths})
    await api.call("TenantService/UpdateTenant", request)


async def requeued(api: LocalApi, secret: str) -> str:
    """Why the dead letter was not requeued; empty where it was."""
    request = dead_letter_service_pb2.RequeueDeadLettersRequest(names=["tasks/t1"])
    (result,) = (await api.call("DeadLetterService/RequeueDeadLetters", request, secret)).results
    text = str(result.refusal)
    return next((reason for reason in ("QUOTA_EXCEEDED", "GRAPH_NOT_ALLOWED") if reason in text), text)
