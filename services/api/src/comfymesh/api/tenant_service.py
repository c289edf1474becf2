"""comfymesh.v1.TenantService."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from comfymesh import names
from comfymesh.api import fields, paging
from comfymesh.api.access import allowance, caller
from comfymesh.api.access.audit import Audit
from comfymesh.api.access.directory import Directory
from comfymesh.api.access.quotas import Quotas
from comfymesh.api.access.scopes import Scope
from comfymesh.api.errors import Violation, invalid, not_found
from comfymesh.v1 import tenant_pb2, tenant_service_pb2, tenant_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_CHANGEABLE = ("display_name", "disabled", "limits", "allowance")
_NESTED = {
    f"{outer}.{field}"
    for outer, kind in (("limits", tenant_pb2.Limits), ("allowance", tenant_pb2.Allowance))
    for field in kind.DESCRIPTOR.fields_by_name
}


class TenantService(tenant_service_pb2_grpc.TenantServiceServicer):
    """Administers tenants, and shows a tenant itself.

    Args:
        directory: The tenants.
        quotas: What each uses.
        audit: What was done.
        told: Waits, for a moment at most, until what callers were told here is in what they use.
    """

    def __init__(self, directory: Directory, quotas: Quotas, audit: Audit, told: Callable[[], Awaitable[None]]) -> None:
        self._directory = directory
        self._quotas = quotas
        self._audit = audit
        self._told = told

    async def CreateTenant(
        self, request: tenant_service_pb2.CreateTenantRequest, context: Context
    ) -> tenant_service_pb2.CreateTenantResponse:
        """See the proto."""
        wrong = list(_violations(request.tenant))
        if not names.is_tenant_id(request.tenant_id):
            wrong.append(Violation("tenant_id", "must be 1 to 63 characters out of a-z0-9- and begin with a letter"))
        if wrong:
            raise invalid(wrong)
        tenant = tenant_pb2.Tenant(name=names.tenant(request.tenant_id))
        FieldMask(paths=_CHANGEABLE).MergeMessage(request.tenant, tenant)
        return tenant_service_pb2.CreateTenantResponse(tenant=await self._directory.add_tenant(tenant))

    async def GetTenant(
        self, request: tenant_service_pb2.GetTenantRequest, context: Context
    ) -> tenant_service_pb2.GetTenantResponse:
        """See the proto."""
        who = caller.current()
        tenant_id = names.parse_tenant(request.name) if request.name else who.tenant
        tenant = self._directory.tenant(tenant_id)
        if tenant is None or (tenant_id != who.tenant and Scope.ADMIN not in who.scopes):
            raise not_found("tenant", request.name)
        await self._told()
        return tenant_service_pb2.GetTenantResponse(tenant=tenant, usage=self._quotas.usage(tenant_id))

    async def ListTenants(
        self, request: tenant_service_pb2.ListTenantsRequest, context: Context
    ) -> tenant_service_pb2.ListTenantsResponse:
        """See the proto."""
        tenants, token = paging.by_name(request, self._directory.tenants())
        return tenant_service_pb2.ListTenantsResponse(tenants=tenants, next_page_token=token)

    async def UpdateTenant(
        self, request: tenant_service_pb2.UpdateTenantRequest, context: Context
    ) -> tenant_service_pb2.UpdateTenantResponse:
        """See the proto."""
        given = request.tenant
        wrong = [
            *(Violation("tenant.name", v.description) for v in fields.name_violations(given.name, names.parse_tenant)),
            *_mask_violations(request.update_mask),
            *_violations(given),
        ]
        if wrong:
            raise invalid(wrong)

        def change(tenant: tenant_pb2.Tenant) -> None:
            request.update_mask.MergeMessage(given, tenant, replace_message_field=True, replace_repeated_field=True)

        tenant = await self._directory.change_tenant(given.name, given.etag, change)
        return tenant_service_pb2.UpdateTenantResponse(tenant=tenant)

    async def ListAuditEvents(
        self, request: tenant_service_pb2.ListAuditEventsRequest, context: Context
    ) -> tenant_service_pb2.ListAuditEventsResponse:
        """See the proto."""
        size = paging.size(request.page_size)
        after = int(paging.read_token(request, request.page_token, int)[0]) if request.page_token else 0
        events, end = await self._audit.page(after, size)
        token = paging.make_token(request, [end]) if end else ""
        return tenant_service_pb2.ListAuditEventsResponse(events=events, next_page_token=token)


def _violations(tenant: tenant_pb2.Tenant) -> Iterator[Violation]:
    yield from fields.display_name_violations("tenant.display_name", tenant.display_name)
    for field, value in tenant.limits.ListFields():
        if not math.isfinite(value) or value < 0:
            yield Violation(f"tenant.limits.{field.name}", "must be at least 0; 0 means as much as there is")
    for field, value in tenant.allowance.ListFields():
        yield from allowance.violations(f"tenant.allowance.{field.name}", value)


def _mask_violations(mask: FieldMask) -> Iterator[Violation]:
    if not mask.paths:
        yield Violation("update_mask", f"name what to change: {', '.join(_CHANGEABLE)}")
    for path in mask.paths[:100]:
        if path not in _CHANGEABLE and path not in _NESTED:
            yield Violation("update_mask", f"{path[:64]!r} can't be changed; what can: {', '.join(_CHANGEABLE)}")
    if len(mask.paths) > 100:
        yield Violation("update_mask", f"has {len(mask.paths)} paths, at most 100 are allowed")
