"""No tenant sees, cancels or fetches what is another's: every method x a foreign resource (P8).

The matrix is made from the descriptors: a new method without a row fails `test_every_method_has_a_row`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from comfymesh import names
from comfymesh.api.access.scopes import SCOPES, Scope
from comfymesh.bus import subjects
from comfymesh.bus.port import Entry
from comfymesh.tasks.events import Event, Started, Succeeded
from comfymesh.tasks.record import Artifact, ArtifactKind, Key
from comfymesh.testkit.apis import GRAPH, NODE, LocalApi, Refused, find, methods, request_type
from comfymesh.testkit.tasks import NOW, assigned, failed
from comfymesh.v1 import alert_pb2, asset_service_pb2, key_pb2, task_pb2
from comfymesh.wire.v1 import alerting_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

GROUP = "groups/ours"
CONTENT = b"owner's picture"


@dataclass(frozen=True, slots=True)
class Owned:
    """What the owner has: names of its resources."""

    waiting: str
    done: str
    dead: str
    artifact: str
    asset: str
    key: str
    tenant: str
    delivery: str
    workflow: str
    upload: str
    group: str = GROUP


# As long as the owner's, since details are told with their lengths.
ABSENT = Owned(
    waiting="tasks/waitinx",
    done="tasks/donx",
    dead="tasks/deax",
    artifact="tasks/donx/artifacts/0",
    asset=names.asset("0" * 64),
    key="tenants/ownex/keys/k0000000000000000",
    tenant="tenants/ownex",
    delivery=f"webhookDeliveries/{UUID(int=0)}",
    workflow="workflows/portraix",
    upload=names.upload("0" * 64),
    group="groups/ourx",
)

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Foreign:
    """A method that names a resource: of a foreign one it says what it says of one that does not exist."""

    fields: Callable[[Owned], Fields]


@dataclass(frozen=True, slots=True)
class Hidden:
    """A method that finds resources by other than their names: foreign ones, as the one shown, are not among them."""

    fields: Fields
    shows: Callable[[Owned], str] = lambda owned: owned.dead


@dataclass(frozen=True, slots=True)
class Apart:
    """A method that makes a resource: a name that a foreign one has is free, and what is made is one's own."""

    fields: Fields


@dataclass(frozen=True, slots=True)
class Shared:
    """A method about what all tenants share."""

    why: str


@dataclass(frozen=True, slots=True)
class Denied:
    """A method for administrators: everybody else is refused before anything is looked up."""

    fields: Callable[[Owned], Fields]


def task(**more: Any) -> Fields:
    return {"graph_json": json.dumps(GRAPH), **more}


def with_asset(owned: Owned) -> task_pb2.Task:
    made = task_pb2.Task(**task())
    made.inputs["1.name"].asset = owned.asset
    return made


