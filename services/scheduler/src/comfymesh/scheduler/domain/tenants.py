"""What tenants have had to bear: their slowdown, and what their fair share would have given them.

A task's *slowdown* is the time from its clock's start to its end, as a multiple of the time that it runs. Its clock
starts when it arrives, but where its tenant sends more than its share of the fleet, only when that share would have
come to it: nobody gains by sending more at once, and nobody is held to account for what others send.

A tenant is *sparse* as long as little of it waits: the few tasks of those who send few hardly keep others waiting, so
they go first, and those of a crowd count less the more of it stands before them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from comfymesh.tasks.policy import PolicySettings, TenantPolicy

MEMORY = 200
"""Ended tasks after which what is remembered of a tenant is halved."""
_MOST_REMEMBERED = 50_000
SPARSE = 0.25
"""The exponent by which a task counts less for what its tenant has waiting: at 1/4, a sixth less for each doubling."""
_SPARSENESS = tuple(2 ** (-SPARSE * doublings) for doublings in range(21))
"""By full doublings: a million tasks share these few numbers."""


@dataclass(slots=True)
class Tenant:
    """What is known of one tenant.

    Attributes:
        policy: What an operator has set for it.
        waiting: Tasks that wait.
        running: Attempts that are under way or offered.
        clock: When the clock of its next task starts at the earliest, seconds since the epoch.
        latest: The latest clock that any of its tasks was given.
        counted: Whether it is among those that share the fleet.
    """

    name: str
    policy: TenantPolicy
    waiting: int = 0
    running: int = 0
    clock: float = 0.0
    latest: float = -math.inf
    counted: bool = False
    _rate: float = 0.0
    _late: float = 0.0
    _seconds: float = 0.0
    _ended: float = 0.0
    _count: float = 0.0

    @property
    def active(self) -> bool:
        """Whether it has tasks that have not ended."""
        return self.waiting > 0 or self.running > 0

    @property
    def at_cap(self) -> bool:
        """Whether it may have no more attempts under way."""
        return self.room <= 0

    @property
    def room(self) -> float:
        """How many attempts more it may have under way."""
        return self.policy.max_running - self.running if self.policy.max_running else math.inf

    def slowdown(self, now: float) -> float:
        """The mean over its tasks: those that ended lately, and those that wait, as if they ran now."""
        count = self._count + self.waiting
        if not count:
            return 1.0
        return max((self._ended + self.waiting + now * self._rate - self._late) / count, 1.0)

    def sparseness(self, run: float) -> float:
        """How much its next task counts, one of `run` seconds: 1 while nothing waits, less the more that does.

        What waits is counted in such tasks: so many times as long as it runs it would wait for its own tenant's alone,
        one after the other.
        """
        before = max(self._seconds, 0.0) / (run * self.policy.weight)
        return _SPARSENESS[min(int(math.log2(1 + before)), len(_SPARSENESS) - 1)]

    def waits(self, start: float, run: float) -> None:
        """A task waits whose clock started at `start` and that takes `run` seconds."""
        self.waiting += 1
        self._seconds += run
        self._rate += 1 / run
        self._late += start / run

    def waits_no_more(self, start: float, run: float) -> None:
        """The opposite of `waits`."""
        self.waiting -= 1
        self._seconds -= run
        self._rate -= 1 / run
        self._late -= start / run
        if not self.waiting:
            self._rate = self._late = self._seconds = 0.0

    def bore(self, slowdown: float) -> None:
        """A task has ended that was slowed down so much."""
        self._ended += slowdown
        self._count += 1
        if self._count > MEMORY:
            self._ended /= 2
            self._count /= 2


class Tenants:
    """Every tenant that has tasks, and those that had some lately."""

    def __init__(self) -> None:
        self._known: dict[str, Tenant] = {}
        self._settings = PolicySettings()
        self._weight = 0.0

    def __getitem__(self, name: str) -> Tenant:
        return self._known[name]

    def share(self, tenant: Tenant, gpus: int) -> float:
        """How many GPUs are a tenant's before what it sends counts as more than its share.

        Always in proportion to its weight, be that more GPUs than there are: those who send more than the fleet can do
        are served as their shares are to each other.
        """
        weight = tenant.policy.weight
        others = self._weight - weight * tenant.counted
        return gpus * weight * max(1 / (others + weight), self._settings.burst)

    def count(self, tenant: Tenant) -> None:
        """Call this when a tenant's tasks have changed: only tenants that have some share the fleet."""
        if tenant.active != tenant.counted:
            tenant.counted = tenant.active
            self._weight += tenant.policy.weight if tenant.active else -tenant.policy.weight

    def set(self, settings: PolicySettings) -> None:
        """Other settings hold."""
        self._settings = settings
        for tenant in self._known.values():
            tenant.policy = settings.tenant(tenant.name)
        self._weight = sum(tenant.policy.weight for tenant in self._known.values() if tenant.counted)

    def get(self, name: str) -> Tenant:
        """A tenant; one that was not known has borne nothing."""
        tenant = self._known.get(name)
        if tenant is None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._forget()
            tenant = self._known[name] = Tenant(name, self._settings.tenant(name))
        return tenant

    def _forget(self) -> None:
        idle = (name for name, tenant in self._known.items() if not tenant.active)
        if (oldest := next(idle, None)) is not None:
            del self._known[oldest]
