"""What a seed stands for: how large the mesh is, what is asked of it, and what goes wrong when."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields

from comfymesh.runtime.faultpoints import FaultPoint
from comfymesh.testkit.history import CLOCKS, LEAVES_NODES
from comfymesh.testkit.plans import Work, work
from comfymesh.testkit.simulation.bus import Roughness

TROUBLE_SECONDS = 20.0
"""All trouble is within the first so many seconds at most; then everything is mended."""

_POINTS = sorted(set(FaultPoint) - {FaultPoint.APPEND_SENT, FaultPoint.CHECKPOINT_WRITTEN})
"""Those that the simulation comes to: it has a bus of its own, and keeps nothing on a disk."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is broken at `at` for `lasts` seconds. A `trap` is laid at a fault point: who comes there dies."""

    at: float
    what: str
    target: str
    lasts: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is run. `seed` makes it, and everything else that is left to chance in its run.

    All trouble is within the first `trouble_seconds`.
    """

    seed: int
    apis: int
    schedulers: int
    agents: int
    work: tuple[Work, ...]
    rough: Roughness
    lost_answers: float
    troubles: tuple[Trouble, ...]
    trouble_seconds: float


@dataclass(frozen=True, slots=True)
class _Size:
    """What a scenario is drawn from: numbers of agents, least and most jobs, most troubles, seconds of trouble."""

    agents: tuple[int, ...]
    jobs: tuple[int, int]
    troubles: int
    seconds: tuple[float, ...]


_LARGE = _Size((1, 2, 3), (2, 8), 6, (5.0, 5.0, 10.0, TROUBLE_SECONDS))
_SMALL = _Size((1, 1, 2), (1, 3), 3, (3.0, 3.0, 6.0, 12.0))
"""Costs half as much. In the same CPU time it found eleven of twelve planted defects as often or more often, the
twelfth (`letter-requeued-anew`) less often."""

_SMALL_SHARE = 0.75
_CLOCKS_SHARE = 0.5
_ALONE_SHARE = 0.6
_BUSY_SECONDS = 3.0


def scenario(seed: int) -> Scenario:
    """The scenario of a seed.

    Each leaves most kinds of trouble out: together they would hide each other, and rare pairs would never come alone.
    """
    rng = random.Random(f"{seed}/scenario")
    size = _SMALL if rng.random() < _SMALL_SHARE else _LARGE
    apis, schedulers, agents = rng.choice((1, 1, 2)), rng.choice((1, 1, 2)), rng.choice(size.agents)
    targets = _targets(apis, schedulers, agents)
    kinds = [kind for kind in targets if rng.random() < 0.35]
    count = rng.randint(1, size.troubles) if kinds else 0
    seconds = rng.choice(size.seconds)
    jobs = tuple(work(rng, rng.randint(*size.jobs), rng.choice((1.0, seconds / 2))))
    rough, lost_answers = _rough(rng), rng.choice((0.0, 0.0, 0.02, 0.2))
    troubles = [_trouble(rng, rng.choice(kinds), targets, seconds) for _ in range(count)]
    return Scenario(
        seed,
        apis,
        schedulers,
        agents,
        jobs,
        rough,
        lost_answers,
        tuple(_with_clocks(seed, troubles, schedulers, agents, seconds)),
        seconds,
    )


def _targets(apis: int, schedulers: int, agents: int) -> dict[str, list[str]]:
    """Every kind of trouble with what it can happen to."""
    agent_names = [f"agent-{number}" for number in range(agents)]
    api_names = [f"api-{number}" for number in range(apis)]
    everybody = [*agent_names, *api_names, *(f"scheduler-{number}" for number in range(schedulers))]
    comfyuis = [f"comfyui-{number}" for number in range(agents)]
    return {
        "kill": everybody,
        "terminate": everybody,
        "cut off": everybody,
        "stop bus": [""],
        "empty memory of bus": [""],
        "kill comfyui": comfyuis,
        "slow comfyui": comfyuis,
        "trap": [point.name for point in _POINTS],
    }


def _with_clocks(seed: int, troubles: Sequence[Trouble], schedulers: int, agents: int, seconds: float) -> list[Trouble]:
    """Troubles, and in some seeds clocks that are set. These are drawn apart: without them a seed is what it was.

    In most of those seeds nothing else happens to a node: then whatever is lost was lost by a clock.
    """
    rng = random.Random(f"{seed}/clocks")
    if rng.random() >= _CLOCKS_SHARE:
        return list(troubles)
    names = [f"scheduler-{number}" for number in range(schedulers)], [f"agent-{number}" for number in range(agents)]
    drawn = [_clock(rng, rng.choice(names), seconds) for _ in range(rng.randint(2, 5))]
    # Not twice the same way: a scheduler whose clock is set back by more than ten minutes ends, and is meant to.
    clocks = {(clock.what, clock.target): clock for clock in drawn}.values()
    alone = rng.random() < _ALONE_SHARE
    return [*(trouble for trouble in troubles if not alone or trouble.what in LEAVES_NODES), *clocks]


def _clock(rng: random.Random, names: Sequence[str], seconds: float) -> Trouble:
    """A clock that is set while most seeds are at work."""
    lasts = rng.choice((0.5, 1.0, 5.0, 12.0)) * rng.uniform(0.5, 1.5)
    at = rng.uniform(0.5, min(seconds - 1, _BUSY_SECONDS))
    return Trouble(at, rng.choice(CLOCKS), rng.choice(names), lasts)


def _trouble(rng: random.Random, kind: str, targets: dict[str, list[str]], seconds: float) -> Trouble:
    lasts = rng.choice((0.1, 1.0, 5.0, 12.0)) * rng.uniform(0.5, 1.5)
    return Trouble(rng.uniform(0.5, seconds - 1), kind, rng.choice(targets[kind]), lasts)


def _rough(rng: random.Random) -> Roughness:
    rough = Roughness(latency=rng.choice((0.0005, 0.002, 0.02)))
    for field in fields(Roughness):
        if field.name != "latency" and rng.random() < 0.3:
            setattr(rough, field.name, rng.choice((0.01, 0.05, 0.2)))
    return rough
