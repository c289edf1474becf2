"""Messages about tenants, keys and the audit log as values of the SDK."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from comfymesh.client.administration_models import AuditEvent, Key, Limits, Scope, Tenant, Usage
from comfymesh.v1 import key_pb2

if TYPE_CHECKING:
    from datetime import datetime

    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

    from comfymesh.v1 import audit_pb2, tenant_pb2


def tenant_from_proto(message: tenant_pb2.Tenant, usage: tenant_pb2.Usage | None = None) -> Tenant:
    """A tenant, with what it uses where that was told."""
    return Tenant(
        name=message.name,
        display_name=message.display_name,
        disabled=message.disabled,
        limits=Limits(
            max_waiting_tasks=message.limits.max_waiting_tasks,
            gpu_seconds_per_day=message.limits.gpu_seconds_per_day,
            max_stored_bytes=message.limits.max_stored_bytes,
            requests_per_second=message.limits.requests_per_second,
            request_burst=message.limits.request_burst,
            max_workflows=message.limits.max_workflows,
        ),
        node_classes=tuple(message.allowance.node_classes),
        models=tuple(message.allowance.models),
        url_hosts=tuple(message.allowance.url_hosts),
        usage=_usage(usage) if usage is not None else None,
        create_time=_time(message, "create_time"),
        update_time=_time(message, "update_time"),
        etag=message.etag,
    )


def key_from_proto(message: key_pb2.Key) -> Key:
    """A key."""
    return Key(
        name=message.name,
        display_name=message.display_name,
        scopes=tuple(_scope(number) for number in message.scopes),
        create_time=_time(message, "create_time"),
        expire_time=_time(message, "expire_time"),
        revoke_time=_time(message, "revoke_time"),
        rotated_to=message.rotated_to,
    )


def audit_event_from_proto(message: audit_pb2.AuditEvent) -> AuditEvent:
    """An event of the audit log."""
    return AuditEvent(
        time=_time(message, "time"),
        actor=message.actor,
        tenant=message.tenant,
        peer=message.peer,
        method=message.method,
        resource=message.resource,
        outcome=message.outcome,
        request_json=message.request_json,
    )


def _usage(message: tenant_pb2.Usage) -> Usage:
    return Usage(
        waiting_tasks=message.waiting_tasks,
        running_tasks=message.running_tasks,
        gpu_seconds_today=message.gpu_seconds_today,
        stored_bytes=message.stored_bytes,
        workflows=message.workflows,
    )


def _scope(number: int) -> Scope:
    """The scope of that number, or UNKNOWN for one that a newer server knows."""
    known = number in key_pb2.Key.Scope.values() and number
    return Scope(key_pb2.Key.Scope.Name(number).removeprefix("SCOPE_")) if known else Scope.UNKNOWN


def _time(message: Message, field: str) -> datetime | None:
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    return stamp.ToDatetime(tzinfo=UTC)
