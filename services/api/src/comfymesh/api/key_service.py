"""comfymesh.v1.KeyService."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from comfymesh import names
from comfymesh.api import fields, paging
from comfymesh.api.access import decision
from comfymesh.api.access.directory import Directory
from comfymesh.api.access.gate import KEY_PREFIX
from comfymesh.api.errors import RefusedError, Violation, invalid, not_found
from comfymesh.tasks.moments import seconds, timestamp
from comfymesh.v1 import key_pb2, key_service_pb2, key_service_pb2_grpc
from comfymesh.wire.v1 import account_pb2

Context = grpc.aio.ServicerContext[Any, Any]

_SECRET_BYTES = 32
_LONGEST_OVERLAP = 30 * 24 * 3600.0


class KeyService(key_service_pb2_grpc.KeyServiceServicer):
    """Administers API keys."""

    def __init__(self, directory: Directory, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._clock = clock

    async def CreateKey(
        self, request: key_service_pb2.CreateKeyRequest, context: Context
    ) -> key_service_pb2.CreateKeyResponse:
        """See the proto."""
        if wrong := list(_violations(request, self._clock())):
            raise invalid(wrong)
        tenant = self._tenant(request.parent)
        wanted = key_pb2.Key(display_name=request.key.display_name, scopes=sorted(set(request.key.scopes)))
        if request.key.HasField("expire_time"):
            wanted.expire_time.CopyFrom(request.key.expire_time)
        record, secret = self._made(tenant, wanted)
        await self._directory.add_key(record)
        return key_service_pb2.CreateKeyResponse(key=record.key, secret=secret)

    async def GetKey(self, request: key_service_pb2.GetKeyRequest, context: Context) -> key_service_pb2.GetKeyResponse:
        """See the proto."""
        return key_service_pb2.GetKeyResponse(key=(await self._directory.key(request.name)).key)

    async def ListKeys(
        self, request: key_service_pb2.ListKeysRequest, context: Context
    ) -> key_service_pb2.ListKeysResponse:
        """See the proto."""
        wrong = [*paging.violations(request.page_size), *_parent_violations(request.parent)]
        if wrong:
            raise invalid(wrong)
        records = self._directory.keys(self._tenant(request.parent))
        keys, token = paging.by_name(request, (record.key for record in records))
        return key_service_pb2.ListKeysResponse(keys=keys, next_page_token=token)

    async def RotateKey(
        self, request: key_service_pb2.RotateKeyRequest, context: Context
    ) -> key_service_pb2.RotateKeyResponse:
        """See the proto."""
        overlap = request.overlap.ToMilliseconds() / 1000
        if not 0 <= overlap <= _LONGEST_OVERLAP:
            raise invalid([Violation("overlap", "must be at least 0 and at most 30 days")])
        old = (await self._directory.key(request.name)).key
        now = self._clock()
        self._check_good(old, now)
        record, secret = self._made(names.parse_key(old.name)[0], _like(old, now))
        # First the new one: what is cut short between leaves a key too many, and not none.
        await self._directory.add_key(record)
        await self._directory.change_key(old.name, lambda kept: self._give_way(kept, record.key.name, now + overlap))
        return key_service_pb2.RotateKeyResponse(key=record.key, secret=secret)

    async def RevokeKey(
        self, request: key_service_pb2.RevokeKeyRequest, context: Context
    ) -> key_service_pb2.RevokeKeyResponse:
        """See the proto."""
        record = await self._directory.change_key(request.name, self._revoke)
        return key_service_pb2.RevokeKeyResponse(key=record.key)

    def _tenant(self, parent: str) -> str:
        tenant = names.parse_tenant(parent)
        if self._directory.tenant(tenant) is None:
            raise not_found("tenant", parent)
        return tenant

    def _made(self, tenant: str, key: key_pb2.Key) -> tuple[account_pb2.KeyRecord, str]:
        """A new key like `key`, and its secret."""
        key_id = f"k{secrets.token_hex(8)}"
        key.name = names.key(tenant, key_id)
        key.create_time.CopyFrom(timestamp(self._clock()))
        secret = f"{KEY_PREFIX}{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        return account_pb2.KeyRecord(key=key, secret_sha256=decision.digest(secret)), secret

    def _check_good(self, key: key_pb2.Key, now: float) -> None:
        problem = "was rotated" if key.rotated_to else decision.ended(key, now)
        if problem:
            message = f"{key.name} {problem}; create another key"
            raise RefusedError("KEY_ENDED", message, {"key": key.name, "problem": problem}, resource=key.name)

    def _give_way(self, record: account_pb2.KeyRecord, successor: str, end: float) -> bool:
        self._check_good(record.key, self._clock())
        record.key.rotated_to = successor
        if not record.key.HasField("expire_time") or seconds(record.key.expire_time) > end:
            record.key.expire_time.CopyFrom(timestamp(end))
        return True

    def _revoke(self, record: account_pb2.KeyRecord) -> bool:
        if record.key.HasField("revoke_time"):
            return False
        record.key.revoke_time.CopyFrom(timestamp(self._clock()))
        return True


def _like(old: key_pb2.Key, now: float) -> key_pb2.Key:
    """A key to be made, with the old one's name for people, scopes and lifetime."""
    key = key_pb2.Key(display_name=old.display_name, scopes=old.scopes)
    if old.HasField("expire_time"):
        lifetime = seconds(old.expire_time) - seconds(old.create_time)
        key.expire_time.CopyFrom(timestamp(now + lifetime))
    return key


def _parent_violations(parent: str) -> Iterator[Violation]:
    for violation in fields.name_violations(parent, names.parse_tenant):
        yield Violation("parent", violation.description)


def _violations(request: key_service_pb2.CreateKeyRequest, now: float) -> Iterator[Violation]:
    key = request.key
    yield from _parent_violations(request.parent)
    yield from fields.display_name_violations("key.display_name", key.display_name)
    if not key.scopes:
        yield Violation("key.scopes", "name one at least: submit, read, operate or admin")
    for index, scope in enumerate(key.scopes[:16]):
        if scope not in key_pb2.Key.Scope.values() or scope == key_pb2.Key.SCOPE_UNSPECIFIED:
            yield Violation(f"key.scopes[{index}]", f"{scope} is no scope")
    if len(key.scopes) > 16:
        yield Violation("key.scopes", f"has {len(key.scopes)} entries; there are four scopes")
    if key.HasField("expire_time") and not fields.is_time(key.expire_time):
        yield Violation("key.expire_time", "is not a time")
    elif key.HasField("expire_time") and seconds(key.expire_time) <= now:
        yield Violation("key.expire_time", "has passed already")