MATRIX: dict[str, Foreign | Hidden | Apart | Shared | Denied] = {
    "TaskService/CreateTask": Foreign(lambda owned: {"task": with_asset(owned)}),
    "TaskService/BatchCreateTasks": Foreign(lambda owned: {"requests": [{"task": with_asset(owned)}]}),
    "TaskService/RunTask": Foreign(lambda owned: {"task": with_asset(owned)}),
    "TaskService/GetTask": Foreign(lambda owned: {"name": owned.waiting}),
    "TaskService/GetTaskGraph": Foreign(lambda owned: {"name": owned.waiting}),
    "TaskService/ListTasks": Hidden({}),
    "TaskService/WatchTask": Foreign(lambda owned: {"name": owned.waiting}),
    "TaskService/WatchTasks": Hidden({"include_existing": True}),
    "TaskService/CancelTask": Foreign(lambda owned: {"name": owned.waiting}),
    "GroupService/GetGroup": Foreign(lambda owned: {"name": owned.group}),
    "GroupService/CancelGroup": Foreign(lambda owned: {"name": owned.group}),
    "GroupService/WatchGroup": Foreign(lambda owned: {"name": owned.group}),
    "DeadLetterService/ListDeadLetters": Hidden({"include_resolved": True}),
    "DeadLetterService/GetDeadLetter": Foreign(lambda owned: {"name": owned.dead}),
    "DeadLetterService/RequeueDeadLetters": Foreign(lambda owned: {"names": [owned.dead]}),
    "DeadLetterService/DropDeadLetters": Foreign(lambda owned: {"names": [owned.dead]}),
    "AssetService/BeginUpload": Apart({}),
    "AssetService/UploadAsset": Apart({}),
    "AssetService/AbortUpload": Foreign(lambda owned: {"name": owned.upload}),
    "AssetService/GetAsset": Foreign(lambda owned: {"name": owned.asset}),
    "AssetService/ListAssets": Hidden({}, lambda owned: owned.asset),
    "AssetService/ReadAsset": Foreign(lambda owned: {"name": owned.asset}),
    "AssetService/CreateDownloadUrl": Foreign(lambda owned: {"name": owned.asset}),
    "AssetService/DeleteAsset": Foreign(lambda owned: {"name": owned.asset}),
    "AssetService/ReadArtifact": Foreign(lambda owned: {"name": owned.artifact}),
    "WorkflowService/CreateWorkflow": Apart({"workflow_id": "portrait", "workflow": {"graph_json": json.dumps(GRAPH)}}),
    "WorkflowService/GetWorkflow": Foreign(lambda owned: {"name": owned.workflow}),
    "WorkflowService/ListWorkflows": Hidden({"show_deleted": True}, lambda owned: owned.workflow),
    "WorkflowService/UpdateWorkflow": Foreign(
        lambda owned: {"workflow": {"name": owned.workflow}, "update_mask": {"paths": ["display_name"]}}
    ),
    "WorkflowService/GetWorkflowVersion": Foreign(lambda owned: {"name": f"{owned.workflow}/versions/1"}),
    "WorkflowService/ListWorkflowVersions": Foreign(lambda owned: {"parent": owned.workflow}),
    "WorkflowService/DeleteWorkflowVersion": Foreign(lambda owned: {"name": f"{owned.workflow}/versions/1"}),
    "WorkflowService/DeriveInputs": Apart({"graph_json": json.dumps(GRAPH)}),
    "WorkflowService/ValidateWorkflow": Foreign(lambda owned: {"name": owned.workflow}),
    "WorkflowService/DeleteWorkflow": Foreign(lambda owned: {"name": owned.workflow}),
    "FleetService/GetNode": Shared("all tenants share the fleet"),
    "FleetService/ListNodes": Shared("all tenants share the fleet"),
    "FleetService/ListPools": Shared("all tenants share the fleet"),
    "FleetService/PreloadModels": Shared("all tenants share the fleet; for operators"),
    "FleetService/WatchFleet": Shared("all tenants share the fleet"),
    "FleetService/ListModels": Shared("all tenants share the fleet; what a tenant may not use is left out"),
    "FleetService/ReadCatalog": Shared("all tenants share the fleet; what a tenant may not use is left out"),
    "FleetService/CordonNode": Shared("all tenants share the fleet; for operators"),
    "FleetService/UncordonNode": Shared("all tenants share the fleet; for operators"),
    "FleetService/DrainNode": Shared("all tenants share the fleet; for operators"),
    "SchedulingService/GetPolicy": Shared("the policy is the fleet's; for operators"),
    "SchedulingService/UpdatePolicy": Shared("the policy is the fleet's; for operators"),
    "SchedulingService/GetQueue": Shared("the queue is the fleet's; for operators, who see all tenants"),
    "AlertService/ListAlertRules": Shared("alerts are the fleet's; for operators"),
    "AlertService/ListAlerts": Shared("alerts are the fleet's; for operators, who see all tenants"),
    "AlertService/ListAlertNotices": Shared("alerts are the fleet's; for operators, who see all tenants"),
    "AlertService/AcknowledgeAlert": Shared("alerts are the fleet's; for operators"),
    "AlertService/CreateSilence": Shared("silences are the fleet's; for operators"),
    "AlertService/ListSilences": Shared("silences are the fleet's; for operators"),
    "AlertService/DeleteSilence": Shared("silences are the fleet's; for operators"),
    "AlertService/TestAlertChannel": Shared("channels are the fleet's; for operators"),
    "AlertService/ListWebhookDeliveries": Hidden({}),
    "AlertService/RedeliverWebhook": Foreign(lambda owned: {"name": owned.delivery}),
    "TenantService/CreateTenant": Denied(lambda owned: {"tenant_id": owned.tenant.rpartition("/")[2]}),
    "TenantService/GetTenant": Foreign(lambda owned: {"name": owned.tenant}),
    "TenantService/ListTenants": Denied(lambda _: {}),
    "UsageService/QueryUsage": Foreign(lambda owned: {"tenant": owned.tenant}),
    "TenantService/UpdateTenant": Denied(lambda owned: {"tenant": {"name": owned.tenant}}),
    "TenantService/ListAuditEvents": Denied(lambda _: {}),
    "KeyService/CreateKey": Denied(lambda owned: {"parent": owned.tenant, "key": {"scopes": [key_pb2.Key.SCOPE_READ]}}),
    "KeyService/GetKey": Denied(lambda owned: {"name": owned.key}),
    "KeyService/ListKeys": Denied(lambda owned: {"parent": owned.tenant}),
    "KeyService/RotateKey": Denied(lambda owned: {"name": owned.key}),
    "KeyService/RevokeKey": Denied(lambda owned: {"name": owned.key}),
}


