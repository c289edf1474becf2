"""How much a tenant uses, and whether it may have more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from comfymesh import names
from comfymesh.api.access.directory import Directory
from comfymesh.api.access.stored import StoredAssets
from comfymesh.api.errors import QuotaViolation, RefusedError
from comfymesh.api.hub import Hub
from comfymesh.api.readmodel import ReadModel
from comfymesh.api.workflows.shelf import Shelf
from comfymesh.v1 import task_pb2, tenant_pb2

_FRESH_SECONDS = 1.0
_SUM_SECONDS = 5.0
_WAIT_FOR_ROOM = 1.0
_WAIT_FOR_SPACE = 3600.0


@dataclass(slots=True)
class _Room:
    """How many tasks may be added to those that wait, as it was found a moment ago."""

    limit: int = 0
    left: int = 0
    until: float = 0.0
    on_their_way: int = 0
    last: int = 0


@dataclass(slots=True)
class _Sum:
    """Something that takes long to add up, and when that was done."""

    value: float = 0.0
    until: float = 0.0


@dataclass(slots=True)
class _Sums:
    gpu_seconds: _Sum = field(default_factory=_Sum)
    artifact_bytes: _Sum = field(default_factory=_Sum)


class Quotas:
    """Holds tenants to their limits.

    Waiting tasks are counted exactly, for those that this process creates; what others add is seen within a second.
    GPU-seconds and bytes are sums of a few seconds ago. What was accepted is never taken back.

    Args:
        directory: What the limits are.
        model: What there is.
        hub: Tells how far `model` is.
        assets: What was uploaded.
        shelf: Which workflows there are.
        clock: Answers seconds since the epoch.
    """

    def __init__(
        self,
        directory: Directory,
        model: ReadModel,
        hub: Hub,
        assets: StoredAssets,
        shelf: Shelf,
        clock: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._model = model
        self._hub = hub
        self._assets = assets
        self._shelf = shelf
        self._clock = clock
        self._rooms: dict[str, _Room] = {}
        self._sums: dict[str, _Sums] = {}

    def usage(self, tenant: str) -> tenant_pb2.Usage:
        """What a tenant uses."""
        states = task_pb2.Task.State
        held = (states.STATE_ASSIGNED, states.STATE_RUNNING, states.STATE_CANCELLING)
        return tenant_pb2.Usage(
            waiting_tasks=self._model.count(tenant, states.STATE_QUEUED),
            running_tasks=sum(self._model.count(tenant, state) for state in held),
            gpu_seconds_today=self._gpu_seconds(tenant),
            stored_bytes=self._bytes(tenant),
            workflows=self._shelf.count(tenant),
        )

    @asynccontextmanager
    async def task(self, tenant: str) -> AsyncIterator[Callable[[int], None]]:
        """Inside, a task may be stored; what is yielded is told the sequence that it got.

        Raises:
            RefusedError: the tenant has all that it may.
        """
        limits = self._limits(tenant)
        self._check_seconds(tenant, limits)
        self.check_bytes(tenant, 0)
        if not limits.max_waiting_tasks:
            yield _forget
            return
        room = await self._room(tenant, limits.max_waiting_tasks)
        room.left -= 1
        room.on_their_way += 1

        def stored(sequence: int) -> None:
            room.last = max(room.last, sequence)

        try:
            yield stored
        finally:
            room.on_their_way -= 1

    def check_bytes(self, tenant: str, more: int) -> None:
        """Whether so many bytes more may be stored.

        Raises:
            RefusedError: they may not.
        """
        limit = self._limits(tenant).max_stored_bytes
        if limit and (used := self._bytes(tenant)) + max(more, 1) > limit:
            raise _exceeded(tenant, "max_stored_bytes", limit, used, _WAIT_FOR_SPACE)

    @contextmanager
    def bringing(self, tenant: str, sha256: str, size: int) -> Iterator[None]:
        """Inside, so many bytes of this content are announced or stored; of several at once each sees the others.

        Raises:
            RefusedError: they may not be.
        """
        self.check_bytes(tenant, size)
        with self._assets.expecting(tenant, sha256, size):
            yield

    def check_workflows(self, tenant: str) -> None:
        """Whether a workflow more may be stored.

        Raises:
            RefusedError: it may not.
        """
        limit = self._limits(tenant).max_workflows
        if limit and (used := self._shelf.count(tenant)) >= limit:
            raise _exceeded(tenant, "max_workflows", limit, used, _WAIT_FOR_SPACE)

    def _check_seconds(self, tenant: str, limits: tenant_pb2.Limits) -> None:
        limit = limits.gpu_seconds_per_day
        if limit and (used := self._gpu_seconds(tenant)) >= limit:
            tomorrow = _day(self._clock()) + timedelta(days=1)
            raise _exceeded(tenant, "gpu_seconds_per_day", limit, round(used), tomorrow.timestamp() - self._clock())

    async def _room(self, tenant: str, limit: int) -> _Room:
        room = self._rooms.setdefault(tenant, _Room())
        if room.left <= 0 or room.limit != limit or self._clock() >= room.until:
            # What was stored from here is in the model then, also what was while we waited for that; what is being
            # stored is counted apart.
            known = -1
            while known < room.last:
                known = room.last
                await self._hub.until(known)
            used = self._model.count(tenant, task_pb2.Task.STATE_QUEUED, limit) + room.on_their_way
            room.limit, room.left, room.until = limit, limit - used, self._clock() + _FRESH_SECONDS
        if room.left <= 0:
            raise _exceeded(tenant, "max_waiting_tasks", limit, limit - room.left, _WAIT_FOR_ROOM)
        return room

    def _limits(self, tenant: str) -> tenant_pb2.Limits:
        known = self._directory.tenant(tenant)
        return known.limits if known else tenant_pb2.Limits()

    def _gpu_seconds(self, tenant: str) -> float:
        now = self._clock()
        total = self._sums.setdefault(tenant, _Sums()).gpu_seconds
        if now >= total.until:
            total.value = self._model.gpu_seconds(tenant, _day(now).timestamp())
            total.until = min(now + _SUM_SECONDS, (_day(now) + timedelta(days=1)).timestamp())
        return total.value

    def _bytes(self, tenant: str) -> int:
        now = self._clock()
        total = self._sums.setdefault(tenant, _Sums()).artifact_bytes
        if now >= total.until:
            total.value, total.until = self._model.artifact_bytes(tenant), now + _SUM_SECONDS
        return round(total.value) + self._assets.bytes_of(tenant) + self._shelf.bytes_of(tenant)


def _forget(_: int) -> None:
    """Nobody counts."""


def _day(now: float) -> datetime:
    """When the day (UTC) began."""
    return datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _exceeded(tenant: str, quota: str, limit: int, used: int, wait: float) -> RefusedError:
    name = names.tenant(tenant)
    message = f"{name} has used {used} of {limit}, which is its {quota}; wait, or ask whoever administers the mesh"
    metadata = {"quota": quota, "limit": str(limit), "used": str(used)}
    return RefusedError(
        "QUOTA_EXCEEDED", message, metadata, quota=QuotaViolation(name, f"{quota}: {message}"), retry_after=wait
    )
