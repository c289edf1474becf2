"""Tenants and keys: kept on the bus, followed by every replica, found without asking anybody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from google.protobuf.message import DecodeError

from comfymesh import names
from comfymesh.api.access.caller import DEFAULT_TENANT
from comfymesh.api.access.decision import Holder, holder
from comfymesh.api.errors import RefusedError, not_found
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusUnavailableError, CaughtUp, Entry, Message, SequenceConflictError
from comfymesh.bus.streams import ACCOUNTS
from comfymesh.tasks.moments import timestamp
from comfymesh.v1 import tenant_pb2
from comfymesh.wire.v1 import account_pb2

logger = logging.getLogger(__name__)

_TRIES = 10
_SEEN_SECONDS = 10.0


class Directory:
    """What the bus has of tenants and keys, as it arrives.

    What this process has written or answers it knows when the call returns; others know it as soon as it reaches them.

    Args:
        bus: Where they are kept.
        clock: Answers seconds since the epoch.

    Attributes:
        ready: Set once everything that was stored before the start is known.
        version: Grows with everything that is learned.
    """

    def __init__(self, bus: Bus, clock: Callable[[], float]) -> None:
        self._bus = bus
        self._clock = clock
        self._tenants: dict[str, tenant_pb2.Tenant] = {DEFAULT_TENANT: _default()}
        self._keys: dict[tuple[str, str], account_pb2.KeyRecord] = {}
        self._by_digest: dict[bytes, Holder] = {}
        self._changed = asyncio.Event()
        self.ready = asyncio.Event()
        self.version = 0

    async def follow(self) -> None:
        """Take in changes for ever."""
        async for item in self._bus.tail(ACCOUNTS, subjects.ALL_ACCOUNTS):
            if isinstance(item, CaughtUp):
                self.ready.set()
            else:
                self._take(item)

    def tenant(self, tenant_id: str) -> tenant_pb2.Tenant | None:
        """A tenant as it is known here."""
        return self._tenants.get(tenant_id)

    def tenants(self) -> list[tenant_pb2.Tenant]:
        """All tenants, by name."""
        return [self._tenants[name] for name in sorted(self._tenants)]

    def keys(self, tenant_id: str) -> list[account_pb2.KeyRecord]:
        """All keys of a tenant, by name."""
        return [record for (owner, _), record in sorted(self._keys.items()) if owner == tenant_id]

    def find(self, digest: bytes) -> Holder | None:
        """Who holds the key whose secret has this SHA-256.

        That takes as long for a digest that is nearly one of ours as for any other that is not: nobody can choose the
        digest of what they send.
        """
        return self._by_digest.get(digest)

    async def add_tenant(self, tenant: tenant_pb2.Tenant) -> tenant_pb2.Tenant:
        """Store a new tenant; answers it as it is stored.

        Raises:
            RefusedError: there is one of that name.
        """
        tenant_id = names.parse_tenant(tenant.name)
        if tenant_id == DEFAULT_TENANT:
            raise _taken(tenant.name)
        tenant.create_time.CopyFrom(timestamp(self._clock()))
        try:
            await self._store(subjects.tenant(tenant_id), _bare(tenant, self._clock()), 0)
        except SequenceConflictError as error:
            await self._until(error.last.sequence if error.last else 0)
            raise _taken(tenant.name) from None
        return self._tenants[tenant_id]

    async def change_tenant(
        self, name: str, etag: str, change: Callable[[tenant_pb2.Tenant], None]
    ) -> tenant_pb2.Tenant:
        """Change a tenant, where `etag` is not empty only as it had that; answers it as it is stored.

        Raises:
            RefusedError: there is none, or somebody else was first.
        """
        tenant_id = names.parse_tenant(name)
        for _ in range(_TRIES):
            stored = await self._bus.last(ACCOUNTS, subjects.tenant(tenant_id))
            if stored is None and tenant_id != DEFAULT_TENANT:
                raise not_found("tenant", name)
            sequence = stored.sequence if stored else 0
            if etag and etag != str(sequence):
                break
            tenant = tenant_pb2.Tenant.FromString(stored.data) if stored else _default()
            change(tenant)
            try:
                await self._store(subjects.tenant(tenant_id), _bare(tenant, self._clock()), sequence)
            except SequenceConflictError:
                continue
            return self._tenants[tenant_id]
        message = f"{name} was changed by somebody else; read it again, and then change it"
        raise RefusedError("ETAG_MISMATCH", message, {"resource": name})

    async def add_key(self, record: account_pb2.KeyRecord) -> None:
        """Store a new key."""
        await self._store(subjects.key(*names.parse_key(record.key.name)), record.SerializeToString(), 0)

    async def change_key(self, name: str, change: Callable[[account_pb2.KeyRecord], bool]) -> account_pb2.KeyRecord:
        """Change a key; answers it as it is stored. `change` answers whether there is anything to store.

        Raises:
            RefusedError: there is none, or `change` refuses.
        """
        subject = subjects.key(*names.parse_key(name))
        for _ in range(_TRIES):
            stored = await self._bus.last(ACCOUNTS, subject)
            if stored is None:
                raise not_found("key", name)
            record = account_pb2.KeyRecord.FromString(stored.data)
            if not change(record):
                await self._until(stored.sequence)  # Perhaps another process has just stored what is answered.
                return record
            try:
                await self._store(subject, record.SerializeToString(), stored.sequence)
            except SequenceConflictError:
                continue
            return record
        message = f"{name} was changed by somebody else; try again"
        raise RefusedError("ETAG_MISMATCH", message, {"resource": name})

    async def key(self, name: str) -> account_pb2.KeyRecord:
        """A key, never stale.

        Raises:
            RefusedError: there is none.
        """
        return await self.change_key(name, lambda _: False)

    async def _store(self, subject: str, data: bytes, expected: int) -> None:
        (sequence,) = await self._bus.append([Entry(subject, data, expected)])
        await self._until(sequence)

    async def _until(self, sequence: int) -> None:
        """Wait until what is stored there is known here: nobody is answered what the next call would contradict.

        Raises:
            BusUnavailableError: it does not come.
        """
        try:
            async with asyncio.timeout(_SEEN_SECONDS):
                while self.version < sequence:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            message = f"message {sequence} of {ACCOUNTS.name} is stored, and does not arrive here"
            raise BusUnavailableError(message) from None

    def _take(self, item: Message) -> None:
        try:
            _, kind, *parts = item.subject.split(".")
            if kind == "tenant":
                self._take_tenant(parts[0], item)
            else:
                self._take_key((parts[0], parts[1]), account_pb2.KeyRecord.FromString(item.data))
        except DecodeError as error:
            logger.error("what is stored as %s can't be read: %s", item.subject, error)  # noqa: TRY400  # all is said
        self.version = item.sequence
        self._changed.set()

    def _take_tenant(self, tenant_id: str, item: Message) -> None:
        tenant = tenant_pb2.Tenant.FromString(item.data)
        tenant.etag = str(item.sequence)
        self._tenants[tenant_id] = tenant

    def _take_key(self, place: tuple[str, str], record: account_pb2.KeyRecord) -> None:
        self._keys[place] = record
        self._by_digest[record.secret_sha256] = holder(record.key, place[0])


def _default() -> tenant_pb2.Tenant:
    return tenant_pb2.Tenant(name=names.tenant(DEFAULT_TENANT), display_name="Default", etag="0")


def _taken(name: str) -> RefusedError:
    message = f"there is a {name} already; choose another id, or update it"
    return RefusedError("TENANT_ALREADY_EXISTS", message, {"tenant": name})


def _bare(tenant: tenant_pb2.Tenant, now: float) -> bytes:
    """A tenant as it is stored: its etag is the position of the message, and in none."""
    tenant.update_time.CopyFrom(timestamp(now))
    tenant.ClearField("etag")
    return tenant.SerializeToString()