def rows(kind: type) -> list[str]:
    return [method for method, row in MATRIX.items() if isinstance(row, kind)]


def request(method: str, fields: Fields) -> Any:
    return request_type(find(method))(**fields)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def owner(api: LocalApi) -> str:
    return await api.tenant("owner")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stranger(api: LocalApi) -> str:
    """A key of another tenant that may do all that is not administration."""
    return await api.tenant("stranger", "SUBMIT", "READ", "OPERATE")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def owned(api: LocalApi, owner: str) -> Owned:
    """Of everything one."""
    uploaded = await api.call("AssetService/UploadAsset", upload(CONTENT), owner)
    made = [await create(api, owner, task_id) for task_id in ("waiting", "done", "dead")]
    small = Artifact("0", "a.png", "image/png", 3, "a" * 64, "2", "images", ArtifactKind.OUTPUT, b"png")
    await happen(api, "done", assigned(), Started(), Succeeded((small,)))
    await happen(api, "dead", assigned(), failed())
    key = await api.make_key("owner", "READ")
    delivery = await called(api, made[2])
    workflow = await stored(api, owner)
    begun = request("AssetService/BeginUpload", {"sha256": "1" * 64, "size_bytes": 10})
    upload_ = (await api.call("AssetService/BeginUpload", begun, owner)).upload
    artifact = f"{made[1]}/artifacts/0"
    return Owned(*made, artifact, uploaded.asset.name, key.key.name, "tenants/owner", delivery, workflow, upload_.name)


async def stored(api: LocalApi, secret: str) -> str:
    """A stored workflow."""
    wanted = request("WorkflowService/CreateWorkflow", MATRIX["WorkflowService/CreateWorkflow"].fields)
    return str((await api.call("WorkflowService/CreateWorkflow", wanted, secret)).workflow.name)


async def called(api: LocalApi, task_name: str) -> str:
    """A webhook of a task, as the notifier makes one."""
    delivery = alert_pb2.WebhookDelivery(name=f"webhookDeliveries/{uuid4()}", task=task_name)
    webhook = alerting_pb2.Webhook(delivery=delivery, tenant="owner")
    subject = subjects.webhook("owner", delivery.name.partition("/")[2])
    await api.bus.append([Entry(subject, webhook.SerializeToString())])
    return delivery.name


async def create(api: LocalApi, secret: str, task_id: str) -> str:
    wanted = request("TaskService/CreateTask", {"task": task(group=GROUP), "task_id": task_id})
    return str((await api.call("TaskService/CreateTask", wanted, secret)).task.name)


