"""What a seed stands for: how large the mesh is, what is asked of it, and what goes wrong when."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

from comfymesh.bus.streams import ACCOUNTS, BLOBS, INTENTS, REPORTS, SETTINGS, TASKS, WORKFLOWS
from comfymesh.runtime.faultpoints import FaultPoint
from comfymesh.scheduler.clock import MOST_BEHIND_SECONDS
from comfymesh.testkit.history import CLOCKS, LAG, LEAVES_NODES, PROMPT_TRAP
from comfymesh.testkit.plans import Job, Sweep, Work, work
from comfymesh.testkit.simulation.bus import Roughness

TROUBLE_SECONDS = 20.0
"""All trouble is within the first so many seconds at most; then everything is mended."""

CLOCK_STEP = 20.0
"""Seconds that a clock is wrong by for each that it is wrong."""

_POINTS = sorted(set(FaultPoint) - {FaultPoint.APPEND_SENT, FaultPoint.CHECKPOINT_WRITTEN})
"""Those that the simulation comes to: it has a bus of its own, and keeps nothing on a disk."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is broken at `at` for `lasts` seconds. A `trap` is laid at a fault point: who comes there dies.

    With a `lag` a stream tells a process by `by` seconds late.
    """

    at: float
    what: str
    target: str
    lasts: float
    by: float = 0.0


@dataclass(frozen=True, slots=True)
class Rounds:
    """What an operator does from `at` on: closes a node, opens it, and again, with so many seconds behind each."""

    at: float
    node: str
    waits: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is run. `seed` makes it, and everything else that is left to chance in its run.

    `keepers` keep the ledger. All trouble is within the first `trouble_seconds`. An operator goes through the `rounds`.
    """

    seed: int
    apis: int
    schedulers: int
    agents: int
    keepers: int
    work: tuple[Work, ...]
    rough: Roughness
    lost_answers: float
    troubles: tuple[Trouble, ...]
    trouble_seconds: float
    rounds: Rounds | None = None


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
_CLOCKS_SHARE = 0.35
_PROMPTS_SHARE = 0.4
_CLUSTER_SHARE = 0.3
_OF_CLUSTER = {"replicating", "forsaken"}
_LAGS_SHARE = 0.25
_LAG_SECONDS = 0.05, 3.0
_FOLLOWED = {
    "api": (TASKS, REPORTS, INTENTS, ACCOUNTS, WORKFLOWS, BLOBS),
    "scheduler": (TASKS, REPORTS, SETTINGS),
    "ledger": (TASKS,),
}
"""Streams that a process of each kind follows. An agent follows none."""
_ALONE_SHARE = 0.6
_BUSY_SECONDS = 3.0
_MOMENTS = ("taken", "taken", "began", "ended", "forgotten")
"""What happens to a prompt in the end, in this order. An agent has it forgotten once the log has its end."""


def scenario(seed: int) -> Scenario:
    """The scenario of a seed.

    Each leaves most kinds of trouble out: together they would hide each other, and rare pairs would never come alone.
    """
    rng = random.Random(f"{seed}/scenario")
    size = _SMALL if rng.random() < _SMALL_SHARE else _LARGE
    apis, schedulers, agents = rng.choice((1, 1, 2)), rng.choice((1, 1, 2)), rng.choice(size.agents)
    keepers = rng.choice((0, 0, 0, 1, 2))
    targets = _targets(apis, schedulers, agents, keepers)
    kinds = [kind for kind in targets if rng.random() < 0.35]
    count = rng.randint(1, size.troubles) if kinds else 0
    seconds = rng.choice(size.seconds)
    jobs = tuple(work(rng, rng.randint(*size.jobs), rng.choice((1.0, seconds / 2))))
    rough, lost_answers = _rough(rng), rng.choice((0.0, 0.0, 0.02, 0.2))
    jobs = tuple(_on_a_cluster(seed, rough, jobs))
    troubles = [_trouble(rng, rng.choice(kinds), targets, seconds) for _ in range(count)]
    troubles = _with_more(seed, troubles, schedulers, agents, seconds)
    if any(trouble.what == PROMPT_TRAP for trouble in troubles):
        # What was told to the dead is told to their heirs, and what they say of it may take its time.
        rough.redelivered = rng.choice((0.5, 1.0))
        setattr(rough, rng.choice(("slow", "lost_confirmation", "late")), 0.4)
    made = Scenario(seed, apis, schedulers, agents, keepers, jobs, rough, lost_answers, tuple(troubles), seconds)
    return _with_lags(made)


def _targets(apis: int, schedulers: int, agents: int, keepers: int) -> dict[str, list[str]]:
    """Every kind of trouble with what it can happen to."""
    agent_names = [f"agent-{number}" for number in range(agents)]
    api_names = [f"api-{number}" for number in range(apis)]
    schedulers_names = [f"scheduler-{number}" for number in range(schedulers)]
    everybody = [*agent_names, *api_names, *schedulers_names, *(f"ledger-{number}" for number in range(keepers))]
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


