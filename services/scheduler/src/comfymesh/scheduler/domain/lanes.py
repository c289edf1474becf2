"""Tasks that wait, so arranged that finding the next one does not depend on how many there are.

A *lane* holds tasks that need the same of an instance, have the same priority and take about as long: whichever of them
has waited longest goes first. A *group* has the lanes of all tasks with the same requirements, a *family* the groups
that need the same models, whatever is patched into those and wherever they want to run.
"""

from __future__ import annotations

import heapq
import math
from itertools import islice

from comfymesh.scheduler.domain.fleet import Place
from comfymesh.scheduler.domain.kinds import Fit
from comfymesh.tasks.record import Key, Requirements

_HALF_OCTAVES = 2
_MOST_LANES = 32
"""Lanes of a family that a decision looks at."""
_MOST_TENANTS = 8
"""Tenants from which those are chosen where there are more."""
_NEWEST = 16
"""Tasks of a family that are remembered because they came last."""


class Waiting:
    """A task that waits: no more of it than deciding takes, since there may be a million.

    Attributes:
        key: Which task.
        sequence: Where the log has its record.
        group: What it needs.
        priority: Its priority.
        created: When it was created, seconds since the epoch.
        clock: When its clock started, moved back by what its tenant had to bear before.
        start: When its clock started.
        start_by: When it must have begun, seconds since the epoch; infinite where it may wait for ever.
        run: How many seconds it is expected to run.
        fifo: When it would have been done had all come first, been first served.
        sparse: How much it counts for how little its tenant had waiting when it came, up to 1.
        queued: Whether it waits, and is not given to anybody.
        lane: Where it stands; None where it stands nowhere.
        shunned: Where it has failed in a way that might not happen elsewhere.
    """

    __slots__ = (
        "clock",
        "created",
        "fifo",
        "group",
        "key",
        "lane",
        "priority",
        "queued",
        "run",
        "sequence",
        "shunned",
        "sparse",
        "start",
        "start_by",
    )

    def __init__(self, key: Key, sequence: int, group: Group, priority: int, created: float) -> None:
        self.key = key
        self.sequence = sequence
        self.group = group
        self.priority = priority
        self.created = self.clock = self.start = created
        self.run = 1.0
        self.fifo = self.start_by = math.inf
        self.sparse = 1.0
        self.lane: Lane | None = None
        self.queued = False
        self.shunned: frozenset[Place] = frozenset()

    @property
    def kind(self) -> tuple[int, int]:
        """Which of its group's tasks it is queued with: those of its priority that take about as long."""
        return (self.priority, round(_HALF_OCTAVES * math.log2(self.run)))

    @property
    def stands(self) -> bool:
        """Whether it stands in the queue: it is neither put off nor parked."""
        return self.lane is not None and self.lane is self.group.lanes.get(self.kind)

    @property
    def needs(self) -> tuple[str, ...]:
        """Every model file that it needs."""
        return (*self.group.family.models, *self.group.extras)

    @property
    def age(self) -> tuple[float, Key]:
        """Less of one that was created before."""
        return (self.created, self.key)

    def __lt__(self, other: Waiting) -> bool:
        """Whether it comes first in their lane. A million entries of its heap are a million tuples saved."""
        if self.clock != other.clock:
            return self.clock < other.clock
        return self.age < other.age


class Lane:
    """Tasks of one group that take about as long, the one with the earliest clock first.

    Attributes:
        count: How many there are; of `clocks`, `created`, `runs` and `sparse` it keeps the sums.
        fifos: The sum of when they would be done first come, first served, of those that would be.
        endless: How many would not be: they came while no instance was up.
    """

    __slots__ = ("_heap", "clocks", "count", "created", "endless", "fifos", "group", "priority", "runs", "sparse")

    def __init__(self, group: Group, priority: int) -> None:
        self.group = group
        self.priority = priority
        self.count = self.endless = 0
        self.clocks = self.created = self.fifos = self.runs = self.sparse = 0.0
        self._heap: list[Waiting] = []

    def add(self, task: Waiting) -> None:
        """A task waits here."""
        task.lane = self
        self._sum(task, 1)
        heapq.heappush(self._heap, task)

    def remove(self, task: Waiting) -> None:
        """A task waits here no more. Its entry is dropped when it comes up, or when such entries are the most."""
        task.lane = None
        self._sum(task, -1)
        if len(self._heap) > 2 * self.count + 64:
            self._heap = [each for each in self._heap if each.lane is self]
            heapq.heapify(self._heap)

    def set_fifo(self, task: Waiting, fifo: float) -> None:
        """When one that waits here would be done first come, first served, has become known."""
        self._sum(task, -1)
        task.fifo = fifo
        self._sum(task, 1)

    def head(self) -> Waiting | None:
        """The first task."""
        heap = self._heap
        while heap and heap[0].lane is not self:
            heapq.heappop(heap)
        return heap[0] if heap else None

    def _sum(self, task: Waiting, sign: int) -> None:
        self.count += sign
        if not self.count:
            self.endless = 0
            self.clocks = self.created = self.fifos = self.runs = self.sparse = 0.0
            return
        self.clocks += sign * task.clock
        self.created += sign * task.created
        if task.fifo < math.inf:
            self.fifos += sign * task.fifo
        else:  # What is infinite can't be taken out of a sum again.
            self.endless += sign
        self.runs += sign * task.run
        self.sparse += sign * task.sparse