async def happen(api: LocalApi, task_id: str, *events: Event) -> None:
    stored = await api.log.get(Key("owner", task_id))
    assert stored is not None
    for event in events:
        stored = await api.log.change(stored, event, NOW)


def upload(data: bytes) -> list[Any]:
    header = asset_service_pb2.UploadAssetHeader(filename="photo.png")
    return [
        asset_service_pb2.UploadAssetRequest(header=header),
        asset_service_pb2.UploadAssetRequest(data=data),
    ]


async def test_every_method_has_a_row() -> None:
    assert sorted(MATRIX) == methods()


async def test_every_method_has_a_scope() -> None:
    assert sorted(SCOPES) == [f"comfymesh.v1.{method}" for method in methods()]


@pytest.mark.parametrize("method", rows(Foreign))
async def test_what_is_foreign_looks_as_if_it_did_not_exist(
    api: LocalApi, owned: Owned, stranger: str, method: str
) -> None:
    row = MATRIX[method]
    assert isinstance(row, Foreign)
    told = await outcome(api, method, row.fields(owned), stranger)
    absent = await outcome(api, method, row.fields(ABSENT), stranger)
    assert anonymous(told, row.fields(owned)) == anonymous(absent, row.fields(ABSENT))
    assert "NOT_FOUND" in told


# What ends a resource would leave the others without one.
ENDS = ("Tenant", "DeadLetterService/D", "AssetService/D", "WorkflowService/Delete")


@pytest.mark.parametrize("method", [m for m in rows(Foreign) if not m.startswith(ENDS)])
async def test_and_its_owner_is_told_something_else(api: LocalApi, owned: Owned, owner: str, method: str) -> None:
    row = MATRIX[method]
    assert isinstance(row, Foreign)
    assert "NOT_FOUND" not in await outcome(api, method, row.fields(owned), owner)


@pytest.mark.parametrize("method", rows(Hidden))
async def test_what_is_foreign_is_not_found(
    api: LocalApi, owned: Owned, owner: str, stranger: str, method: str
) -> None:
    row = MATRIX[method]
    assert isinstance(row, Hidden)
    assert row.shows(owned) in await outcome(api, method, row.fields, owner)
    assert row.shows(owned) not in await outcome(api, method, row.fields, stranger)


@pytest.mark.parametrize("method", rows(Denied))
async def test_administration_is_refused_before_anything_is_looked_up(
    api: LocalApi, owned: Owned, stranger: str, method: str
) -> None:
    row = MATRIX[method]
    assert isinstance(row, Denied)
    told = await outcome(api, method, row.fields(owned), stranger)
    assert told.startswith("PERMISSION_DENIED SCOPE_MISSING")
    assert told == await outcome(api, method, row.fields(ABSENT), stranger)


@pytest.mark.parametrize(
    "method", [method for method in methods() if SCOPES.get(f"comfymesh.v1.{method}") is Scope.OPERATE]
)
async def test_what_is_for_operators_is_for_nobody_else(api: LocalApi, owner: str, method: str) -> None:
    assert (await outcome(api, method, {}, owner)).startswith("PERMISSION_DENIED SCOPE_MISSING")


async def test_names_that_a_foreign_resource_has_are_free(
    api: LocalApi, owned: Owned, owner: str, stranger: str
) -> None:
    mine = await create(api, stranger, "waiting")
    assert mine == owned.waiting
    wanted = request("TaskService/GetTask", {"name": mine})
    told = [(await api.call("TaskService/GetTask", wanted, secret)).task for secret in (owner, stranger)]
    assert told[0].create_time != told[1].create_time


async def test_workflows_of_one_name_are_each_tenants_own(
    api: LocalApi, owned: Owned, owner: str, stranger: str
) -> None:
    method = "WorkflowService/UpdateWorkflow"
    assert await stored(api, stranger) == owned.workflow
    update = {"workflow": {"name": owned.workflow, "display_name": "ours"}, "update_mask": {"paths": ["display_name"]}}
    await api.call(method, request(method, update), stranger)
    wanted = request("WorkflowService/GetWorkflow", {"name": owned.workflow})
    told = [(await api.call("WorkflowService/GetWorkflow", wanted, secret)).workflow for secret in (owner, stranger)]
    assert [workflow.display_name for workflow in told] == ["", "ours"]


