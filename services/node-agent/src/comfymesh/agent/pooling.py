"""Starts and stops the instances of pools, as `domain.pools` decides."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from google.protobuf.message import DecodeError

from comfymesh.agent.attempts import Attempts
from comfymesh.agent.condition import Condition, InstanceState
from comfymesh.agent.crew import Crew
from comfymesh.agent.domain import pools
from comfymesh.agent.domain.pool_values import Demand, Member, Memory, Phase, Pool
from comfymesh.agent.domain.pools import Decision, Start, Stop
from comfymesh.agent.runtimes.pool_specs import PoolSpec
from comfymesh.bus.port import Message
from comfymesh.wire.v1 import pool_demand_pb2

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_CHECK_SECONDS = 60.0
_DEMAND_TTL_SECONDS = 15.0
"""Demand that was told longer ago is not known any more."""
_GIB = 1024**3
_STOPPED = "it is started when tasks need it"


class Pooling:
    """Keeps as many instances of each pool as are needed.

    Args:
        crew: The instances.
        attempts: Says which of them have something to do.
        memory: What the host has left now.
        last_offer: What a pool's instances offered when one of them ran last.
        outdated: Whether they would offer something else by now.
    """

    def __init__(
        self,
        crew: Crew,
        attempts: Attempts,
        memory: Callable[[], Memory],
        last_offer: Callable[[PoolSpec], Awaitable[Condition | None]],
        outdated: Callable[[PoolSpec], Awaitable[bool]],
    ) -> None:
        self._outdated = outdated
        self._stale: set[str] = set()
        self._checked = float("-inf")
        self._specs: Sequence[PoolSpec] = ()
        self._wanted: Sequence[PoolSpec] = ()
        self._crew = crew
        self._attempts = attempts
        self._memory = memory
        self._last_offer = last_offer
        self._demand: dict[str, Demand] = {}
        self._taken_before = attempts.offers_taken()
        self._told = float("-inf")
        self._wake = asyncio.Event()
        self._since: dict[str, float] = {}
        self._rests: dict[str, float] = {}
        self._limits: Mapping[str, str] = {}

    def pools(self) -> list[tuple[PoolSpec, str]]:
        """Each pool, and why no more of its instances run, as was seen last."""
        return [(spec, self._limits.get(spec.name, "")) for spec in self._specs]

    def take_demand(self, message: Message) -> None:
        """The scheduler tells what waits."""
        try:
            told = pool_demand_pb2.PoolDemand.FromString(message.data)
        except DecodeError as error:
            logger.warning("what waits for the pools can't be read: %s", error)
            return
        self._demand = {pool.name: _demand(pool) for pool in told.pools}
        self._taken_before = self._attempts.offers_taken()
        self._told = time.monotonic()
        self._wake.set()

    def follow(self, specs: Sequence[PoolSpec]) -> None:
        """These are the pools from now on; their instances are there, or will be."""
        self._wanted = specs
        self._wake.set()

    async def run(self) -> None:
        """Look now and then, and whenever something is told, for ever."""
        while True:
            self._wake.clear()
            try:
                await self._go_on()
            except Exception:  # whatever ails a pool must not take down what the node runs
                logger.exception("the pools can't be looked after now", extra={"action": "pools_defect"})
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _go_on(self) -> None:
        if self._specs is not self._wanted:
            await self._take_over(self._wanted)
        await self._check_offers(time.monotonic())
        self.look(time.monotonic())

    async def _take_over(self, specs: Sequence[PoolSpec]) -> None:
        """Find out how the instances of other pools are, before anything is decided about them."""
        known = {name for spec in self._specs for name in self._names(spec)}
        await self._adopt([name for spec in specs for name in self._names(spec) if name not in known])
        for spec in specs:
            if self._offered(spec) is None and (offered := await self._last_offer(spec)) is not None:
                self._tell_offer(spec, offered)
        self._specs = specs

    def _tell_offer(self, spec: PoolSpec, offered: Condition) -> None:
        for name in self._names(spec):
            if self._crew.phase(name) is Phase.STOPPED:
                self._crew.instances[name].rest(_STOPPED, offered)

    async def _check_offers(self, now: float) -> None:
        """A model file that comes while none of a pool runs is in no catalog: one is started to learn of it."""
        if now - self._checked >= _CHECK_SECONDS:
            self._checked = now
            self._stale = {spec.name for spec in self._specs if await self._outdated(spec)}

    async def _adopt(self, names: Sequence[str]) -> None:
        """Keep alive what an earlier agent has left running."""
        left = await asyncio.gather(*(self._crew.instances[name].left_running() for name in names))
        for name, running in zip(names, left, strict=True):
            if running and name in self._crew.instances:  # newer settings may have removed it meanwhile
                self._crew.start(name)

    def look(self, now: float) -> None:
        """Do what is due at `now`."""
        self._share_offers()
        members = [self._member(spec, name, now) for spec in self._specs for name in self._names(spec)]
        wanted, memory = [self._pool(spec) for spec in self._specs], self._memory()
        demand = self._waits() if now - self._told < _DEMAND_TTL_SECONDS else None
        for decision in pools.decide(wanted, members, demand, memory, now):
            self._do(decision, now)
        self._tell_lacks(pools.lacking(wanted, members, memory))
        self._limits = pools.limits(wanted, members, demand, memory, now)

    def _waits(self) -> dict[str, Demand]:
        """What was told to wait, without what has been offered since: that makes instances busy by now."""
        since = self._attempts.offers_taken() - self._taken_before
        taken = {spec.name: sum(since[member.name] for member in spec.members) for spec in self._specs}
        return {name: demand.without(taken.get(name, 0)) for name, demand in self._demand.items()}

    def _do(self, decision: Decision, now: float) -> None:
        match decision:
            case Start(name, reason):
                logger.info("starting %s: %s", name, reason, extra={"action": "pool_start", "instance": name})
                self._crew.start(name)
            case Stop(name, reason, rest):
                self._rests[name] = now + rest
                self._crew.stop(name, reason)

    def _member(self, spec: PoolSpec, name: str, now: float) -> Member:
        phase, busy = self._crew.phase(name), self._attempts.busy(name)
        if busy or phase not in {Phase.SERVING, Phase.BROKEN}:
            self._since[name] = now
        since = max(self._since.setdefault(name, now), self._attempts.used(name))
        rests, gpu = self._rests.get(name, float("-inf")), self._crew.instances[name].care.gpu_uuid or ""
        return Member(name, spec.name, phase, busy, since, rests, gpu)

    def _pool(self, spec: PoolSpec) -> Pool:
        return Pool(
            name=spec.name,
            min=spec.least,
            max=spec.size,
            idle=spec.idle_seconds,
            queue=spec.queue_seconds,
            memory_bytes=spec.host_memory_bytes,
            known=self._offered(spec) is not None and spec.name not in self._stale,
            shared=spec.shared,
        )

    def _offered(self, spec: PoolSpec) -> Condition | None:
        """What instances of a pool offer, as the one tells that serves, or any other."""
        conditions = [self._crew.instances[name].condition for name in self._names(spec)]
        known = [condition for condition in conditions if condition.catalog is not None]
        return max(known, key=lambda condition: condition.state is InstanceState.READY, default=None)

    def _share_offers(self) -> None:
        """One that is stopped would offer what others of its pool do."""
        for spec in self._specs:
            offered = self._offered(spec)
            for name in self._names(spec):
                instance = self._crew.instances[name]
                condition = instance.condition
                if condition.state is InstanceState.STOPPED and condition.startable and offered is not None:
                    instance.rest(condition.reason, offered)

    def _tell_lacks(self, lacks: Mapping[str, int]) -> None:
        """One that could not be started now says so: others are to be asked in its place."""
        for spec in self._specs:
            lack = lacks.get(spec.name)
            for name in self._names(spec):
                instance = self._crew.instances[name]
                if self._crew.phase(name) is not Phase.STOPPED:
                    continue
                if lack is not None:
                    instance.hold_back(f"the host lacks {lack / _GIB:.1f} GiB of memory to start it")
                elif not instance.condition.startable or instance.condition.state is not InstanceState.STOPPED:
                    instance.rest(_STOPPED)

    def _names(self, spec: PoolSpec) -> list[str]:
        """Its instances that are there: with new settings, some come later than others."""
        return [member.name for member in spec.members if member.name in self._crew.instances]


def _demand(told: pool_demand_pb2.PoolDemand.Pool) -> Demand:
    return Demand(told.waiting_count, _seconds(told.waiting_seconds), _seconds(told.oldest_seconds), told.served)


def _seconds(told: float) -> float:
    return max(told, 0.0) if math.isfinite(told) else 0.0