class Group:
    """Tasks with the same requirements.

    Attributes:
        requirements: What they need.
        family: Those that need the same models.
        extras: What is patched into those.
        known: Tasks that are not given to anybody, though they may not stand here now.
        fit: Where they can run, as it was found last.
    """

    __slots__ = ("extras", "family", "fit", "known", "lanes", "requirements")

    def __init__(self, requirements: Requirements, family: Family, extras: tuple[str, ...]) -> None:
        self.requirements = requirements
        self.family = family
        self.extras = extras
        self.known = 0
        self.fit: Fit | None = None
        self.lanes: dict[tuple[int, int], Lane] = {}

    def add(self, task: Waiting) -> None:
        """A task waits."""
        lane = self.lanes.get(task.kind)
        if lane is None:
            lane = self.lanes[task.kind] = Lane(self, task.priority)
        lane.add(task)
        self.family.add(task, lane)

    def remove(self, task: Waiting) -> None:
        """A task waits no more."""
        lane = task.lane
        if lane is None:
            return
        lane.remove(task)
        self.family.remove(task, lane)
        if not lane.count:
            del self.lanes[task.kind]


class Family:
    """Groups whose tasks need the same models.

    Attributes:
        models: What an instance has to hold; LoRAs are not among them.
        groups: How many groups there are of it.
        count: Tasks that wait.
        runs: How many seconds those are expected to run.
        lanes: Where they wait.
        worth: The worth of a second of an instance that would load the models, as of the last review.
    """

    __slots__ = ("_newest", "_of_tenants", "count", "groups", "lanes", "models", "runs", "worth")

    def __init__(self, models: tuple[str, ...]) -> None:
        self.models = models
        self.groups = 0
        self.count = 0
        self.runs = 0.0
        self.lanes: dict[Lane, None] = {}
        self.worth = 0.0
        self._of_tenants = _OfTenants()
        self._newest: list[Waiting] = []

    def add(self, task: Waiting, lane: Lane) -> None:
        """A task waits in one of its lanes."""
        self.count += 1
        self.runs += task.run
        self.lanes[lane] = None
        self._of_tenants.add(task.key.tenant, lane)
        self._newest.append(task)
        del self._newest[:-_NEWEST]

    def remove(self, task: Waiting, lane: Lane) -> None:
        """A task waits no more in one of its lanes."""
        self.count -= 1
        self.runs = self.runs - task.run if self.count else 0.0
        if not lane.count:
            del self.lanes[lane]
        self._of_tenants.remove(task.key.tenant, lane)

    def newest(self) -> Waiting | None:
        """The task that came last, if it is one of the last few that came."""
        newest = self._newest
        while newest and newest[-1].lane not in self.lanes:
            newest.pop()
        return newest[-1] if newest else None

    def some_lanes(self) -> list[Lane]:
        """Its lanes. Of too many it is as many of each tenant as of another, all in turn: nobody crowds others out."""
        if len(self.lanes) <= _MOST_LANES:
            return list(self.lanes)
        return self._of_tenants.some(_MOST_TENANTS, _MOST_LANES)


class _OfTenants:
    """Lanes in which each tenant has tasks, and how many.

    Most tenants have one task of a family, and there may be as many of both as there are tasks: for one task the lane
    alone is kept.
    """

    __slots__ = ("_lanes",)

    def __init__(self) -> None:
        self._lanes: dict[str, Lane | dict[Lane, int]] = {}

    def add(self, tenant: str, lane: Lane) -> None:
        """A tenant has one task more in a lane."""
        lanes = self._lanes.get(tenant)
        if lanes is None:
            self._lanes[tenant] = lane
            return
        if isinstance(lanes, Lane):
            lanes = self._lanes[tenant] = {lanes: 1}
        lanes[lane] = lanes.get(lane, 0) + 1

    def remove(self, tenant: str, lane: Lane) -> None:
        """It has one less."""
        lanes = self._lanes[tenant]
        if isinstance(lanes, dict):
            lanes[lane] -= 1
            if not lanes[lane]:
                del lanes[lane]
            if lanes:
                return
        del self._lanes[tenant]

    def some(self, most_tenants: int, most_lanes: int) -> list[Lane]:
        """Lanes of so many tenants, of each as many as of another; those next that had no turn for longest."""
        tenants = list(islice(self._lanes, most_tenants))
        chosen: dict[Lane, None] = {}
        for tenant in tenants:
            lanes = self._lanes[tenant] = self._lanes.pop(tenant)
            if isinstance(lanes, Lane):
                chosen[lanes] = None
                continue
            for lane in list(islice(lanes, most_lanes // len(tenants))):
                lanes[lane] = lanes.pop(lane)
                chosen[lane] = None
        return list(chosen)
