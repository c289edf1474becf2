"""What the SDK shows of tenants, keys and the audit log."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Scope(StrEnum):
    """What the holder of a key may do. None includes another."""

    UNKNOWN = "UNKNOWN"
    SUBMIT = "SUBMIT"
    READ = "READ"
    OPERATE = "OPERATE"
    ADMIN = "ADMIN"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a tenant may use; 0 for as much as there is.

    Attributes:
        max_waiting_tasks: Tasks that wait to be started.
        gpu_seconds_per_day: Seconds of instances in a day (UTC).
        max_stored_bytes: Bytes of assets, artifacts and workflows that are kept.
        requests_per_second: Calls a second, on average, at each process of the api.
        request_burst: Calls that may come at once after a pause; 0 for two seconds' worth.
        max_workflows: Workflows that are not deleted.
    """

    max_waiting_tasks: int = 0
    gpu_seconds_per_day: int = 0
    max_stored_bytes: int = 0
    requests_per_second: float = 0.0
    request_burst: int = 0
    max_workflows: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant uses.

    Attributes:
        waiting_tasks: Tasks that wait to be started.
        running_tasks: Tasks that have an attempt.
        gpu_seconds_today: Seconds of instances today (UTC).
        stored_bytes: Bytes of assets, artifacts and workflows that are kept.
        workflows: Workflows that are not deleted.
    """

    waiting_tasks: int = 0
    running_tasks: int = 0
    gpu_seconds_today: float = 0.0
    stored_bytes: int = 0
    workflows: int = 0


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who tasks, assets and artifacts belong to.

    Attributes:
        name: Resource name, ``tenants/{tenant}``.
        display_name: Name for people.
        disabled: Whether all its calls are refused.
        limits: How much it may use.
        node_classes: Patterns of the node classes that its graphs may name; empty for all.
        models: Patterns of the model files that its graphs may name; empty for all.
        url_hosts: Patterns of the hosts that inputs by URL may be fetched from; empty for all that the operator allows.
        usage: What it uses, where that was asked for.
        create_time: When it was created; None for the one that is always there.
        update_time: When it was changed last.
        etag: The version, to change this one and no later one.
    """

    name: str
    display_name: str = ""
    disabled: bool = False
    limits: Limits = field(default_factory=Limits)
    node_classes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    url_hosts: tuple[str, ...] = ()
    usage: Usage | None = None
    create_time: datetime | None = None
    update_time: datetime | None = None
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, without its secret.

    Attributes:
        name: Resource name, ``tenants/{tenant}/keys/{key}``.
        display_name: Name for people.
        scopes: What its holder may do.
        create_time: When it was made.
        expire_time: When it ends, or None.
        revoke_time: When it was revoked, or None.
        rotated_to: The key that took its place, or empty.
    """

    name: str
    display_name: str = ""
    scopes: tuple[Scope, ...] = ()
    create_time: datetime | None = None
    expire_time: datetime | None = None
    revoke_time: datetime | None = None
    rotated_to: str = ""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made.

    Attributes:
        key: The key.
        secret: What its holder sends. Can't be had again.
    """

    key: Key
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something that an operator or administrator did.

    Attributes:
        time: When.
        actor: Who: a key's name, ``tokens/{subject}`` or ``bootstrap``.
        tenant: The caller's tenant.
        peer: Where the call came from.
        method: What was called.
        resource: What it was about, or empty.
        outcome: ``OK``, or the reason why it was refused. ``CANCELLED`` where nobody waited for the answer: it may have
            been done, or not.
        request_json: The request's fields, as JSON.
    """

    time: datetime | None
    actor: str
    tenant: str
    peer: str
    method: str
    resource: str
    outcome: str
    request_json: str
