"""One tenant sends as much at once as all others together: those are served no worse than under FIFO, it may be."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from comfymesh.scheduler.simulate.baselines import Fifo
from comfymesh.scheduler.simulate.engine import Gpu, Policy, simulate
from comfymesh.scheduler.simulate.figures import quantile
from comfymesh.scheduler.simulate.mesh import Mesh
from comfymesh.scheduler.simulate.trace import LoadTimes, Request
from comfymesh.tasks.policy import PolicySettings

GPUS, OTHERS, FLOOD, TENANTS, MODELS = 4, 600, 400, 20, 8
FLOODER = "flooder"


def trace(seed: int) -> list[Request]:
    """The fleet is used by 60 %, all in all; the flood comes after a third of the time."""
    chance = random.Random(seed)
    rows = [(chance.uniform(0, 1), f"t{chance.randrange(TENANTS)}") for _ in range(OTHERS)]
    rows += [(chance.uniform(0.3, 0.32), FLOODER) for _ in range(FLOOD)]
    runs = [chance.lognormvariate(3.0, 0.6) for _ in rows]
    models = [f"m{int(MODELS * chance.random() ** 2.5)}" for _ in rows]
    span = sum(runs) / (GPUS * 0.6)
    arrivals = sorted(zip(rows, runs, models, strict=True))
    return [
        Request(number, part * span, run, tenant, model, (), model, 1.0)
        for number, ((part, tenant), run, model) in enumerate(arrivals)
    ]


def times_of_others(requests: Sequence[Request], policy: Policy) -> list[float]:
    outcome = simulate(requests, policy, LoadTimes([15.0, 30.0], [0.0], 1))
    runs = (run for run in outcome.runs if run.request.tenant != FLOODER)
    return sorted(run.end - run.request.arrival for run in runs)


@pytest.mark.parametrize("seed", [1, 2])
def test_others_do_not_pay_for_a_flood(seed: int) -> None:
    requests = trace(seed)
    gpus = [Gpu(number) for number in range(GPUS)]
    ours = times_of_others(requests, Mesh(gpus, requests, PolicySettings()))
    fifo = times_of_others(requests, Fifo([Gpu(number) for number in range(GPUS)]))
    assert quantile(ours, 0.99) < quantile(fifo, 0.99)
    assert sum(ours) < sum(fifo) / 3
