"""Who calls, and may they? Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from comfymesh.api.access.caller import Caller
from comfymesh.api.access.scopes import SCOPES, Scope
from comfymesh.api.errors import RefusedError
from comfymesh.v1 import key_pb2, tenant_pb2

HEADER = "authorization"
_SCHEME = "bearer"

_ADVICE = "send `authorization: Bearer {API key or JWT}`"


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller as their credentials show them, and until when they do, in seconds since the epoch."""

    caller: Caller
    until: float


def credential(metadata: Mapping[str, str | bytes]) -> str:
    """What the metadata of a call say of who makes it: a key or a token.

    Raises:
        RefusedError: they say nothing, or something that is not understood.
    """
    value = metadata.get(HEADER, "")
    if not value:
        raise RefusedError("CREDENTIALS_MISSING", f"this server takes no calls without credentials; {_ADVICE}")
    scheme, _, text = value.partition(" ") if isinstance(value, str) else ("", "", "")
    if scheme.lower() != _SCHEME or not text.strip():
        raise unknown("the header `authorization` is malformed")
    return text.strip()


def unknown(problem: str) -> RefusedError:
    """Credentials that show nobody."""
    message = f"the credentials are not accepted: {problem}; {_ADVICE}"
    return RefusedError("CREDENTIALS_INVALID", message, {"problem": problem})


def digest(secret: str) -> bytes:
    """By what a secret is found, and what is kept of it."""
    return hashlib.sha256(secret.encode()).digest()


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a key shows, as long as it is good; worked out once and not at each call."""

    identity: Identity
    revoked: bool


def holder(key: key_pb2.Key, tenant: str) -> Holder:
    """Whom a key of a tenant shows."""
    scopes = frozenset(Scope(key_pb2.Key.Scope.Name(scope).removeprefix("SCOPE_")) for scope in key.scopes)
    until = key.expire_time.ToMilliseconds() / 1000 if key.HasField("expire_time") else float("inf")
    return Holder(Identity(Caller(tenant, key.name, scopes), until), key.HasField("revoke_time"))


def identify(held: Holder, now: float) -> Identity:
    """Who holds a key.

    Raises:
        RefusedError: it has ended.
    """
    if held.revoked:
        raise unknown("the key was revoked")
    if held.identity.until <= now:
        raise unknown("the key has expired")
    return held.identity


def ended(key: key_pb2.Key, now: float) -> str:
    """Why a key is good no longer; empty where it is."""
    if key.HasField("revoke_time"):
        return "was revoked"
    if key.HasField("expire_time") and key.expire_time.ToMilliseconds() / 1000 <= now:
        return "has expired"
    return ""


def authorize(caller: Caller, tenant: tenant_pb2.Tenant | None, method: str) -> None:
    """Whether a caller may call a method.

    Raises:
        RefusedError: they may not.
    """
    if tenant is None:
        raise unknown(f"there is no tenant {caller.tenant}")
    if tenant.disabled:
        message = f"{tenant.name} is disabled; ask whoever administers the mesh"
        raise RefusedError("TENANT_DISABLED", message, {"tenant": tenant.name})
    scope = SCOPES[method]
    if scope not in caller.scopes:
        told = {"scope": scope.lower(), "method": method}
        message = f"{method} takes the scope {scope.lower()}, which {caller.actor} does not have"
        raise RefusedError("SCOPE_MISSING", message, told)
