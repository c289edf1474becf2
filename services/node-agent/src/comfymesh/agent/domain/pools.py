"""Which instances of pools are started and stopped. Pure: all that it goes by is handed in, each time anew.

A pool does not flap, whatever waits and goes: an instance that was started is stopped by demand only once it has been
idle for the pool's idle time, so that it changes at most twice in each such time; and one that was stopped for want of
memory rests for a while before it is started again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

PRESSED_IDLE_SECONDS = 30.0
"""An instance is idle for so long before it is stopped for want of memory."""
REST_SECONDS = 120.0
"""It then rests for so long."""


class Phase(Enum):
    """What becomes of an instance."""

    STOPPED = auto()
    """Does not run, and may be started."""
    STARTING = auto()
    """On its way, or between two lives; it is left alone."""
    SERVING = auto()
    """Takes work."""
    BROKEN = auto()
    """Meant to run, and does not."""
    STOPPING = auto()
    """Meant to stop, and does not yet."""


_COMING = frozenset({Phase.STARTING, Phase.SERVING})


@dataclass(frozen=True, slots=True)
class Pool:
    """What is wanted of a pool.

    Attributes:
        name: Its name.
        min: So many of its instances run, whatever waits.
        max: No more of them run.
        idle: An instance beyond `min` is stopped once it has been idle for so long, in seconds.
        queue: How long tasks may wait for instances that run before another is started, in seconds.
        memory_bytes: What an instance takes of the host's memory; 0 where that is not known.
        known: Whether it is known what its instances offer. One is started to find out.
        shared: Whether its instances may run on a GPU beside those of other pools that are shared as well.
    """

    name: str
    min: int
    max: int
    idle: float = 600.0
    queue: float = 60.0
    memory_bytes: int = 0
    known: bool = True
    shared: bool = False

    @property
    def floor(self) -> int:
        """So many are meant to run even if nothing waits."""
        return max(self.min, 0 if self.known else 1)


@dataclass(frozen=True, slots=True)
class Member:
    """An instance of a pool.

    Attributes:
        name: Its name.
        pool: Its pool.
        phase: What becomes of it.
        busy: Whether it has an attempt, or is about to have one.
        since: Since when it has been idle; means nothing for one that is busy, or not serving nor broken.
        rests_until: Before that it is not started because something waits.
        gpu: Names the GPU that it is bound to; empty for none.
    """

    name: str
    pool: str
    phase: Phase
    busy: bool = False
    since: float = 0.0
    rests_until: float = float("-inf")
    gpu: str = ""


@dataclass(frozen=True, slots=True)
class Demand:
    """What waits for a pool, as the scheduler told it.

    Attributes:
        count: How many tasks.
        seconds: How long they are expected to run, one after the other.
        oldest: For how many seconds the first of them has waited.
        served: Whether instances that run, here or elsewhere, could take them all in time.
    """

    count: int = 0
    seconds: float = 0.0
    oldest: float = 0.0
    served: bool = True


@dataclass(frozen=True, slots=True)
class Memory:
    """The host's memory, in bytes.

    Attributes:
        available: What could be used without swapping; None where that is not known.
        reserve: What is to stay free of it.
    """

    available: int | None = None
    reserve: int = 0


@dataclass(frozen=True, slots=True)
class Start:
    """Start an instance."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop an instance that has nothing to do; it is not started again before it has rested for so many seconds."""

    name: str
    reason: str
    rest: float = 0.0


Decision = Start | Stop