@pytest.mark.parametrize("version", ["", "/versions/1"])
async def test_no_task_is_made_of_a_foreign_workflow(api: LocalApi, owned: Owned, owner: str, version: str) -> None:
    other = await api.tenant(f"other{len(version)}")
    fields = [{"task": {"workflow": f"{name}{version}"}} for name in (owned.workflow, ABSENT.workflow)]
    told = [anonymous(await outcome(api, "TaskService/CreateTask", each, other), each) for each in fields]
    assert told[0] == told[1]
    assert "WORKFLOW_NOT_FOUND" in told[0]


async def test_a_request_id_is_ones_own(api: LocalApi, owned: Owned, owner: str, stranger: str) -> None:
    fields = {"task": task(), "request_id": "6f1c1a3e-8f43-4d8f-9b60-0f7f3d0c2a11"}
    wanted = request("TaskService/CreateTask", fields)
    made = [(await api.call("TaskService/CreateTask", wanted, secret)).task.name for secret in (owner, stranger)]
    assert made[0] != made[1]


async def test_of_equal_files_each_tenant_has_its_own(api: LocalApi, owned: Owned, stranger: str) -> None:
    used = request("TaskService/CreateTask", {"task": with_asset(owned), "validate_only": True})
    with pytest.raises(Refused, match="ASSET_NOT_FOUND"):
        await api.call("TaskService/CreateTask", used, stranger)
    # Nobody finds out by its hash what another has, nor goes on with what another has begun.
    fields = {"sha256": owned.asset.rpartition("/")[2], "size_bytes": len(CONTENT)}
    begun = await api.call("AssetService/BeginUpload", request("AssetService/BeginUpload", fields), stranger)
    assert (begun.WhichOneof("outcome"), begun.upload.committed_bytes) == ("upload", 0)
    uploaded = await api.call("AssetService/UploadAsset", upload(CONTENT), stranger)
    assert uploaded.asset.name == owned.asset
    with pytest.raises(Refused, match="INVALID_WORKFLOW"):  # it is found now, and no model
        await api.call("TaskService/CreateTask", used, stranger)


async def test_cancelling_a_foreign_task_leaves_it_as_it_is(
    api: LocalApi, owned: Owned, owner: str, stranger: str
) -> None:
    name = await create(api, owner, "untouched")
    with pytest.raises(Refused):
        await api.call("TaskService/CancelTask", request("TaskService/CancelTask", {"name": name}), stranger)
    stored = await api.log.get(Key("owner", "untouched"))
    assert stored is not None
    assert stored.task.state == task_pb2.Task.STATE_QUEUED


async def test_the_fleet_is_there_for_all(api: LocalApi, stranger: str) -> None:
    wanted = request("FleetService/GetNode", {"name": names.node(NODE)})
    assert (await api.call("FleetService/GetNode", wanted, stranger)).node.name == names.node(NODE)


async def test_only_administrators_hold_scopes_beyond_a_tenant() -> None:
    denied = {f"comfymesh.v1.{method}" for method in rows(Denied)}
    assert denied == {method for method, scope in SCOPES.items() if scope is Scope.ADMIN}


async def outcome(api: LocalApi, method: str, fields: Fields, secret: str) -> str:
    """All that a caller is told, as text."""
    try:
        answer = await api.call(method, request(method, fields), secret)
    except Refused as refused:
        details = " ".join(f"{kind} {detail}" for kind, detail in refused.details.items())
        return f"{refused} {details}"
    return str(answer)


def anonymous(told: str, fields: Fields) -> str:
    """The same without the names that were asked for."""
    asked = re.findall(r"(?:tasks|groups|tenants|assets|uploads|workflows|webhookDeliveries)/[a-z0-9/-]+", str(fields))
    for name in sorted(asked, key=len, reverse=True):
        told = told.replace(name, "{name}")
    return told