def _with_more(seed: int, troubles: Sequence[Trouble], schedulers: int, agents: int, seconds: float) -> list[Trouble]:
    """Troubles, and in many seeds clocks that are set, or agents that die with a prompt: not both.

    Most often nothing else happens then that would hide them.
    """
    rng = random.Random(f"{seed}/more")
    alone, chosen = rng.random() < _ALONE_SHARE, rng.random()
    if chosen < _CLOCKS_SHARE:
        # In most of those seeds nothing else happens to a node: then whatever is lost was lost by a clock.
        names = [f"scheduler-{number}" for number in range(schedulers)], [f"agent-{number}" for number in range(agents)]
        drawn = [_clock(rng, rng.choice(names), seconds) for _ in range(rng.randint(2, 5))]
        # A clock is set each way once: twice the same way hides what one step does.
        clocks = _borne({(clock.what, clock.target): clock for clock in drawn}.values())
        return [*(trouble for trouble in troubles if not alone or trouble.what in LEAVES_NODES), *clocks]
    if chosen < _CLOCKS_SHARE + _PROMPTS_SHARE:
        agent = f"agent-{rng.randrange(agents)}"
        moments = ["forgotten", *(rng.choice(_MOMENTS) for _ in range(rng.randint(1, 3)))]
        return [*([] if alone else troubles), *(_prompt_trap(rng, agent, what, seconds) for what in moments)]
    return list(troubles)


def _with_lags(made: Scenario) -> Scenario:
    """A scenario, and in some seeds streams that tell a process late: in many of those nothing else but a new api.

    Then a group is cancelled as soon as it is made, and an operator closes and opens a node: what a call has just
    answered, the streams are late to tell.
    """
    rng = random.Random(f"{made.seed}/lags")
    if rng.random() >= _LAGS_SHARE:
        return made
    rounds = _rounds(rng, made.agents) if rng.random() < 0.6 else None
    chosen = [target for target in _followed(made) if rng.random() < (0.9 if rounds and "INTENTS" in target else 0.35)]
    lags = [_lag(rng, target, made.trouble_seconds) for target in chosen or [f"api-0 {TASKS.name}"]]
    others = _new_api(rng, made, rounds) if rng.random() < _ALONE_SHARE else made.troubles
    work = tuple(replace(job, cancel=_soon(rng, job.cancel)) if isinstance(job, Sweep) else job for job in made.work)
    return replace(made, work=work, troubles=(*others, *lags), rounds=rounds)


def _followed(made: Scenario) -> Iterator[str]:
    """Every process with each stream that it follows."""
    for kind, count in ("api", made.apis), ("scheduler", made.schedulers), ("ledger", made.keepers):
        for number in range(count):
            yield from (f"{kind}-{number} {stream.name}" for stream in _FOLLOWED[kind])


def _soon(rng: random.Random, cancel: float | None) -> float | None:
    return rng.choice((cancel, 0.0, 0.2))


def _new_api(rng: random.Random, made: Scenario, rounds: Rounds | None) -> Sequence[Trouble]:
    """Often an api begins anew: where there is an operator, just when a node was closed for the first time."""
    least, most = (rounds.at, rounds.at + 1.0) if rounds else (0.5, _BUSY_SECONDS)
    at = rng.uniform(least, min(most, made.trouble_seconds - 1))
    return [Trouble(at, rng.choice(("kill", "terminate")), "api-0", 0.0)] if rng.random() < 0.7 else []


def _rounds(rng: random.Random, agents: int) -> Rounds:
    waits = tuple((rng.choice((0.5, 3.0)) * rng.random(), rng.random()) for _ in range(rng.randint(1, 4)))
    return Rounds(rng.uniform(0.0, 2.0), f"nodes/agent-{rng.randrange(agents)}", waits)


def _lag(rng: random.Random, target: str, seconds: float) -> Trouble:
    """A lag from the start on, or that comes while most seeds are at work; most stay until all is mended."""
    at = rng.choice((0.0, 0.0, rng.uniform(0.2, min(seconds - 1, _BUSY_SECONDS))))
    return Trouble(at, LAG, target, rng.choice((1.0, seconds, seconds)), rng.uniform(*_LAG_SECONDS))


def _prompt_trap(rng: random.Random, agent: str, what: str, seconds: float) -> Trouble:
    """The death of an agent a moment after something has happened to a prompt of its ComfyUI."""
    lasts = rng.choice((0.0, 0.0, 1.0, 10.0)) * rng.uniform(0.5, 1.5)
    at = rng.uniform(0.2, min(seconds - 1, _BUSY_SECONDS))
    return Trouble(at, PROMPT_TRAP, f"{agent} {what}", lasts)


def _borne(clocks: Iterable[Trouble]) -> Iterator[Trouble]:
    """Those that a scheduler bears: it ends, and is meant to, where its clock is set back by ten minutes in all."""
    wrong = dict[str, float]()
    for clock in clocks:
        total = wrong.get(clock.target, 0.0) + CLOCK_STEP * clock.lasts
        if total < MOST_BEHIND_SECONDS:
            wrong[clock.target] = total
            yield clock


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
        if field.name not in {"latency", *_OF_CLUSTER} and rng.random() < 0.3:
            setattr(rough, field.name, rng.choice((0.01, 0.05, 0.2)))
    return rough


def _on_a_cluster(seed: int, rough: Roughness, jobs: Sequence[Work]) -> Sequence[Work]:
    """In some seeds the server is a cluster. Then a task that has failed is requeued and dropped at the same time."""
    rng = random.Random(f"{seed}/cluster")
    if rng.random() >= _CLUSTER_SHARE:
        return jobs
    rough.replicating, rough.forsaken = rng.choice((0.02, 0.1, 0.5)), rng.choice((0.0, 0.0, 0.01, 0.05))
    return [replace(job, letters=("requeue", "drop")) if isinstance(job, Job) else job for job in jobs]
