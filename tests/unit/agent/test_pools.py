"""What is started and stopped in which case. What always holds is in tests/properties/test_pools.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comfymesh.agent.domain.pool_values import Demand, Member, Memory, Phase, Pool
from comfymesh.agent.domain.pools import Start, Stop, decide, lacking, limits

GIB = 2**30
POOL = Pool("p", min=0, max=3, idle=600, queue=60)
NOTHING = {"p": Demand()}
NOW = 10_000.0


def members(*phases: Phase, busy: int = 0, since: float = 0.0, pool: str = "p") -> list[Member]:
    """Instances in these phases, the first of which are busy."""
    return [Member(f"{pool}-{n}", pool, phase, n < busy, since) for n, phase in enumerate(phases)]


STOPPED, STARTING, SERVING, BROKEN, STOPPING = Phase


def changes(
    present: list[Member], demand: dict[str, Demand] | None, pool: Pool = POOL, memory: Memory | None = None
) -> list[str]:
    """As `+p-0` and `-p-1`."""
    decided = decide([pool], present, demand, memory or Memory(), NOW)
    return [f"{'+' if isinstance(decision, Start) else '-'}{decision.name}" for decision in decided]


@pytest.mark.parametrize(
    ("present", "demand", "expected"),
    [
        # Nobody else could run it: at once, however little it is.
        ([STOPPED] * 3, Demand(1, 5, 0, served=False), ["+p-0"]),
        # Others could: only once it has waited.
        ([STOPPED] * 3, Demand(1, 5, 59, served=True), []),
        ([STOPPED] * 3, Demand(1, 5, 60, served=True), ["+p-0"]),
        # As many as do it in time, but no more than there are tasks.
        ([STOPPED] * 3, Demand(40, 100, 0, served=False), ["+p-0", "+p-1"]),
        ([STOPPED] * 3, Demand(1, 1000, 0, served=False), ["+p-0"]),
        ([STOPPED] * 3, Demand(99, 9999, 0, served=False), ["+p-0", "+p-1", "+p-2"]),
        # One that comes is not started again, nor another in its place.
        ([STARTING, STOPPED, STOPPED], Demand(1, 5, 500, served=False), []),
        ([BROKEN, STOPPED, STOPPED], Demand(1, 5, 0, served=False), ["+p-1"]),
        ([BROKEN] * 3, Demand(1, 5, 0, served=False), []),
        ([BROKEN, BROKEN, BROKEN, STOPPED], Demand(1, 5, 0, served=False), []),
        ([STOPPING, STOPPING, STOPPING], Demand(1, 5, 0, served=False), []),
    ],
)
def test_what_waits_starts_what_it_needs(present: list[Phase], demand: Demand, expected: list[str]) -> None:
    assert changes(members(*present), {"p": demand}) == expected


@pytest.mark.parametrize(
    ("present", "demand", "memory", "said"),
    [
        ([SERVING] * 3, {"p": Demand(9, 900, 0, served=False)}, Memory(), "as many run as may: 3"),
        ([SERVING, STOPPED], {}, Memory(0), "nothing waits that takes more of them"),
        ([SERVING, STOPPED], None, Memory(), "what waits for it is not known now"),
        (
            [STOPPED],
            {"p": Demand(1, 5, 0, served=False)},
            Memory(GIB),
            "the host lacks 1.0 GiB of memory to start one more",
        ),
        ([STOPPED], {"p": Demand(1, 5, 0, served=False)}, Memory(), "one more is about to start"),
    ],
)
def test_why_no_more_of_a_pool_run(
    present: list[Phase], demand: dict[str, Demand] | None, memory: Memory, said: str
) -> None:
    pool = replace(POOL, memory_bytes=2 * GIB)
    assert limits([pool], members(*present), demand, memory, NOW) == {"p": said}


def test_and_that_its_instances_rest_or_its_gpu_is_in_use() -> None:
    wanted = {"p": Demand(1, 5, 0, served=False)}
    (one,) = members(STOPPED)
    rests = replace(one, rests_until=NOW + 1)
    said = "its instances rest, since they were stopped for want of memory"
    assert limits([POOL], [rests], wanted, Memory(), NOW)["p"] == said
    bound, other = replace(one, gpu="g"), Member("q-0", "q", SERVING, gpu="g")
    both = [POOL, replace(POOL, name="q")]
    assert limits(both, [bound, other], wanted, Memory(), NOW)["p"] == "its GPUs are in use by q"


def test_what_waits_behind_a_long_task_starts_another_after_a_while() -> None:
    present = members(SERVING, STOPPED, STOPPED, busy=1)
    assert changes(present, {"p": Demand(1, 5, 59, served=True)}) == []
    assert changes(present, {"p": Demand(1, 5, 61, served=True)}) == ["+p-1"]


@pytest.mark.parametrize(
    ("present", "demand", "pool", "expected"),
    [
        (members(SERVING, SERVING, since=NOW - 600), NOTHING, POOL, ["-p-0", "-p-1"]),
        (members(SERVING, SERVING, since=NOW - 599), NOTHING, POOL, []),
        (members(SERVING, SERVING, busy=1), NOTHING, POOL, ["-p-1"]),
        (members(SERVING, SERVING), NOTHING, replace(POOL, min=1), ["-p-0"]),
        (members(SERVING, BROKEN), NOTHING, replace(POOL, min=1), ["-p-1"]),
        (members(SERVING, STARTING), NOTHING, replace(POOL, min=1), []),
        # It is not known what waits, or something does.
        (members(SERVING, SERVING), None, POOL, []),
        (members(SERVING, SERVING), {"p": Demand(1, 1, 1)}, POOL, []),
        # Another's demand is not this one's.
        (members(SERVING), {"q": Demand(1, 1, 1)}, POOL, ["-p-0"]),
    ],
)
def test_what_is_idle_for_long_is_stopped(
    present: list[Member], demand: dict[str, Demand] | None, pool: Pool, expected: list[str]
) -> None:
    assert changes(present, demand, pool) == expected


@pytest.mark.parametrize("demand", [None, NOTHING])
@pytest.mark.parametrize(("pool", "count"), [(replace(POOL, min=2), 2), (replace(POOL, known=False), 1), (POOL, 0)])
def test_so_many_run_whatever_waits(demand: dict[str, Demand] | None, pool: Pool, count: int) -> None:
    assert len(changes(members(*[STOPPED] * 3), demand, pool)) == count


def test_memory_goes_to_what_always_runs_and_then_to_what_has_waited_for_longest() -> None:
    pools = [
        Pool("late", 0, 1, memory_bytes=2 * GIB),
        Pool("early", 0, 1, memory_bytes=2 * GIB),
        Pool("always", 1, 1, memory_bytes=2 * GIB),
    ]
    present = [member for pool in pools for member in members(STOPPED, pool=pool.name)]
    demand = {"late": Demand(1, 1, 5, served=False), "early": Demand(1, 1, 50, served=False)}
    for free, expected in (
        (1, []),
        (2, ["always-0"]),
        (4, ["always-0", "early-0"]),
        (6, ["always-0", "early-0", "late-0"]),
    ):
        decided = decide(pools, present, demand, Memory((free + 1) * GIB, reserve=GIB), NOW)
        assert [decision.name for decision in decided] == expected


def test_what_starts_has_yet_to_take_its_memory() -> None:
    pool = replace(POOL, memory_bytes=2 * GIB)
    present = members(STARTING, STOPPED, STOPPED)
    wanted = {"p": Demand(9, 900, 90, served=False)}
    assert changes(present, wanted, pool, Memory(4 * GIB, reserve=GIB)) == []
    assert lacking([pool], present, Memory(4 * GIB, reserve=GIB)) == {"p": GIB}
    assert changes(present, wanted, pool, Memory(5 * GIB, reserve=GIB)) == ["+p-1"]


def test_a_host_that_is_short_of_memory_stops_one_at_a_time_that_then_rests() -> None:
    short = Memory(GIB // 2, reserve=GIB)
    present = members(SERVING, SERVING, since=NOW - 31)
    (decision,) = decide([POOL], present, {"p": Demand(1, 1, 1)}, short, NOW)
    assert decision == Stop("p-0", "the host is short of memory", 120.0)
    assert changes(members(STOPPING, SERVING, since=NOW - 31), NOTHING, POOL, short) == []
    assert changes(members(SERVING, since=NOW - 29), NOTHING, POOL, short) == []
    assert changes(members(SERVING), NOTHING, replace(POOL, min=1), short) == []
    resting = [replace(member, rests_until=NOW + 1) for member in members(STOPPED)]
    assert changes(resting, {"p": Demand(1, 1, 90, served=False)}) == []
    assert changes(resting, NOTHING, replace(POOL, min=1)) == ["+p-0"]
