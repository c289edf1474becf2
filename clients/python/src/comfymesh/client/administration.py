"""Administers tenants and keys, and shows a caller its own tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, TypeVar, Unpack

from google.protobuf import duration_pb2

from comfymesh.client.administration_convert import audit_event_from_proto, key_from_proto, tenant_from_proto
from comfymesh.client.administration_models import Limits, NewKey, Scope
from comfymesh.client.calls import Calls
from comfymesh.client.keywords import require_known
from comfymesh.client.paging import Pages
from comfymesh.v1 import key_pb2, tenant_pb2
from comfymesh.v1 import key_service_pb2 as keys_pb
from comfymesh.v1 import tenant_service_pb2 as tenants_pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from datetime import datetime, timedelta

    from comfymesh.client.administration_models import AuditEvent, Key, Tenant
    from comfymesh.client.transport import Stubs

A = TypeVar("A")


class TenantOptions(TypedDict, total=False):
    """What a tenant is like. What is left out is the default for a new one, and stays for one that is changed.

    Attributes:
        display_name: Name for people, at most 128 characters.
        disabled: Whether all its calls are refused.
        limits: How much it may use.
        node_classes: Patterns of the node classes that its graphs may name; empty for all.
        models: Patterns of the model files that its graphs may name; empty for all.
        url_hosts: Patterns of the hosts that inputs by URL may be fetched from; empty for all that the operator allows.
    """

    display_name: str
    disabled: bool
    limits: Limits
    node_classes: Sequence[str]
    models: Sequence[str]
    url_hosts: Sequence[str]


class KeyOptions(TypedDict, total=False):
    """What a new key is like.

    Attributes:
        scopes: What its holder may do; default: submit and read.
        display_name: Name for people, at most 128 characters.
        expire_time: When it ends; default: never.
    """

    scopes: Sequence[Scope]
    display_name: str
    expire_time: datetime


class AdministrationCalls(Calls):
    """The part of a client that administers. All but `tenant` takes the scope admin."""

    async def tenant(self, tenant: str = "") -> Tenant:
        """A tenant, and what it uses.

        Args:
            tenant: ``tenants/{tenant}``, or its last part alone; default: the caller's own.

        Raises:
            NotFound: There is none of that name, for this caller.
            ComfyMeshError: The call failed.
        """
        request = tenants_pb.GetTenantRequest(name=_tenant_name(tenant) if tenant else "")
        answer = await self._ask(lambda stubs, seconds: stubs.tenants.GetTenant(request, timeout=seconds))
        return tenant_from_proto(answer.tenant, answer.usage)

    async def tenants(self) -> AsyncGenerator[Tenant]:
        """All tenants, by name.

        Raises:
            ComfyMeshError: The call failed.
        """
        request = tenants_pb.ListTenantsRequest()
        pages = Pages(
            request, lambda: self._ask(lambda stubs, seconds: stubs.tenants.ListTenants(request, timeout=seconds))
        )
        async for page in pages:
            for message in page.tenants:
                yield tenant_from_proto(message)

    async def create_tenant(self, tenant: str, **options: Unpack[TenantOptions]) -> Tenant:
        """Makes a tenant.

        Args:
            tenant: Its name, or the last part of that.
            **options: What it is like.

        Raises:
            Conflict: There is one of that name.
            TypeError: There is no such option: left out, a tenant would have no limits.
            ComfyMeshError: The call failed. It is not repeated.
        """
        name = _tenant_name(tenant).removeprefix("tenants/")
        request = tenants_pb.CreateTenantRequest(tenant_id=name, tenant=_tenant(options))
        answer = await self._once(lambda stubs, seconds: stubs.tenants.CreateTenant(request, timeout=seconds))
        return tenant_from_proto(answer.tenant)

    async def update_tenant(self, tenant: str, *, etag: str = "", **options: Unpack[TenantOptions]) -> Tenant:
        """Changes a tenant. Every process of the api heeds it at once.

        Args:
            tenant: Its name, or the last part of that.
            etag: `Tenant.etag` of the version that the change builds on; default: whichever is there.
            **options: What to change.

        Raises:
            NotFound: There is none of that name.
            Conflict: It has changed since the etag was read.
            ComfyMeshError: The call failed.
        """
        changed = _tenant(options)
        changed.name, changed.etag = _tenant_name(tenant), etag
        request = tenants_pb.UpdateTenantRequest(tenant=changed)
        request.update_mask.paths.extend(_PATHS.get(option, option) for option in options)
        answer = await self._ask(lambda stubs, seconds: stubs.tenants.UpdateTenant(request, timeout=seconds))
        return tenant_from_proto(answer.tenant)

    async def keys(self, tenant: str) -> AsyncGenerator[Key]:
        """The keys of a tenant, those that have ended as well.

        Raises:
            NotFound: There is no such tenant.
            ComfyMeshError: The call failed.
        """
        request = keys_pb.ListKeysRequest(parent=_tenant_name(tenant))
        pages = Pages(request, lambda: self._ask(lambda stubs, seconds: stubs.keys.ListKeys(request, timeout=seconds)))
        async for page in pages:
            for message in page.keys:
                yield key_from_proto(message)

    async def key(self, name: str) -> Key:
        """A key, without its secret.

        Raises:
            NotFound: There is none of that name, ``tenants/{tenant}/keys/{key}``.
            ComfyMeshError: The call failed.
        """
        request = keys_pb.GetKeyRequest(name=name)
        answer = await self._ask(lambda stubs, seconds: stubs.keys.GetKey(request, timeout=seconds))
        return key_from_proto(answer.key)

    async def create_key(self, tenant: str, **options: Unpack[KeyOptions]) -> NewKey:
        """Makes a key. Its secret can't be had again.

        Args:
            tenant: Whose: ``tenants/{tenant}``, or its last part alone.
            **options: What it is like.

        Raises:
            NotFound: There is no such tenant.
            TypeError: There is no such option: left out, a key would last for ever, or may do more than it should.
            ComfyMeshError: The call failed. It is not repeated; if it was done all the same, the key is in `keys`.
        """
        require_known(options, KeyOptions.__annotations__)
        scopes = options.get("scopes", (Scope.SUBMIT, Scope.READ))
        wanted = key_pb2.Key(
            display_name=options.get("display_name", ""), scopes=[f"SCOPE_{scope.upper()}" for scope in scopes]
        )
        if (end := options.get("expire_time")) is not None:
            wanted.expire_time.FromDatetime(end)
        request = keys_pb.CreateKeyRequest(parent=_tenant_name(tenant), key=wanted)
        answer = await self._once(lambda stubs, seconds: stubs.keys.CreateKey(request, timeout=seconds))
        return NewKey(key_from_proto(answer.key), answer.secret)

    async def rotate_key(self, name: str, overlap: timedelta | None = None) -> NewKey:
        """Makes a key in the place of another.

        Args:
            name: ``tenants/{tenant}/keys/{key}``.
            overlap: How long the old one is good for; default: it ends at once.

        Raises:
            NotFound: There is none of that name.
            InvalidRequest: It has ended.
            ComfyMeshError: The call failed. It is not repeated.
        """
        request = keys_pb.RotateKeyRequest(name=name)
        if overlap is not None:
            span = duration_pb2.Duration()
            span.FromTimedelta(overlap)
            request.overlap.CopyFrom(span)
        answer = await self._once(lambda stubs, seconds: stubs.keys.RotateKey(request, timeout=seconds))
        return NewKey(key_from_proto(answer.key), answer.secret)

    async def revoke_key(self, name: str) -> Key:
        """Ends a key at once.

        Raises:
            NotFound: There is none of that name.
            ComfyMeshError: The call failed.
        """
        request = keys_pb.RevokeKeyRequest(name=name)
        answer = await self._ask(lambda stubs, seconds: stubs.keys.RevokeKey(request, timeout=seconds))
        return key_from_proto(answer.key)

    async def audit_events(self) -> AsyncGenerator[AuditEvent]:
        """What operators and administrators did, oldest first.

        Raises:
            ComfyMeshError: The call failed.
        """
        request = tenants_pb.ListAuditEventsRequest(page_size=1000)
        pages = Pages(
            request, lambda: self._ask(lambda stubs, seconds: stubs.tenants.ListAuditEvents(request, timeout=seconds))
        )
        async for page in pages:
            for message in page.events:
                yield audit_event_from_proto(message)

    async def _once(self, start: Callable[[Stubs, float], Awaitable[A]]) -> A:
        """A call that may not: it makes something each time, whose secret is in the answer only."""
        return await self._transport.call(lambda stubs: start(stubs, self._timeout))


_PATHS = {"node_classes": "allowance.node_classes", "models": "allowance.models", "url_hosts": "allowance.url_hosts"}


def _tenant_name(tenant: str) -> str:
    return tenant if "/" in tenant else f"tenants/{tenant}"


def _tenant(options: TenantOptions) -> tenant_pb2.Tenant:
    require_known(options, TenantOptions.__annotations__)
    limits = options.get("limits", Limits())
    return tenant_pb2.Tenant(
        display_name=options.get("display_name", ""),
        disabled=options.get("disabled", False),
        limits=tenant_pb2.Limits(
            max_waiting_tasks=limits.max_waiting_tasks,
            gpu_seconds_per_day=limits.gpu_seconds_per_day,
            max_stored_bytes=limits.max_stored_bytes,
            requests_per_second=limits.requests_per_second,
            request_burst=limits.request_burst,
            max_workflows=limits.max_workflows,
        ),
        allowance=tenant_pb2.Allowance(
            node_classes=options.get("node_classes", ()),
            models=options.get("models", ()),
            url_hosts=options.get("url_hosts", ()),
        ),
    )
