"""Being passed over is bounded by what first come, first served would have given, however overloaded the fleet is."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from comfymesh.scheduler.simulate.baselines import Fifo
from comfymesh.scheduler.simulate.engine import Gpu, Policy, simulate
from comfymesh.scheduler.simulate.mesh import Mesh
from comfymesh.scheduler.simulate.trace import LoadTimes, Request, scale
from comfymesh.tasks.policy import PolicySettings

GPUS = 4
LONGEST_RUN = 40.0
LOAD = 20.0
TIMES = LoadTimes([LOAD], [0.0], 1)
TURNS = 6
"""So many of the longest runs and loads may a task end later than under FIFO. Without urgency some do by nine."""


def crowd(seed: int, models: int, heat: float, load: float) -> list[Request]:
    """Requests in bursts; the higher the heat, the more of them are for few models."""
    chance = random.Random(seed)
    made = []
    for number in range(120):
        model = f"m{int(models * chance.random() ** heat)}"
        run = chance.choice((5.0, 10.0, LONGEST_RUN))
        arrival = number // 40 * 600 + chance.uniform(0, 200)
        tenant = f"t{chance.randrange(5)}"
        made.append(Request(number, arrival, run, tenant, model, (), f"{model}/{run}", run))
    return scale(sorted(made, key=lambda request: request.arrival), GPUS, load)


def ends(requests: list[Request], policy: type[Fifo | Mesh]) -> dict[int, float]:
    gpus = [Gpu(number) for number in range(GPUS)]
    made: Policy = Fifo(gpus) if policy is Fifo else Mesh(gpus, requests, PolicySettings())
    return {run.request.number: run.end for run in simulate(requests, made, TIMES).runs}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 30), st.floats(1, 6), st.floats(0.2, 3.0))
def test_nobody_ends_much_later_than_under_fifo(seed: int, models: int, heat: float, load: float) -> None:
    requests = crowd(seed, models, heat, load)
    ours, fifo = ends(requests, Mesh), ends(requests, Fifo)
    late = max(ours[request.number] - fifo[request.number] for request in requests)
    assert late <= TURNS * (LONGEST_RUN + LOAD)
