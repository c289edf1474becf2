"""Groups of tasks: what they have come to, and their end. Derived from their tasks, never stored."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from comfymesh.api.cancelling import cancel
from comfymesh.api.errors import not_found
from comfymesh.api.following import Following
from comfymesh.api.query import Query
from comfymesh.api.readmodel import GroupSummary
from comfymesh.api.watch import FINAL_STATES
from comfymesh.bus import bulk, subjects
from comfymesh.bus.port import Bus
from comfymesh.bus.streams import PROGRESS
from comfymesh.bus.tasklog import Stored, TaskLog, UnreadableRecordError
from comfymesh.tasks.moments import timestamp
from comfymesh.v1 import group_pb2, task_pb2

State = task_pb2.Task.State

_STOPPABLE = (State.STATE_QUEUED, State.STATE_ASSIGNED, State.STATE_RUNNING)
_MOST_READ = 64
"""So many running tasks are asked for their progress; where more run at once, one counts for little."""
_PAGE = 500
_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Groups:
    """Looks at groups and stops them.

    Attributes:
        following: Knows the tasks.
        log: Where they are cancelled.
        bus: Where their progress is.
    """

    following: Following
    log: TaskLog
    bus: Bus

    async def get(self, tenant: str, name: str) -> group_pb2.Group:
        """A group with every task that was stored before the call.

        Raises:
            RefusedError: there is none of that name.
        """
        await self.following.current(tenant)
        summary = self.summary(tenant, name)
        if summary is None:
            raise not_found("group", name)
        return message(name, summary, await self.progress(tenant, name, summary))

    def summary(self, tenant: str, name: str) -> GroupSummary | None:
        """What the group has come to, as far as this replica knows."""
        return self.following.model.group(tenant, name)

    def knows(self, position: int) -> bool:
        """Whether what this replica knows has every change up to a position."""
        return self.following.hub.position >= position

    async def progress(self, tenant: str, name: str, summary: GroupSummary) -> float:
        """How far the running tasks of a group are, added up."""
        if not 0 < summary.counts.get(State.STATE_RUNNING, 0) <= _MOST_READ:
            return 0.0
        query = Query(tenant, states=(State.STATE_RUNNING,), group=name)
        running, _ = self.following.model.page(query, _MOST_READ, None)
        return sum(await asyncio.gather(*(self._fraction(stored) for stored in running)))

    async def cancel(self, tenant: str, name: str, reason: str) -> int:
        """Cancel every task that has not ended; answers how many this call has cancelled.

        One whose record can't be read, as of a later version, is left alone; it is told of when the log is read.

        Raises:
            RefusedError: there is no group of that name.
        """
        count = 0
        for _ in range(_ROUNDS):
            await self.following.current(tenant)
            if self.summary(tenant, name) is None:
                raise not_found("group", name)
            stoppable = self._stoppable(tenant, name)
            if not stoppable:
                break
            count += await self._cancel_all(stoppable, reason)
        return count

    def _stoppable(self, tenant: str, name: str) -> list[Stored]:
        query, place = Query(tenant, states=_STOPPABLE, group=name), None
        found = list[Stored]()
        while True:
            page, place = self.following.model.page(query, _PAGE, place)
            found += page
            if place is None:
                return found

    async def _cancel_all(self, tasks: list[Stored], reason: str) -> int:
        async def one(stored: Stored) -> bool:
            try:
                return (await cancel(self.log, stored, reason)).changed
            except UnreadableRecordError:
                return False

        return sum(await bulk.each(tasks, one))

    async def _fraction(self, stored: Stored) -> float:
        latest = await self.bus.last(PROGRESS, subjects.progress(stored.key))
        try:
            told = task_pb2.TaskProgress.FromString(latest.data if latest else b"")
        except DecodeError:
            return 0.0
        return min(max(told.fraction, 0.0), 1.0) if told.attempt == stored.task.attempt else 0.0


def ended(summary: GroupSummary, expected: int) -> bool:
    """Whether a group has all its tasks, and all have ended."""
    return set(summary.counts) <= FINAL_STATES and sum(summary.counts.values()) >= expected


def message(name: str, summary: GroupSummary, running: float) -> group_pb2.Group:
    """A group as callers see it.

    Args:
        name: Its resource name.
        summary: What it has come to.
        running: How far its running tasks are, added up.
    """
    count = sum(summary.counts.values())
    final = sum(number for state, number in summary.counts.items() if state in FINAL_STATES)
    group = group_pb2.Group(
        name=name,
        task_count=count,
        fraction=min(1.0, (final + running) / count),
        create_time=timestamp(summary.created),
    )
    for state, number in summary.counts.items():
        setattr(group, f"{_WORDS[state]}_count", number)
    if final == count:
        group.end_time.CopyFrom(timestamp(summary.updated))
    return group


_WORDS = {number: name.removeprefix("STATE_").lower() for name, number in State.items()}
