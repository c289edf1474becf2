"""comfymesh.v1.GroupService."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from comfymesh import names
from comfymesh.api import bookmark, fields, groups
from comfymesh.api.access import caller
from comfymesh.api.encoded import TellingMany
from comfymesh.api.errors import Violation, invalid
from comfymesh.api.following import Following
from comfymesh.api.groups import Groups
from comfymesh.api.query import Query
from comfymesh.api.readmodel import GroupSummary
from comfymesh.api.watching import Heartbeat
from comfymesh.bus.port import CaughtUp
from comfymesh.bus.tasklog import Stored
from comfymesh.v1 import group_pb2, group_service_pb2, group_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_LOOK_SECONDS = 0.25
_PROGRESS_SECONDS = 1.0

_TOLD = TellingMany(
    group_service_pb2.WatchGroupResponse,
    {Stored: "task", group_pb2.Group: "group", CaughtUp: "caught_up", Heartbeat: "heartbeat"},
)


class GroupService(group_service_pb2_grpc.GroupServiceServicer):
    """Follows and stops groups of tasks."""

    def __init__(self, groups: Groups, following: Following) -> None:
        self._groups = groups
        self._following = following

    async def GetGroup(
        self, request: group_service_pb2.GetGroupRequest, context: Context
    ) -> group_service_pb2.GetGroupResponse:
        """See the proto."""
        names.parse_group(request.name)
        return group_service_pb2.GetGroupResponse(group=await self._groups.get(caller.tenant(), request.name))

    async def CancelGroup(
        self, request: group_service_pb2.CancelGroupRequest, context: Context
    ) -> group_service_pb2.CancelGroupResponse:
        """See the proto."""
        wrong = [
            *fields.name_violations(request.name, names.parse_group),
            *fields.reason_violations(request.reason),
        ]
        if wrong:
            raise invalid(wrong)
        count = await self._groups.cancel(caller.tenant(), request.name, request.reason)
        group = await self._groups.get(caller.tenant(), request.name)
        return group_service_pb2.CancelGroupResponse(group=group, cancelled_count=count)

    async def WatchGroup(self, request: group_service_pb2.WatchGroupRequest, context: Context) -> AsyncIterator[bytes]:
        """See the proto."""
        at = _read(request)
        if not request.task_count and self._groups.summary(caller.tenant(), request.name) is None:
            await self._groups.get(caller.tenant(), request.name)
        look = _Look(self._groups, caller.tenant(), request.name, max(1, request.task_count))
        changes = self._following.watch(
            Query(caller.tenant(), group=request.name),
            at,
            include_existing=True,
            most=fields.most_changes(request.max_changes),
            heartbeat=_LOOK_SECONDS,
        )
        told = time.monotonic()
        async with aclosing(changes) as messages:
            async for *before, (place, item) in messages:
                if not isinstance(item, Heartbeat):
                    look.changed = True
                    told = time.monotonic()
                    yield _TOLD.tell_together(place, item, before)
                # The group is told after the tasks that were there.
                group = await look.after(place.position) if place.place is None else None
                if group is None and time.monotonic() - told >= self._following.heartbeat:
                    told = time.monotonic()
                    yield _TOLD.tell(bookmark.make_token(place), Heartbeat())
                elif group is not None:
                    told = time.monotonic()
                    yield _TOLD.tell(bookmark.make_token(place), group)
                    if look.ended:
                        return


class _Look:
    """Looks at a group as a whole, not too often, while its tasks are told one by one.

    Attributes:
        changed: Whether there is news since the last look.
        ended: Whether the last look was at a group that has ended, and of which everything was told.
    """

    def __init__(self, groups: Groups, tenant: str, name: str, expected: int) -> None:
        self._groups = groups
        self._tenant = tenant
        self._name = name
        self._expected = expected
        self._next = 0.0
        self._progress_at = 0.0
        self._last = group_pb2.Group()
        self.changed = True
        self.ended = False

    async def after(self, position: int) -> group_pb2.Group | None:
        """The group, where it is time to look and there is something new to see, now that `position` was told."""
        now = time.monotonic()
        if now < self._next or not (self.changed or self._runs(now)):
            return None
        summary = self._groups.summary(self._tenant, self._name)
        if summary is None:
            return None
        # What the log told a watcher when he came, this replica may not have counted yet.
        self._next, self.changed = now + _LOOK_SECONDS, position < summary.sequence or not self._groups.knows(position)
        # The end is told when every change that led to it was.
        self.ended = groups.ended(summary, self._expected) and position >= summary.sequence
        group = await self._message(summary, now)
        if group == self._last and not self.ended:
            return None
        self._last = group
        return group

    def _runs(self, now: float) -> bool:
        return bool(self._last.running_count) and now >= self._progress_at

    async def _message(self, summary: GroupSummary, now: float) -> group_pb2.Group:
        self._progress_at = now + _PROGRESS_SECONDS
        return groups.message(self._name, summary, await self._groups.progress(self._tenant, self._name, summary))


def _read(request: group_service_pb2.WatchGroupRequest) -> bookmark.Bookmark | None:
    wrong = [
        *fields.name_violations(request.name, names.parse_group),
        *fields.max_changes_violations(request.max_changes),
    ]
    if request.task_count < 0:
        wrong.append(Violation("task_count", f"{request.task_count} is negative; leave it out if you do not know"))
    if wrong:
        raise invalid(wrong)
    return bookmark.read_token(request.resume_token) if request.resume_token else None
