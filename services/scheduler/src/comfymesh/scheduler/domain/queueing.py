"""Tasks that wait for a slot: what is kept of each, and what it is known to need."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain

from comfymesh.scheduler.domain.deadlines import start_by
from comfymesh.scheduler.domain.dispatch import Dispatcher
from comfymesh.scheduler.domain.estimates import Estimates
from comfymesh.scheduler.domain.fleet import Place
from comfymesh.scheduler.domain.lanes import Family, Group, Waiting
from comfymesh.scheduler.domain.memory import Memory
from comfymesh.scheduler.domain.parked import Parked
from comfymesh.scheduler.domain.seat import Seat
from comfymesh.scheduler.domain.seats import Seats
from comfymesh.scheduler.domain.tenants import Tenant, Tenants
from comfymesh.scheduler.domain.virtual_fifo import VirtualFifo
from comfymesh.tasks.failures import POLICIES
from comfymesh.tasks.policy import PolicySettings
from comfymesh.tasks.record import Key, Requirements, TaskRecord
from comfymesh.tasks.usage import is_patched_in

_SLACK = 1024
_IDLE_GROUPS = 64
_NOWHERE = frozenset[Place]()
_SENT_AT_ONCE = 64
"""Tasks that a decision sends to the fleet on paper, of those that came before any instance."""
_PARKED_AT_ONCE = 64
"""Tasks that a decision parks: more are left when a cap is new, and then the next decision goes on."""


class WaitingTasks:
    """The queue, with tasks put off until a given time, and tasks of tenants that may have no more under way."""

    def __init__(self, seats: Seats, estimates: Estimates, dispatcher: Dispatcher, memory: Memory) -> None:
        self._memory = memory
        self._seats = seats
        self._estimates = estimates
        self._dispatcher = dispatcher
        self._tenants = Tenants()
        self._settings = PolicySettings()
        self._groups: dict[Requirements, Group] = {}
        self._families: dict[tuple[str, ...], Family] = {}
        self._idle_groups: dict[Group, None] = {}
        self._fifo = VirtualFifo(estimates)
        self._fleet_changed = False
        self._unsent = deque[Waiting]()
        self._holds = 1
        self._put_off: list[tuple[float, Waiting]] = []
        self._parked = Parked()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def set(self, settings: PolicySettings) -> None:
        """Other settings hold."""
        self._settings = self._dispatcher.settings = settings
        self._tenants.set(settings)
        self._parked.look_again()
        self._dispatcher.look_again()

    def fleet_changed(self) -> None:
        """Instances came or went. The fleet on paper follows when a task is next sent to it: many may go at once."""
        self._fleet_changed = True

    def _resize_fifo(self) -> None:
        if not self._fleet_changed:
            return
        self._fleet_changed = False
        self._fifo.resize([self._estimates.speed(seat.gpu_class) for seat in self._seats])

    def arrive(self, record: TaskRecord, sequence: int, now: float) -> Waiting:
        """What is kept of a task that waits. It does not stand in the queue yet."""
        definition = record.definition
        tenant = self._tenants.get(record.key.tenant)
        group = self._group(definition.requirements)
        # Names of tenants are kept once, not once a task.
        key = Key(tenant.name, record.key.task_id)
        task = Waiting(key, sequence, group, definition.priority, definition.create_time)
        task.shunned = _shunned(record)
        task.start_by = start_by(record)
        task.run = self._estimates.run(group.family.models, definition.work, tenant.name)
        if not self._settings.affinity:
            return task
        task.sparse = tenant.sparseness(task.run)
        task.start = max(task.created, tenant.clock)
        tenant.clock = task.start + task.run / self._tenants.share(tenant, max(len(self._seats), 1))
        # Whatever it had to bear, a tenant's tasks do not overtake each other.
        task.clock = tenant.latest = max(task.start - (tenant.slowdown(now) - 1) * task.run, tenant.latest)
        self._resize_fifo()
        if self._unsent or not self._fifo:
            self._unsent.append(task)
            self._forget_unsent()
        else:
            task.fifo = self._finish(task, task.created)
        return task

    def _finish(self, task: Waiting, since: float) -> float:
        group = task.group
        return self._fifo.finish(group.family.models, group.extras, task.run, since, self._holds)

    def _send(self, now: float) -> None:
        """Send those to the fleet on paper who came while it was empty, in order, some at a time.

        A scheduler that starts reads what waits before any node has reported. Until then nobody would have been served.
        """
        if not self._unsent:
            return
        self._resize_fifo()
        for _ in range(min(len(self._unsent), _SENT_AT_ONCE) if self._fifo else 0):
            task = self._unsent.popleft()
            if task.lane is None:
                task.fifo = self._finish(task, now)
            else:
                task.lane.set_fifo(task, self._finish(task, now))

    def _forget_unsent(self) -> None:
        """Tasks come and go while there is no instance."""
        if len(self._unsent) > 2 * self._count + _SLACK:
            self._unsent = deque(task for task in self._unsent if task.queued)

    def add(self, task: Waiting, now: float, not_before: float = 0.0) -> None:
        """Let a task wait, from `not_before` on."""
        self._count += not task.queued
        task.queued = True
        task.group = self._group(task.group.requirements)  # That it had may be forgotten while it was offered.
        task.group.known += 1
        self._idle_groups.pop(task.group, None)
        tenant = self._tenants[task.key.tenant]
        tenant.waits(task.start, task.run)
        self._tenants.count(tenant)
        if not_before > now:
            heapq.heappush(self._put_off, (not_before, task))
        else:
            self._stand(task)

    def _stand(self, task: Waiting) -> None:
        if self._tenants[task.key.tenant].policy.max_running:
            self._parked.add(task)
        else:
            self._dispatcher.add(task)

    def discard(self, task: Waiting) -> None:
        """The task does not wait any more, if it did."""
        if not task.queued:
            return
        task.queued = False
        self._count -= 1
        self._parked.discard(task)
        self._dispatcher.remove(task)
        tenant = self._tenants[task.key.tenant]
        tenant.waits_no_more(task.start, task.run)
        self._tenants.count(tenant)
        task.group.known -= 1
        if not task.group.known:
            self._idle_groups[task.group] = None
            self._forget_groups()

    def wake(self, now: float) -> None:
        """Let tasks whose time has come take their place."""
        while self._put_off and self._put_off[0][0] <= now:
            _, task = heapq.heappop(self._put_off)
            if task.queued and task.lane is None:
                self._stand(task)

    def is_put_off(self, key: Key, now: float) -> bool:
        """Whether a task has yet to take its place."""
        return any(task.key == key and moment > now for moment, task in self._put_off)

    def next(self, now: float, *, in_turn: bool) -> Iterator[tuple[Waiting, Seat]]:
        """Tasks and the instances that should have them; each does not wait any more by then."""
        self._send(now)
        for task in self._parked.let_back(self._tenants):
            self._dispatcher.add(task)
        parked = 0
        for task, seat in chain(self._kept_for(), self._dispatcher.next(now, in_turn=in_turn)):
            if self.may_begin(task):
                self.discard(task)
                yield task, seat
                continue
            self._parked.add(task)
            parked += 1
            if parked >= _PARKED_AT_ONCE:
                return

    def _kept_for(self) -> Iterator[tuple[Waiting, Seat]]:
        for task, seat in self._memory.ready():
            self._dispatcher.remove(task)
            yield task, seat

    def may_begin(self, task: Waiting) -> bool:
        """Whether a task's tenant may have one more attempt under way."""
        return not self._tenants[task.key.tenant].at_cap

    def at_cap(self, task: Waiting) -> bool:
        """Whether a task waits because its tenant has as many attempts under way as it may."""
        return task in self._parked and self._tenants[task.key.tenant].at_cap

    def seconds_at(self, task: Waiting, seat: Seat) -> float:
        """How long a task will take at an instance, loads included."""
        lacking = (model for model in task.needs if model not in seat.resident)
        return self._estimates.loads(lacking) + task.run * self._estimates.speed(seat.gpu_class)

    # What tenants have under way

    def begins(self, key: Key) -> None:
        """An attempt of a tenant is under way, or offered."""
        tenant = self._tenants.get(key.tenant)
        tenant.running += 1
        self._tenants.count(tenant)

    def ends(self, key: Key) -> None:
        """An attempt is under way no more."""
        tenant = self._tenants[key.tenant]
        tenant.running -= 1
        self._tenants.count(tenant)
        self._parked.look_again(tenant.name)

    def bore(self, task: Waiting, now: float) -> None:
        """A task has ended."""
        self._tenants[task.key.tenant].bore(max((now - task.start) / task.run, 1.0))

    def sees(self, resident: tuple[str, ...]) -> None:
        """An instance holds so many models: that is what one can hold."""
        kept = sum(1 for model in resident if not self._estimates.is_patched_in(model))
        self._holds = max(self._holds, kept)

    def groups(self) -> Iterable[Group]:
        """What waits, by what it needs; groups known for longest come first."""
        return self._groups.values()

    def tenant(self, name: str) -> Tenant:
        """What is known of a tenant."""
        return self._tenants.get(name)

    def _group(self, requirements: Requirements) -> Group:
        group = self._groups.get(requirements)
        if group is None:
            for model in requirements.models:
                self._estimates.meet(model.name, model.node_class)
            extras = tuple(sorted({model.name for model in requirements.models if is_patched_in(model)}))
            models = tuple(sorted({model.name for model in requirements.models} - set(extras)))
            family = self._families.setdefault(models, Family(models))
            family.groups += 1
            group = self._groups[requirements] = Group(requirements, family, extras)
        return group

    def _forget_groups(self) -> None:
        """Callers can make up groups: of those without tasks only some are kept, since most come back."""
        while len(self._idle_groups) > _IDLE_GROUPS:
            group = next(iter(self._idle_groups))
            del self._idle_groups[group], self._groups[group.requirements]
            self._dispatcher.forget_group(group)
            group.family.groups -= 1
            if not group.family.groups:
                del self._families[group.family.models]
                self._dispatcher.forget(group.family)


def _shunned(record: TaskRecord) -> frozenset[Place]:
    """Where a task has failed in a way that might not happen elsewhere."""
    if not record.failures:
        return _NOWHERE  # Python has many empty sets, each of 216 bytes.
    return frozenset(Place(f.node, f.instance) for f in record.failures if POLICIES[f.failure].elsewhere)
