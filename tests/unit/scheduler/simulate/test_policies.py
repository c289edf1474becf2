"""The simulated world, and what policies make of it."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from comfymesh.scheduler.simulate.baselines import Fifo, LeastLoaded, Limit, Sticky
from comfymesh.scheduler.simulate.engine import Gpu, Outcome, Policy, simulate
from comfymesh.scheduler.simulate.figures import figures, jain
from comfymesh.scheduler.simulate.mesh import Mesh
from comfymesh.scheduler.simulate.trace import LoadTimes, Request, scale
from comfymesh.tasks.policy import PolicySettings, TenantPolicy

TIMES = LoadTimes([20.0], [4.0], 1)


def request(number: int, arrival: float, model: str = "m", *, run: float = 10.0, **more: object) -> Request:
    fields: dict[str, object] = {"tenant": "t", "loras": (), "shape": model, "units": 1.0}
    return Request(number, arrival, run, model=model, **(fields | more))  # type: ignore[arg-type]


def crowd(count: int, *, models: int = 8, tenants: int = 5, seed: int = 1, load: float = 0.7) -> list[Request]:
    """Requests that come faster at times than four GPUs serve them."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        model = f"m{int(models * chance.random() ** 2)}"
        tenant = f"t{chance.randrange(tenants)}"
        loras = (f"{tenant}/lora",) if chance.random() < 0.1 else ()
        run = chance.uniform(5, 15) * (1 + int(model[1:]) % 3)
        arrival = number // 50 * 600 + chance.uniform(0, 200)
        made.append(request(number, arrival, model, run=run, tenant=tenant, loras=loras))
    return scale(sorted(made, key=lambda each: each.arrival), 4, load)


def fleet(count: int = 4, capacity: int = 1) -> list[Gpu]:
    return [Gpu(number, capacity=capacity) for number in range(count)]


def mesh(requests: list[Request], settings: PolicySettings | None = None, capacity: int = 1) -> Outcome:
    gpus = fleet(capacity=capacity)
    return simulate(requests, Mesh(gpus, requests, settings or PolicySettings()), TIMES)


def ends(outcome: Outcome) -> dict[int, float]:
    return {run.request.number: run.end for run in outcome.runs}


def test_a_gpu_keeps_what_it_used_last_and_the_loras_of_its_last_task() -> None:
    gpu = Gpu(0, capacity=2)
    for model, loras in (("a", ("l",)), ("b", ()), ("a", ())):
        gpu.use(request(0, 0.0, model, loras=loras))
    assert gpu.models == ("b", "a")
    assert gpu.missing(request(0, 0.0, "a", loras=("l",))) == ("l",)
    gpu.use(request(0, 0.0, "c"))
    assert gpu.models == ("a", "c")
    assert gpu.missing(request(0, 0.0, "b", loras=("l",))) == ("b", "l")


def test_loads_and_runs_add_up() -> None:
    requests = [request(0, 0.0), request(1, 1.0, loras=("l",)), request(2, 2.0, "n")]
    outcome = simulate(requests, Fifo(fleet(1)), TIMES)
    assert ends(outcome) == {0: 30.0, 1: 44.0, 2: 74.0}
    found = figures(outcome, ends(outcome))
    assert found.load_share == pytest.approx(44 / 74)
    assert found.loads_per_100 == pytest.approx(100)
    assert found.longest_wait_s == 42.0


def test_a_fair_world_has_an_index_of_one() -> None:
    assert jain([3.0, 3.0]) == pytest.approx(1.0)
    assert jain([1.0, 0.0]) == pytest.approx(0.5)


def test_scaling_makes_runs_use_the_given_part() -> None:
    requests = crowd(200, load=0.5)
    assert sum(r.run for r in requests) / 4 / requests[-1].arrival == pytest.approx(0.5)


@pytest.mark.parametrize("policy", [Fifo, LeastLoaded, Sticky, Limit])
def test_baselines_serve_everybody_once(policy: type[Fifo]) -> None:
    requests = crowd(300)
    made: Policy = policy(fleet())
    assert sorted(ends(simulate(requests, made, TIMES))) == list(range(300))


@pytest.mark.parametrize("capacity", [1, 2, 4])
def test_mesh_serves_everybody_once_and_the_same_way_each_time(capacity: int) -> None:
    requests = crowd(400)
    first = mesh(requests, capacity=capacity)
    assert sorted(ends(first)) == list(range(400))
    assert ends(first) == ends(mesh(requests, capacity=capacity))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mesh_loads_less_and_is_quicker_than_what_does_not_know_what_is_loaded(seed: int) -> None:
    requests = crowd(600, seed=seed)
    fifo = simulate(requests, Fifo(fleet()), TIMES)
    ours, theirs = figures(mesh(requests), ends(fifo)), figures(fifo, ends(fifo))
    assert ours.load_share < theirs.load_share / 2
    assert ours.mean_s < theirs.mean_s / 2
    assert ours.longest_wait_s < 1.5 * theirs.longest_wait_s


def test_who_sends_a_flood_does_not_drown_others() -> None:
    flood = [request(number, 0.0, tenant="flood") for number in range(400)]
    small = [request(400 + number, 100.0 + number, tenant=f"small{number}") for number in range(5)]
    done = ends(mesh([*flood, *small]))
    assert max(done[400 + number] for number in range(5)) < 400.0
    assert max(done.values()) > 900.0


def test_a_tenant_has_no_more_under_way_than_its_cap() -> None:
    requests = [request(number, 0.0, tenant="capped") for number in range(20)]
    outcome = mesh(requests, PolicySettings(tenants={"capped": TenantPolicy(max_running=1)}))
    runs = sorted(outcome.runs, key=lambda run: run.end)
    assert all(a.end <= b.end - b.run - b.load for a, b in pairwise(runs))