@dataclass(slots=True)
class _Need:
    """How many of a pool's instances are wanted, and why."""

    pool: Pool
    members: Sequence[Member]
    demand: Demand | None
    wanted: int = field(init=False)
    reason: str = field(init=False)

    def __post_init__(self) -> None:
        pool, waits = self.pool, self.demand or Demand()
        busy = sum(member.busy for member in self.coming)
        wanted, self.reason = pool.floor, "so many are meant to run" if pool.min else "to learn what it offers"
        if needed := _needed(waits, busy, pool.queue):
            self.reason = (
                f"{waits.count} tasks wait, the first for {waits.oldest:.0f} s" if needed > wanted else self.reason
            )
            wanted = max(needed, wanted)
        self.wanted = min(wanted, pool.max)

    @property
    def coming(self) -> list[Member]:
        return [member for member in self.members if member.phase in _COMING]

    @property
    def lacking(self) -> int:
        """How many are to be started."""
        running = sum(member.phase is not Phase.STOPPED for member in self.members)
        return max(min(self.wanted - len(self.coming), self.pool.max - running), 0)

    def startable(self, gpus: _Gpus, now: float) -> Iterator[Member]:
        """Whom to start, one after the other, where the GPU is free for them: first where the fewest run.

        Who rests is started only to have as many as always.
        """
        always = max(self.pool.floor - len(self.coming), 0)
        stopped = [member for member in self.members if member.phase is Phase.STOPPED]
        for number in range(self.lacking):
            able = [m for m in stopped if not gpus.in_the_way(m) and (m.rests_until <= now or number < always)]
            if not able:
                return
            chosen = min(able, key=lambda member: (member.rests_until > now, gpus.running(member)))
            stopped.remove(chosen)
            yield chosen

    def waits_for(self, gpus: _Gpus) -> list[Member]:
        """Instances of other pools that keep all that are to be started from their GPUs."""
        stopped = [member for member in self.members if member.phase is Phase.STOPPED] if self.lacking else []
        in_the_way = [gpus.in_the_way(member) for member in stopped]
        return [other for others in in_the_way for other in others] if all(in_the_way) else []

    def idle(self, now: float, seconds: float) -> list[Member]:
        """Who could be stopped after so long: what does not serve first, then what has been idle for longest."""
        spare = {Phase.BROKEN: self._spare(*_COMING, Phase.BROKEN), Phase.SERVING: self._spare(Phase.SERVING)}
        found: list[Member] = []
        for phase, most in spare.items():
            idle = [m for m in self.members if m.phase is phase and not m.busy and now - m.since >= seconds]
            room = max(min(most, spare[Phase.BROKEN] - len(found)), 0)
            found += sorted(idle, key=lambda member: member.since)[:room]
        return found

    def _spare(self, *phases: Phase) -> int:
        return sum(member.phase in phases for member in self.members) - self.pool.floor


def decide(
    pools: Sequence[Pool],
    members: Iterable[Member],
    demand: Mapping[str, Demand] | None,
    memory: Memory,
    now: float,
) -> list[Decision]:
    """What to start and stop at `now`, in seconds of a monotonic clock.

    Args:
        pools: The pools.
        members: All of their instances.
        demand: What waits, by pool; None where it is not known, and then nothing is changed because of it.
        memory: What the host has left.
        now: The time.
    """
    everybody = list(members)
    needs = [
        _Need(pool, [m for m in everybody if m.pool == pool.name], None if demand is None else demand.get(pool.name))
        for pool in pools
    ]
    gpus = _Gpus(pools, everybody)
    starts = _starts(needs, everybody, memory, gpus, now)
    if demand is None:
        return starts
    stops = _stops_of_the_idle(needs, now) or _stop_for_memory(needs, everybody, memory, now)
    return [*starts, *(stops or _stop_for_gpu(needs, gpus, now))]


class _Gpus:
    """Who runs on which GPU, and who may beside them."""

    def __init__(self, pools: Sequence[Pool], members: Iterable[Member]) -> None:
        self._shared = {pool.name for pool in pools if pool.shared}
        self._running: dict[str, list[Member]] = {}
        for member in members:
            if member.phase is not Phase.STOPPED:
                self.occupy(member)

    def occupy(self, member: Member) -> None:
        """It runs, or is about to."""
        if member.gpu:
            self._running.setdefault(member.gpu, []).append(member)

    def running(self, member: Member) -> int:
        """How many run where this one would."""
        return len(self._running.get(member.gpu, ()))

    def in_the_way(self, member: Member) -> list[Member]:
        """Those of other pools that keep this one from running on its GPU."""
        others = [other for other in self._running.get(member.gpu, ()) if other.pool != member.pool]
        return [other for other in others if not {other.pool, member.pool} <= self._shared]


