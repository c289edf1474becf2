"""The parts of the policy, each by itself."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.scheduler.domain.estimates import FIRST_LOAD, FIRST_RUN, Estimates
from comfymesh.scheduler.domain.lanes import Family, Group, Waiting
from comfymesh.scheduler.domain.tenants import SPARSE, Tenant, Tenants
from comfymesh.scheduler.domain.virtual_fifo import VirtualFifo
from comfymesh.scheduler.domain.worth import best_batch, mean_weight, urgency, weight
from comfymesh.tasks.policy import PolicySettings, TenantPolicy
from comfymesh.tasks.record import Key, Requirements, Work

MODELS = ("m",)


def group() -> Group:
    return Group(Requirements(), Family(MODELS), ())


def waiting(name: str, within: Group, *, created: float = 0.0, run: float = 10.0, fifo: float = math.inf) -> Waiting:
    task = Waiting(Key("t", name), 1, within, 0, created)
    task.run, task.fifo = run, fifo
    return task


def test_runs_are_guessed_then_learned() -> None:
    estimates = Estimates()
    assert estimates.run(MODELS, Work("s", 1.0), "t") == FIRST_RUN
    for _ in range(50):
        estimates.learn_run(MODELS, Work("s", 1.0), "t", "", 100.0)
    assert estimates.run(MODELS, Work("s", 1.0), "t") == pytest.approx(100.0, rel=0.1)


def test_what_is_learned_of_others_is_better_than_a_guess() -> None:
    estimates = Estimates()
    for _ in range(50):
        estimates.learn_run(MODELS, Work("s", 1.0), "t", "", 100.0)
    for other in (estimates.run(MODELS, Work("new", 1.0), "t"), estimates.run(("n",), Work("new", 1.0), "u")):
        assert other == pytest.approx(100.0, rel=0.2)


def test_larger_work_is_learned_to_take_longer_whatever_its_shape() -> None:
    estimates = Estimates()
    for _ in range(100):
        estimates.learn_run(MODELS, Work("s", 10.0), "t", "", 10.0)
        estimates.learn_run(MODELS, Work("s", 100.0), "t", "", 40.0)
    small, large = (estimates.run(("n",), Work("other", units), "u") for units in (10.0, 100.0))
    assert large > 2 * small


def test_a_slower_class_of_gpu_is_learned() -> None:
    estimates = Estimates()
    for _ in range(100):
        estimates.learn_run(MODELS, Work("s", 1.0), "t", "fast", 10.0)
        estimates.learn_run(MODELS, Work("s", 1.0), "t", "slow", 20.0)
    assert estimates.speed("fast") == 1.0
    slow = estimates.speed("slow") * estimates.run(MODELS, Work("s", 1.0), "t")
    assert estimates.speed("slow") > 1.4
    assert slow == pytest.approx(20.0, rel=0.1)
    assert estimates.speed("never seen") == 1.0


def test_loads_are_learned_by_file_and_guessed_by_kind() -> None:
    estimates = Estimates()
    assert estimates.load("a") == FIRST_LOAD
    for name, kind in (("a", "Checkpoint"), ("b", "Checkpoint"), ("c", "LoraLoader"), ("d", "LoraLoader")):
        estimates.meet(name, kind)
    for _ in range(5):
        estimates.learn_load(("a",), 40.0)
        estimates.learn_load(("c",), 2.0)
    assert estimates.load("a") == 40.0
    assert estimates.load("b") > 2 * estimates.load("d")
    assert estimates.is_patched_in("c")
    assert not estimates.is_patched_in("a")


@given(st.floats(0.5, 500.0), st.floats(0.5, 500.0), st.floats(1.0, 10.0))
def test_a_model_is_priced_between_the_usual_load_and_its_own(one: float, other: float, longer: float) -> None:
    estimates = Estimates()
    for name, seconds in (("one", one), ("other", other)):
        estimates.meet(name, "Checkpoint")
        estimates.learn_load((name,), seconds)
    estimates.meet("new", "Checkpoint")
    usual = estimates.load("new")
    for name in ("one", "other"):
        own, price = estimates.load(name), estimates.price((name,))
        assert min(own, usual) <= price * (1 + 1e-9)
        assert price <= max(own, usual) * (1 + 1e-9)
    assert estimates.price(("one", "other")) == pytest.approx(estimates.price(("one",)) + estimates.price(("other",)))
    before = estimates.price(("one",))
    estimates.learn_load(("one",), longer * estimates.load("one"))
    assert estimates.price(("one",)) >= before * (1 - 1e-9)


def test_a_price_is_that_of_files_of_its_kind_as_soon_as_one_was_loaded() -> None:
    estimates = Estimates()
    estimates.meet("a", "Checkpoint")
    estimates.meet("b", "Checkpoint")
    assert estimates.price(("b",)) == pytest.approx(FIRST_LOAD)
    estimates.learn_load(("a",), 40.0)
    assert estimates.price(("b",)) == pytest.approx(estimates.load("b"))
    assert estimates.price(("b",)) > FIRST_LOAD
    assert estimates.price(()) == 0.0


def test_files_that_are_loaded_together_share_the_time() -> None:
    estimates = Estimates()
    estimates.learn_load(("a",), 30.0)
    estimates.learn_load(("a", "b"), 60.0)
    assert estimates.loads(("a", "b")) == pytest.approx(60.0, rel=0.5)


def test_a_fleet_on_paper_serves_in_order_and_loads_what_is_missing() -> None:
    estimates = Estimates()
    estimates.learn_load(("m",), 5.0)
    fifo = VirtualFifo(estimates)
    assert fifo.finish(MODELS, (), 10.0, 0.0, 1) == math.inf
    fifo.resize([1.0])
    assert fifo.finish(MODELS, (), 10.0, 100.0, 1) == 115.0
    assert fifo.finish(MODELS, (), 10.0, 101.0, 1) == 125.0
    fifo.resize([1.0, 2.0])
    assert fifo.finish(MODELS, (), 10.0, 102.0, 1) == 102.0 + 5.0 + 20.0


@given(st.floats(0, 1e4), st.floats(0.1, 1e3), st.floats(1, 1e4))
def test_urgency_only_rises(created: float, run: float, patience: float) -> None:
    fifo = created + run + patience
    found = [urgency(created, run, fifo, created + part * patience) for part in (0.0, 0.5, 0.9, 1.0, 5.0)]
    assert found == sorted(found)
    assert found[0] == pytest.approx(1.0)
    assert found[1] == pytest.approx(2.0, rel=0.01)


def test_of_equal_standing_the_shorter_weighs_more_the_longer_both_wait() -> None:
    within = group()
    short, long = waiting("short", within, run=10.0), waiting("long", within, run=100.0)
    assert weight(short, 0.0) == weight(long, 0.0) == 1.0
    assert weight(short, 100.0) > weight(long, 100.0)


def test_a_lane_counts_as_its_tasks_do_on_average() -> None:
    within = group()
    for sparse in (1.0, 0.5):
        task = waiting(str(sparse), within, fifo=1e9)
        task.sparse = sparse
        within.add(task)
    (lane,) = within.lanes.values()
    assert weight(task, 20.0) == pytest.approx(0.5 * 3.0)
    assert mean_weight(lane, 20.0) == pytest.approx(0.75 * 3.0)
    within.remove(task)
    assert mean_weight(lane, 20.0) == pytest.approx(3.0)


def test_a_task_that_came_before_any_instance_leaves_its_lane_as_it_was() -> None:
    within = group()
    early, known = waiting("early", within), waiting("known", within, fifo=1000.0)
    within.add(known)
    (lane,) = within.lanes.values()
    before = mean_weight(lane, 20.0)
    within.add(early)
    assert mean_weight(lane, 20.0) == weight(early, 20.0)
    within.remove(early)
    assert mean_weight(lane, 20.0) == before < 4.0
    within.remove(known)
    within.add(early)
    within.remove(early)
    within.add(known)
    (lane,) = within.lanes.values()
    assert mean_weight(lane, 20.0) == before


def test_a_batch_is_worth_more_than_its_first_task_when_a_load_stands_before_it() -> None:
    within = group()
    within.add(waiting("0", within))
    (lane,) = within.lanes.values()
    alone = best_batch([(1.0, lane)], 100.0, 1, 0.0)
    for number in range(1, 10):
        within.add(waiting(str(number), within))
    assert best_batch([(1.0, lane)], 100.0, 1, 0.0) > 4 * alone
    assert best_batch([(1.0, lane)], 100.0, 10, 0.0) == pytest.approx(alone)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60))
def test_a_lane_forgets_nothing_and_keeps_nothing(steps: list[tuple[int, bool]]) -> None:
    within = group()
    standing: list[Waiting] = []
    for number, (created, leaves) in enumerate(steps):
        if leaves and standing:
            within.remove(standing.pop(created % len(standing)))
        else:
            standing.append(waiting(str(number), within, created=float(created)))
            within.add(standing[-1])
        assert within.family.count == len(standing)
        heads = [lane.head() for lane in within.lanes.values()]
        assert heads == ([min(standing)] if standing else [])


def test_a_tenants_slowdown_counts_what_waits_as_if_it_ran_now() -> None:
    tenant = Tenant("t", TenantPolicy())
    assert tenant.slowdown(50.0) == 1.0
    tenant.waits(0.0, 10.0)
    assert tenant.slowdown(50.0) == pytest.approx(6.0)
    tenant.bore(2.0)
    assert tenant.slowdown(50.0) == pytest.approx(4.0)
    tenant.waits_no_more(0.0, 10.0)
    assert tenant.slowdown(50.0) == pytest.approx(2.0)


def test_a_task_counts_less_the_more_of_its_tenant_waits() -> None:
    tenant, heavy = Tenant("t", TenantPolicy()), Tenant("heavy", TenantPolicy(weight=15.0))
    assert tenant.sparseness(10.0) == 1.0
    for _ in range(15):
        tenant.waits(0.0, 10.0)
        heavy.waits(0.0, 10.0)
    assert tenant.sparseness(10.0) == pytest.approx(0.5)  # sixteen would be served one after the other
    assert tenant.sparseness(150.0) == heavy.sparseness(10.0) == pytest.approx(2**-SPARSE)
    for _ in range(15):
        tenant.waits_no_more(0.0, 10.0)
    assert tenant.sparseness(10.0) == 1.0


@given(st.lists(st.floats(1e-3, 1e5), max_size=40), st.floats(1e-3, 1e5))
def test_no_task_counts_more_than_all_or_nothing_at_all(runs: list[float], run: float) -> None:
    tenant = Tenant("t", TenantPolicy())
    found = [tenant.sparseness(run)]
    for each in runs:
        tenant.waits(0.0, each)
        found.append(tenant.sparseness(run))
    assert found == sorted(found, reverse=True)
    assert 0 < found[-1] <= found[0] == 1.0
    for each in runs:
        tenant.waits_no_more(0.0, each)
        assert 0 < tenant.sparseness(run) <= 1.0


@pytest.mark.parametrize("burst", [0.0, 0.2, 1.0])
def test_whatever_the_burst_shares_are_to_each_other_as_weights(burst: float) -> None:
    tenants = Tenants()
    tenants.set(PolicySettings(burst=burst, tenants={"large": TenantPolicy(weight=10.0)}))
    for name in ("small", "large", *map(str, range(20))):
        tenant = tenants.get(name)
        tenant.waits(0.0, 1.0)
        tenants.count(tenant)
    assert tenants.share(tenants["large"], 16) == pytest.approx(10 * tenants.share(tenants["small"], 16))


def test_shares_follow_weights_among_those_who_have_tasks() -> None:
    tenants = Tenants()
    tenants.set(PolicySettings(burst=0.0, tenants={"large": TenantPolicy(weight=3.0)}))
    small, large = tenants.get("small"), tenants.get("large")
    for tenant in (small, large):
        tenant.waits(0.0, 1.0)
        tenants.count(tenant)
    assert tenants.share(small, 16) == pytest.approx(4.0)
    assert tenants.share(large, 16) == pytest.approx(12.0)
    large.waits_no_more(0.0, 1.0)
    tenants.count(large)
    assert tenants.share(small, 16) == pytest.approx(16.0)
