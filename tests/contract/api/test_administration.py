"""Tenants and keys, as administrators see them: the happy path, and every reason for a refusal."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from comfymesh.testkit.apis import LocalApi, Refused
from comfymesh.v1 import key_pb2, key_service_pb2, tenant_pb2, tenant_service_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

Update = tenant_service_pb2.UpdateTenantRequest
CreateKey = key_service_pb2.CreateKeyRequest
READ = key_pb2.Key.SCOPE_READ


async def refused(api: LocalApi, method: str, request: Any) -> Refused:
    with pytest.raises(Refused) as told:
        await api.call(method, request)
    return told.value


def fields(told: Refused) -> list[str]:
    return [violation.field for violation in told.details["BadRequest"].field_violations]


async def get(api: LocalApi, name: str) -> tenant_pb2.Tenant:
    answer = await api.call("TenantService/GetTenant", tenant_service_pb2.GetTenantRequest(name=name))
    found: tenant_pb2.Tenant = answer.tenant
    return found


async def update(api: LocalApi, tenant: tenant_pb2.Tenant, *paths: str) -> tenant_pb2.Tenant:
    answer = await api.call("TenantService/UpdateTenant", Update(tenant=tenant, update_mask={"paths": paths}))
    found: tenant_pb2.Tenant = answer.tenant
    return found


async def test_a_tenant_is_made_read_and_changed(api: LocalApi) -> None:
    limits = tenant_pb2.Limits(max_waiting_tasks=10, max_stored_bytes=99)
    await api.tenant("studio", display_name="Studio", limits=limits)
    made = await get(api, "tenants/studio")
    assert (made.display_name, made.limits, made.disabled) == ("Studio", limits, False)
    changed = await update(
        api,
        tenant_pb2.Tenant(name=made.name, display_name="ignored", limits={"max_waiting_tasks": 5}, etag=made.etag),
        "limits.max_waiting_tasks",
    )
    assert (changed.limits.max_waiting_tasks, changed.limits.max_stored_bytes) == (5, 99)
    assert changed.display_name == "Studio"
    assert changed.etag != made.etag
    assert changed.create_time == made.create_time
    assert await get(api, made.name) == changed


async def test_a_mask_names_whole_parts_too(api: LocalApi) -> None:
    await api.tenant("parts", allowance={"node_classes": ["A", "B"]}, limits={"max_waiting_tasks": 1})
    tenant = tenant_pb2.Tenant(name="tenants/parts", allowance={"node_classes": ["C"]})
    changed = await update(api, tenant, "allowance", "limits")
    assert (list(changed.allowance.node_classes), changed.limits) == (["C"], tenant_pb2.Limits())


async def test_the_default_tenant_is_there_and_can_be_changed(api: LocalApi) -> None:
    made = await get(api, "tenants/default")
    changed = await update(api, tenant_pb2.Tenant(name=made.name, display_name="Ours", etag=made.etag), "display_name")
    assert changed.display_name == "Ours"
    told = await refused(api, "TenantService/CreateTenant", tenant_service_pb2.CreateTenantRequest(tenant_id="default"))
    assert (told.code, told.reason) == ("ALREADY_EXISTS", "TENANT_ALREADY_EXISTS")


async def test_a_stale_etag_is_refused(api: LocalApi) -> None:
    await api.tenant("stale")
    made = await get(api, "tenants/stale")
    await update(api, tenant_pb2.Tenant(name=made.name, display_name="first"), "display_name")
    late = Update(tenant=tenant_pb2.Tenant(name=made.name, etag=made.etag), update_mask={"paths": ["display_name"]})
    told = await refused(api, "TenantService/UpdateTenant", late)
    assert (told.code, told.reason, told.metadata) == ("ABORTED", "ETAG_MISMATCH", {"resource": made.name})


async def test_what_there_is_not_is_not_found(api: LocalApi) -> None:
    absent = tenant_pb2.Tenant(name="tenants/absent")
    for method, request in {
        "TenantService/GetTenant": tenant_service_pb2.GetTenantRequest(name=absent.name),
        "TenantService/UpdateTenant": Update(tenant=absent, update_mask={"paths": ["disabled"]}),
        "KeyService/CreateKey": CreateKey(parent=absent.name, key={"scopes": [READ]}),
        "KeyService/ListKeys": key_service_pb2.ListKeysRequest(parent=absent.name),
    }.items():
        told = await refused(api, method, request)
        assert (told.code, told.reason) == ("NOT_FOUND", "TENANT_NOT_FOUND"), method
        assert told.details["ResourceInfo"].resource_type == "comfymesh.v1.Tenant"
    key = "tenants/default/keys/absent"
    for method, request in {
        "KeyService/GetKey": key_service_pb2.GetKeyRequest(name=key),
        "KeyService/RotateKey": key_service_pb2.RotateKeyRequest(name=key),
        "KeyService/RevokeKey": key_service_pb2.RevokeKeyRequest(name=key),
    }.items():
        told = await refused(api, method, request)
        assert (told.code, told.reason) == ("NOT_FOUND", "KEY_NOT_FOUND"), method


@pytest.mark.parametrize(
    ("method", "request_", "wrong"),
    [
        ("CreateTenant", tenant_service_pb2.CreateTenantRequest(tenant_id="Not this"), ["tenant_id"]),
        ("CreateTenant", tenant_service_pb2.CreateTenantRequest(tenant_id="a.b"), ["tenant_id"]),
        (
            "CreateTenant",
            tenant_service_pb2.CreateTenantRequest(
                tenant_id="x1",
                tenant={
                    "display_name": "x" * 129,
                    "limits": {"max_waiting_tasks": -1, "requests_per_second": float("nan")},
                    "allowance": {"node_classes": [""], "models": ["*" * 9]},
                },
            ),
            [
                "tenant.display_name",
                "tenant.limits.max_waiting_tasks",
                "tenant.limits.requests_per_second",
                "tenant.allowance.node_classes[0]",
                "tenant.allowance.models[0]",
            ],
        ),
        ("GetTenant", tenant_service_pb2.GetTenantRequest(name="x"), ["name"]),
        ("ListTenants", tenant_service_pb2.ListTenantsRequest(page_size=-1), ["page_size"]),
        ("ListTenants", tenant_service_pb2.ListTenantsRequest(page_token="x"), ["page_token"]),
        ("UpdateTenant", Update(), ["tenant.name", "update_mask"]),
        (
            "UpdateTenant",
            Update(tenant={"name": "tenants/default"}, update_mask={"paths": ["name", "etag", "limits.x"]}),
            ["update_mask"] * 3,
        ),
        ("ListAuditEvents", tenant_service_pb2.ListAuditEventsRequest(page_size=-1), ["page_size"]),
        ("ListAuditEvents", tenant_service_pb2.ListAuditEventsRequest(page_token="x"), ["page_token"]),
    ],
)
async def test_wrong_fields_of_tenants_are_told_all_at_once(
    api: LocalApi, method: str, request_: Any, wrong: list[str]
) -> None:
    told = await refused(api, f"TenantService/{method}", request_)
    assert told.code == "INVALID_ARGUMENT"
    assert fields(told) == wrong


@pytest.mark.parametrize(
    ("method", "request_", "wrong"),
    [
        ("CreateKey", CreateKey(), ["parent", "key.scopes"]),
        ("CreateKey", CreateKey(parent="tenants/default", key={"scopes": [0, 9]}), ["key.scopes[0]", "key.scopes[1]"]),
        ("CreateKey", CreateKey(parent="tenants/default", key={"scopes": [2] * 17}), ["key.scopes"]),
        (
            "CreateKey",
            CreateKey(
                parent="tenants/default",
                key={"scopes": [2], "display_name": "x" * 129, "expire_time": Timestamp(seconds=1)},
            ),
            ["key.display_name", "key.expire_time"],
        ),
        (
            "CreateKey",
            CreateKey(parent="tenants/default", key={"scopes": [2], "expire_time": Timestamp(seconds=1 << 60)}),
            ["key.expire_time"],
        ),
        ("GetKey", key_service_pb2.GetKeyRequest(name="tenants/default"), ["name"]),
        ("ListKeys", key_service_pb2.ListKeysRequest(page_size=-1), ["page_size", "parent"]),
        (
            "RotateKey",
            key_service_pb2.RotateKeyRequest(name="tenants/default/keys/k1", overlap={"seconds": -1}),
            ["overlap"],
        ),
        ("RevokeKey", key_service_pb2.RevokeKeyRequest(name="keys/k1"), ["name"]),
    ],
)
async def test_wrong_fields_of_keys_are_told_all_at_once(
    api: LocalApi, method: str, request_: Any, wrong: list[str]
) -> None:
    told = await refused(api, f"KeyService/{method}", request_)
    assert told.code == "INVALID_ARGUMENT"
    assert fields(told) == wrong


async def test_lists_come_in_pages(api: LocalApi) -> None:
    await api.tenant("paged")
    for _ in range(4):
        await api.make_key("paged", "READ")
    found, token = list[str](), ""
    while True:
        request = key_service_pb2.ListKeysRequest(parent="tenants/paged", page_size=2, page_token=token)
        answer = await api.call("KeyService/ListKeys", request)
        found += [key.name for key in answer.keys]
        if not (token := answer.next_page_token):
            break
    assert found == sorted(found)
    assert len(set(found)) == 5
    first = await api.call("TenantService/ListTenants", tenant_service_pb2.ListTenantsRequest(page_size=1))
    rest = tenant_service_pb2.ListTenantsRequest(page_token=first.next_page_token)
    rest_names = [tenant.name for tenant in (await api.call("TenantService/ListTenants", rest)).tenants]
    assert first.tenants[0].name == "tenants/default"
    assert "tenants/paged" in rest_names
