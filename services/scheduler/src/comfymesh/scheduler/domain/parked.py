"""Tasks that wait because their tenants have as many attempts under way as they may.

Nobody has to remember to let one back: as long as a tenant has room, each decision lets back as many of each kind as
there is room for, whatever becomes of those that were let back before.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from comfymesh.scheduler.domain.lanes import Group, Lane, Waiting
from comfymesh.scheduler.domain.tenants import Tenants

_KINDS = 16
"""Kinds of a tenant's tasks that a decision lets back: all of them in turn, so that many do not cost a pause."""

_Kind = tuple[Group, tuple[int, int]]


class Parked:
    """Parked tasks, by tenant and kind: those that the queue would have in one lane. The first of each come first."""

    def __init__(self) -> None:
        self._lanes: dict[str, dict[_Kind, Lane]] = {}
        self._may_have_room: dict[str, None] = {}

    def add(self, task: Waiting) -> None:
        """Park a task that stands nowhere."""
        lanes = self._lanes.setdefault(task.key.tenant, {})
        kind = (task.group, task.kind)
        if kind not in lanes:
            lanes[kind] = Lane(task.group, task.priority)
        lanes[kind].add(task)

    def discard(self, task: Waiting) -> None:
        """The task, parked or not, waits no more."""
        lanes = self._lanes.get(task.key.tenant, {})
        kind = (task.group, task.kind)
        if task.lane is not None and task.lane is lanes.get(kind):
            task.lane.remove(task)
            self._drop_empty(task.key.tenant, kind)

    def look_again(self, tenant: str | None = None) -> None:
        """A tenant, or any, may have room that it had not."""
        self._may_have_room.update(dict.fromkeys(self._lanes if tenant is None else (tenant,)))

    def let_back(self, tenants: Tenants) -> Iterator[Waiting]:
        """Tasks of tenants that have room; they are parked no more."""
        for name in list(self._may_have_room):
            if name in self._lanes and not tenants[name].at_cap:
                yield from self._of_each_kind(name, tenants[name].room)
            else:
                del self._may_have_room[name]

    def _of_each_kind(self, tenant: str, room: float) -> Iterator[Waiting]:
        lanes = self._lanes[tenant]
        for kind in list(islice(lanes, _KINDS)):
            lane = lanes[kind] = lanes.pop(kind)
            let_back = 0
            while let_back < room and (task := lane.head()) is not None:
                lane.remove(task)
                let_back += 1
                yield task
            self._drop_empty(tenant, kind)

    def _drop_empty(self, tenant: str, kind: _Kind) -> None:
        lanes = self._lanes[tenant]
        if not lanes[kind].count:
            del lanes[kind]
            if not lanes:
                del self._lanes[tenant]
