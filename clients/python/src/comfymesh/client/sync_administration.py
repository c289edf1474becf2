"""The part of a client without asyncio that administers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from comfymesh.client.administration import KeyOptions, TenantOptions
    from comfymesh.client.administration_models import AuditEvent, Key, NewKey, Tenant
    from comfymesh.client.aio import AsyncClient
    from comfymesh.client.loop_thread import LoopThread


class SyncAdministrationCalls:
    """Tenants, keys and the audit log."""

    _client: AsyncClient
    _thread: LoopThread

    def tenant(self, tenant: str = "") -> Tenant:
        """A tenant, and what it uses. See `AsyncClient.tenant`."""
        return self._thread.call(self._client.tenant(tenant))

    def tenants(self) -> Iterator[Tenant]:
        """All tenants, by name. See `AsyncClient.tenants`."""
        return self._thread.iterate(self._client.tenants())

    def create_tenant(self, tenant: str, **options: Unpack[TenantOptions]) -> Tenant:
        """Makes a tenant. See `AsyncClient.create_tenant`."""
        return self._thread.call(self._client.create_tenant(tenant, **options))

    def update_tenant(self, tenant: str, *, etag: str = "", **options: Unpack[TenantOptions]) -> Tenant:
        """Changes a tenant. See `AsyncClient.update_tenant`."""
        return self._thread.call(self._client.update_tenant(tenant, etag=etag, **options))

    def keys(self, tenant: str) -> Iterator[Key]:
        """The keys of a tenant. See `AsyncClient.keys`."""
        return self._thread.iterate(self._client.keys(tenant))

    def key(self, name: str) -> Key:
        """A key, without its secret. See `AsyncClient.key`."""
        return self._thread.call(self._client.key(name))

    def create_key(self, tenant: str, **options: Unpack[KeyOptions]) -> NewKey:
        """Makes a key. See `AsyncClient.create_key`."""
        return self._thread.call(self._client.create_key(tenant, **options))

    def rotate_key(self, name: str, overlap: timedelta | None = None) -> NewKey:
        """Makes a key in the place of another. See `AsyncClient.rotate_key`."""
        return self._thread.call(self._client.rotate_key(name, overlap))

    def revoke_key(self, name: str) -> Key:
        """Ends a key at once. See `AsyncClient.revoke_key`."""
        return self._thread.call(self._client.revoke_key(name))

    def audit_events(self) -> Iterator[AuditEvent]:
        """What operators and administrators did, oldest first. See `AsyncClient.audit_events`."""
        return self._thread.iterate(self._client.audit_events())
