"""Which instances of pools are started and stopped. Pure: all that it goes by is handed in, each time anew.

A pool does not flap, whatever waits and goes: an instance that was started is stopped by demand only once it has been
idle for the pool's idle time, so that it changes at most twice in each such time; and one that was stopped for want of
memory rests for a while before it is started again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from comfymesh.agent.domain.pool_gpus import Gpus
from comfymesh.agent.domain.pool_values import Demand, Member, Memory, Phase, Pool

PRESSED_IDLE_SECONDS = 30.0
"""An instance is idle for so long before it is stopped for want of memory."""
REST_SECONDS = 120.0
"""It then rests for so long."""
_GIB = 1024**3

_COMING = frozenset({Phase.STARTING, Phase.SERVING})


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

    def startable(self, gpus: Gpus, now: float) -> Iterator[Member]:
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

    def waits_for(self, gpus: Gpus) -> list[Member]:
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
    gpus = Gpus(pools, everybody)
    starts = _starts(needs, everybody, memory, gpus, now)
    if demand is None:
        return starts
    stops = _stops_of_the_idle(needs, now) or _stop_for_memory(needs, everybody, memory, now)
    return [*starts, *(stops or _stop_for_gpu(needs, gpus, now))]


def lacking(pools: Sequence[Pool], members: Iterable[Member], memory: Memory) -> dict[str, int]:
    """How many bytes of memory the host lacks for one more instance of a pool, for each of which it lacks any."""
    free = _free(pools, members, memory)
    return {pool.name: int(pool.memory_bytes - free) for pool in pools if free < pool.memory_bytes}


def limits(
    pools: Sequence[Pool],
    members: Iterable[Member],
    demand: Mapping[str, Demand] | None,
    memory: Memory,
    now: float,
) -> dict[str, str]:
    """Why no more instances of each pool run, as a sentence without its end. Arguments as for `decide`."""
    everybody = list(members)
    lacks, gpus = lacking(pools, everybody, memory), Gpus(pools, everybody)
    found: dict[str, str] = {}
    for pool in pools:
        waits = None if demand is None else demand.get(pool.name)
        need = _Need(pool, [member for member in everybody if member.pool == pool.name], waits)
        found[pool.name] = _limit(need, lacks, gpus, unknown=demand is None, now=now)
    return found


def _limit(need: _Need, lacks: Mapping[str, int], gpus: Gpus, *, unknown: bool, now: float) -> str:
    running = sum(member.phase is not Phase.STOPPED for member in need.members)
    if running >= need.pool.max:
        return f"as many run as may: {need.pool.max}"
    if need.lacking and (lack := lacks.get(need.pool.name)):
        return f"the host lacks {lack / _GIB:.1f} GiB of memory to start one more"
    if others := need.waits_for(gpus):
        return f"its GPUs are in use by {', '.join(sorted({other.pool for other in others}))}"
    if need.lacking and not list(need.startable(gpus, now)):
        return "its instances rest, since they were stopped for want of memory"
    if need.lacking:
        return "one more is about to start"
    return "what waits for it is not known now" if unknown else "nothing waits that takes more of them"


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
    needs: Sequence[_Need], members: Iterable[Member], memory: Memory, gpus: Gpus, now: float
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


def _stop_for_gpu(needs: Sequence[_Need], gpus: Gpus, now: float) -> list[Decision]:
    """What is idle makes room on its GPU for a pool that could start nowhere else; what is busy does not."""
    idle = {m.name: m for need in needs for m in need.idle(now, min(need.pool.idle, PRESSED_IDLE_SECONDS))}
    for need in sorted(needs, key=_urgency):
        if chosen := next((other for other in need.waits_for(gpus) if other.name in idle), None):
            return [Stop(chosen.name, f"pool {need.pool.name} needs its GPU", REST_SECONDS)]
    return []