def lacking(pools: Sequence[Pool], members: Iterable[Member], memory: Memory) -> dict[str, int]:
    """How many bytes of memory the host lacks for one more instance of a pool, for each of which it lacks any."""
    free = _free(pools, members, memory)
    return {pool.name: int(pool.memory_bytes - free) for pool in pools if free < pool.memory_bytes}


def _free(pools: Sequence[Pool], members: Iterable[Member], memory: Memory) -> float:
    """What instances may take of the host's memory, without what those that start are still to take."""
    if memory.available is None:
        return math.inf
    takes = {pool.name: pool.memory_bytes for pool in pools}
    starting = sum(takes.get(member.pool, 0) for member in members if member.phase is Phase.STARTING)
    return memory.available - memory.reserve - starting


def _needed(waits: Demand, busy: int, queue: float) -> int:
    """How many instances what waits needs, those that are busy included; 0 where nothing waits."""
    if not waits.count:
        return 0
    if waits.served:
        # Others take their part, and nobody knows how large that is: one more at a time, for as long as it takes.
        return busy + 1 if waits.oldest >= queue else 0
    in_time = math.ceil(waits.seconds / queue) if queue else busy + waits.count
    late = busy + 1 if waits.oldest >= queue else 0
    return min(max(in_time, late, 1), busy + waits.count)


def _starts(
    needs: Sequence[_Need], members: Iterable[Member], memory: Memory, gpus: _Gpus, now: float
) -> list[Decision]:
    """What is always to run comes first, then what waits for longest; each as long as the host has memory for it."""
    free = _free([need.pool for need in needs], members, memory)
    decisions: list[Decision] = []
    for need in sorted(needs, key=_urgency):
        for member in need.startable(gpus, now):
            if free < need.pool.memory_bytes:
                break
            gpus.occupy(member)
            free -= need.pool.memory_bytes
            decisions.append(Start(member.name, need.reason))
    return decisions


def _urgency(need: _Need) -> tuple[bool, float]:
    return (len(need.coming) >= need.pool.floor, -(need.demand or Demand()).oldest)


def _stops_of_the_idle(needs: Sequence[_Need], now: float) -> list[Decision]:
    return [
        Stop(member.name, f"nothing waits for it, and it was idle for {now - member.since:.0f} s")
        for need in needs
        if need.demand is None or not need.demand.count
        for member in need.idle(now, need.pool.idle)
    ]


def _stop_for_memory(needs: Sequence[_Need], members: Iterable[Member], memory: Memory, now: float) -> list[Decision]:
    """One at a time: what is freed shows a moment later."""
    if memory.available is None or memory.available >= memory.reserve:
        return []
    if any(member.phase is Phase.STOPPING for member in members):
        return []
    idle = [m for need in needs for m in need.idle(now, min(need.pool.idle, PRESSED_IDLE_SECONDS))]
    idle.sort(key=lambda member: member.since)
    return [Stop(member.name, "the host is short of memory", REST_SECONDS) for member in idle[:1]]


def _stop_for_gpu(needs: Sequence[_Need], gpus: _Gpus, now: float) -> list[Decision]:
    """What is idle makes room on its GPU for a pool that could start nowhere else; what is busy does not."""
    idle = {m.name: m for need in needs for m in need.idle(now, min(need.pool.idle, PRESSED_IDLE_SECONDS))}
    for need in sorted(needs, key=_urgency):
        if chosen := next((other for other in need.waits_for(gpus) if other.name in idle), None):
            return [Stop(chosen.name, f"pool {need.pool.name} needs its GPU", REST_SECONDS)]
    return []
