"""Pools under any demand, any host and any fate of their instances."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from comfymesh.agent.domain.pool_values import Demand, Member, Memory, Phase, Pool
from comfymesh.agent.domain.pools import PRESSED_IDLE_SECONDS, REST_SECONDS, Start, Stop, decide, lacking

GIB = 2**30
RUNNING = frozenset(Phase) - {Phase.STOPPED}

seconds = st.floats(0, 1000)
demands = st.builds(Demand, count=st.integers(0, 50), seconds=seconds, oldest=seconds, served=st.booleans())


@st.composite
def pools(draw: st.DrawFn, name: str = "p") -> Pool:
    most = draw(st.integers(1, 5))
    return Pool(
        name,
        min=draw(st.integers(0, most)),
        max=most,
        idle=draw(st.sampled_from([1.0, 20.0, 300.0])),
        queue=draw(st.sampled_from([0.0, 10.0, 60.0])),
        memory_bytes=draw(st.sampled_from([0, GIB, 8 * GIB])),
        known=draw(st.booleans()),
        shared=draw(st.booleans()),
    )


@dataclass
class World:
    """A host with pools: what was started comes up or breaks, tasks come and go, memory is taken by whomever."""

    pools: list[Pool]
    members: dict[str, Member]
    now: float = 0.0
    draining: frozenset[str] = frozenset()

    @classmethod
    def of(cls, made: list[Pool], gpus: int = 0) -> World:
        """Members of each pool are bound to the same GPUs in turn; with 0, to none."""
        members = [
            Member(f"{pool.name}-{number}", pool.name, Phase.STOPPED, gpu=f"GPU-{number % gpus}" if gpus else "")
            for pool in made
            for number in range(pool.max)
        ]
        return cls(made, {member.name: member for member in members})

    def of_pool(self, pool: Pool, *phases: Phase) -> list[Member]:
        return [m for m in self.members.values() if m.pool == pool.name and m.phase in (phases or RUNNING)]

    def set(self, name: str, **changes: object) -> None:
        self.members[name] = replace(self.members[name], **changes)  # type: ignore[arg-type]

    def happen(self, fate: str, name: str) -> None:
        """Something becomes of an instance, if it can."""
        member = self.members[name]
        match fate, member.phase:
            case "serves", Phase.STARTING | Phase.BROKEN:
                self.set(name, phase=Phase.SERVING, since=self.now)
            case "breaks", Phase.STARTING | Phase.SERVING:
                self.set(name, phase=Phase.BROKEN, busy=False, since=self.now)
            case "works", Phase.SERVING:
                self.set(name, busy=True)
            case "is done", Phase.SERVING if member.busy:
                self.set(name, busy=False, since=self.now)
            case "has stopped", Phase.STOPPING:
                self.set(name, phase=Phase.STOPPED)

    def carry_out(self, decision: Start | Stop) -> None:
        match decision:
            case Start(name):
                self.set(name, phase=Phase.STARTING)
            case Stop(name, _, rest):
                self.set(name, phase=Phase.STOPPING, rests_until=self.now + rest)


FATES = ("serves", "breaks", "works", "is done", "has stopped")
rounds = st.lists(
    st.tuples(
        st.floats(0.1, 100),
        st.lists(st.tuples(st.sampled_from(FATES), st.integers(0, 20)), max_size=6),
        st.none() | st.dictionaries(st.sampled_from(["p", "q"]), demands),
        st.none() | st.sampled_from([0, GIB // 2, 3 * GIB, 64 * GIB]),
    ),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(pools("p"), pools("q"), st.integers(0, 3), rounds)
def test_pools_keep_their_bounds_and_do_not_flap(p: Pool, q: Pool, gpus: int, happens: list) -> None:  # type: ignore[type-arg]
    world = World.of([p, q], gpus)
    changes: dict[str, list[float]] = {name: [] for name in world.members}
    names = list(world.members)
    for passes, fates, demand, available in happens:
        world.now += passes
        for fate, which in fates:
            world.happen(fate, names[which % len(names)])
        memory = Memory(available, GIB)
        before = dict(world.members)
        running = {pool.name: len(world.of_pool(pool)) for pool in world.pools}
        stopping = {pool.name: len(world.of_pool(pool, Phase.STOPPING)) for pool in world.pools}
        short = lacking(world.pools, world.members.values(), memory)
        decided = decide(world.pools, world.members.values(), demand, memory, world.now)
        for decision in decided:
            world.carry_out(decision)
            changes[decision.name].append(world.now)
        for pool in world.pools:
            # Never above max, and never below min by our doing.
            assert len(world.of_pool(pool)) <= max(pool.max, running[pool.name])
            kept = len(world.of_pool(pool)) - len(world.of_pool(pool, Phase.STOPPING))
            assert kept >= min(pool.floor, running[pool.name] - stopping[pool.name])
        for decision in decided:
            was = before[decision.name]
            if isinstance(decision, Stop):
                # Only what is idle is stopped, and nothing as long as nobody knows what waits.
                assert not was.busy
                assert was.phase in {Phase.SERVING, Phase.BROKEN}
                assert demand is not None
            else:
                # A host that is short of memory starts nothing.
                assert was.phase is Phase.STOPPED
                assert was.pool not in short
        if not (p.shared and q.shared):
            # A GPU is used by one of them at a time.
            assert not _gpus(world, p) & _gpus(world, q)
        started = sum(isinstance(d, Start) * _pool(world, d.name).memory_bytes for d in decided)
        assert available is None or not started or started <= available - GIB
    for name, moments in changes.items():
        window = min(_pool(world, name).idle, PRESSED_IDLE_SECONDS + REST_SECONDS)
        _assert_no_more_than_two_within(moments, window)


def _gpus(world: World, pool: Pool) -> set[str]:
    return {member.gpu for member in world.of_pool(pool) if member.gpu}


def _pool(world: World, name: str) -> Pool:
    return next(pool for pool in world.pools if pool.name == world.members[name].pool)


def _assert_no_more_than_two_within(moments: list[float], window: float) -> None:
    assert all(later - first >= window for first, later in zip(moments, moments[2:], strict=False)), moments


@given(pools(), st.lists(demands, max_size=20), st.none() | st.just(64 * GIB))
def test_with_memory_a_pool_comes_to_what_is_always_meant_to_run(
    pool: Pool, waits: list[Demand], available: int | None
) -> None:
    world = World.of([pool])
    for demand in [*waits, Demand()]:
        world.now += 1
        for decision in decide(world.pools, world.members.values(), {"p": demand}, Memory(available), world.now):
            world.carry_out(decision)
        for name in world.members:
            world.happen("serves", name)
    assert len(world.of_pool(pool)) >= pool.floor


@given(pools(), st.lists(demands, max_size=20))
def test_without_anything_that_waits_a_pool_comes_to_its_floor(pool: Pool, waits: list[Demand]) -> None:
    world = World.of([pool])
    for demand in [*waits, *[Demand()] * 12]:
        world.now += pool.idle + 1
        for decision in decide(world.pools, world.members.values(), {"p": demand}, Memory(), world.now):
            world.carry_out(decision)
        for name in world.members:
            world.happen("serves", name)
            world.happen("has stopped", name)
    assert len(world.of_pool(pool)) == pool.floor


@given(pools("p"), pools("q"), st.integers(1, 3), st.integers(0, 4))
def test_what_waits_for_a_gpu_that_an_idle_pool_holds_gets_one(p: Pool, q: Pool, gpus: int, waits: int) -> None:
    """The other one may have to keep its own floor there; beyond that it makes room."""
    p, q = replace(p, min=0, known=True, shared=False), replace(q, min=0, known=True)
    world = World.of([p, q], gpus)
    for number in range(p.max):
        world.set(f"p-{number}", phase=Phase.SERVING)
    for _ in range(40):
        world.now += 20
        told = {"p": Demand(), "q": Demand(waits, 1000.0 * waits, world.now, served=False)}
        for decision in decide(world.pools, world.members.values(), told, Memory(), world.now):
            world.carry_out(decision)
        for name in world.members:
            world.happen("serves", name)
            world.happen("has stopped", name)
    assert bool(world.of_pool(q)) == bool(waits)
