"""Tasks that wait because their tenants have as many attempts under way as they may.

All tasks of a tenant that has a cap wait here. As long as it has room, each decision lets as many of each kind stand in
the queue as there is room for. Nobody has to remember to let one back, whatever becomes of those that were before; and
however many tasks such a tenant has, of each kind no more stand in the queue than could be begun.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice

from comfymesh.scheduler.domain.lanes import Group, Lane, Waiting
from comfymesh.scheduler.domain.tenants import Tenants
from comfymesh.tasks.record import Key

_KINDS = 16
"""Kinds of a tenant's tasks that a decision lets back: all of them in turn, so that many do not cost a pause."""
_AT_ONCE = 32
"""Tasks of each kind that it lets back."""

_Kind = tuple[str, Group, tuple[int, int]]


class Parked:
    """Parked tasks, by tenant and kind: those that the queue would have in one lane. The first of each come first."""

    def __init__(self) -> None:
        self._lanes: dict[str, dict[_Kind, Lane]] = {}
        self._to_look_at: dict[str, int] = {}
        self._let_back: dict[Key, _Kind] = {}
        self._standing: Counter[_Kind] = Counter()

    def __contains__(self, task: Waiting) -> bool:
        lane = self._lanes.get(task.key.tenant, {}).get(_kind(task))
        return lane is not None and task.lane is lane

    def add(self, task: Waiting) -> None:
        """Park a task that stands nowhere."""
        self._stands_no_more(task)
        lanes = self._lanes.setdefault(task.key.tenant, {})
        kind = _kind(task)
        if kind not in lanes:
            lanes[kind] = Lane(task.group, task.priority)
        lanes[kind].add(task)
        self.look_again(task.key.tenant)

    def discard(self, task: Waiting) -> None:
        """The task, parked or not, waits no more."""
        self._stands_no_more(task)
        if task in self and task.lane is not None:
            task.lane.remove(task)
            self._drop_empty(_kind(task))

    def look_again(self, tenant: str | None = None) -> None:
        """A tenant, or any, may have room that it had not."""
        for name in self._lanes if tenant is None else (tenant,):
            self._to_look_at[name] = len(self._lanes.get(name, ()))

    def let_back(self, tenants: Tenants) -> Iterator[Waiting]:
        """Tasks of tenants that have room, to stand in the queue.

        A tenant is looked at until of each of its kinds as many stand there as it has room for: then nothing more is to
        be done before one of them goes.
        """
        for name in list(self._to_look_at):
            if name in self._lanes and self._to_look_at[name] > 0 and not tenants[name].at_cap:
                yield from self._of_each_kind(name, tenants[name].room)
            else:
                del self._to_look_at[name]

    def _of_each_kind(self, tenant: str, room: float) -> Iterator[Waiting]:
        lanes = self._lanes[tenant]
        for kind in list(islice(lanes, _KINDS)):
            lane = lanes[kind] = lanes.pop(kind)
            self._to_look_at[tenant] -= 1
            if room - self._standing[kind] > _AT_ONCE:
                self._to_look_at[tenant] = len(lanes)  # There is more to let back than is let back at once.
            for _ in range(int(min(room - self._standing[kind], _AT_ONCE))):
                if (task := lane.head()) is None:
                    break
                lane.remove(task)
                self._let_back[task.key] = kind
                self._standing[kind] += 1
                yield task
            self._drop_empty(kind)

    def _stands_no_more(self, task: Waiting) -> None:
        kind = self._let_back.pop(task.key, None)
        if kind is not None:
            self._standing[kind] -= 1
            if not self._standing[kind]:
                del self._standing[kind]
            self.look_again(task.key.tenant)

    def _drop_empty(self, kind: _Kind) -> None:
        lanes = self._lanes[kind[0]]
        if not lanes[kind].count:
            del lanes[kind]
            if not lanes:
                del self._lanes[kind[0]]


def _kind(task: Waiting) -> _Kind:
    return (task.key.tenant, task.group, task.kind)
