"""What one more instance that holds a model set is good for, and when it pays."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.scheduler.domain.estimates import Estimates
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Place, Report
from comfymesh.scheduler.domain.lanes import Family, Group, Waiting
from comfymesh.scheduler.domain.popularity import Popularity
from comfymesh.scheduler.domain.seats import Seats
from comfymesh.scheduler.domain.spreading import Spreading
from comfymesh.tasks.policy import PolicySettings
from comfymesh.tasks.record import Key, Requirements

LOAD = 20.0
RUN = 10.0
SETTINGS = PolicySettings()
PATIENCE = SETTINGS.patience


def popularity(**asked: int) -> tuple[Popularity, dict[str, Family]]:
    found, families = Popularity(), {name: Family((name,)) for name in asked}
    for turn in range(max(asked.values())):
        for name, count in asked.items():
            if turn < count:
                found.saw(families[name], RUN)
    return found, families


@given(st.integers(1, 300), st.integers(1, 16))
def test_each_further_copy_saves_less_and_none_costs(asked: int, busy: int) -> None:
    found, families = popularity(hot=asked, rare=1)
    saved = [found.saves(families["hot"], copies, busy) for copies in range(1, 20)]
    assert saved == sorted(saved, reverse=True)
    assert saved[-1] >= 0.0


def test_what_is_asked_for_more_is_kept_first_but_not_in_any_number() -> None:
    found, families = popularity(hot=300, rare=10)
    hot, rare = families["hot"], families["rare"]
    assert found.saves(hot, 1, 4) > found.saves(hot, 2, 4) > found.saves(rare, 1, 4) > found.saves(hot, 12, 4)


def test_what_was_asked_for_long_ago_counts_little() -> None:
    found, families = popularity(old=500)
    new = Family(("new",))
    for _ in range(3_000):
        found.saw(new, RUN)
    assert found.saves(families["old"], 1, 1) < found.saves(new, 2, 1)


def test_it_counts_for_ever_and_forgets() -> None:
    found, families = popularity(hot=1)
    hot, other = families["hot"], Family(("other",))
    for _ in range(40_000):
        found.saw(hot, RUN)
        found.saw(other, RUN)
    assert found.saves(hot, 1, 1) == pytest.approx(found.saves(other, 1, 1), rel=0.01)
    assert 0.1 < found.saves(hot, 1, 1) < 1.0
    found.forget(hot)
    assert found.saves(hot, 1, 1) == 0.0


class World:
    """Two instances: one holds the models and is busy for `busy` seconds, the other has nothing to do."""

    def __init__(self, *, busy: float, idle: bool = True, load: float = LOAD) -> None:
        self.popularity = Popularity()
        self.seats, self.estimates = Seats(), Estimates()
        for model, seconds in (*((f"usual-{n}", LOAD) for n in range(100)), ("m", load)):
            self.estimates.meet(model, "Checkpoint")
            self.estimates.learn_load((model,), seconds)
        self.spreading = Spreading(self.seats, self.estimates, self.popularity)
        self.group = Group(Requirements(), Family(("m",)), ())
        self.seats.meet(self.group.family)
        self.report("warm", "m")
        self.report("cold", "n")
        self.seats.take(self.seats[Place("warm", "warm")], busy, 0.0)
        if not idle:
            self.seats.take(self.seats[Place("cold", "cold")], busy, 0.0)

    def report(self, name: str, resident: str, *, is_open: bool = True) -> None:
        instance = Instance(name, InstanceState.READY, 1, "catalog", resident=(resident,))
        self.seats.report(Report(name, "1", open=is_open, instances={name: instance}))

    def waits(self, *, fifo: float, count: int = 1, created: float = 0.0) -> None:
        for number in range(count):
            task = Waiting(Key("t", f"{created}-{number}"), 1, self.group, 0, created)
            task.run, task.fifo = RUN, fifo
            self.group.add(task)

    @property
    def price(self) -> float:
        return self.estimates.price(("m",))

    @property
    def pays(self) -> bool:
        return self.spreading.pays(self.group.family, SETTINGS, 0.0)

    def saves(self, now: float = 0.0) -> bool:
        last = self.group.family.newest()
        return last is not None and self.spreading.saves(last, SETTINGS, now)


def test_a_task_waits_for_a_warm_instance_that_is_free_sooner_than_a_load_takes() -> None:
    world = World(busy=LOAD - 1)
    world.waits(fifo=LOAD + RUN)
    assert not world.saves()


def test_a_load_saves_it_where_fifo_would_have_been_much_sooner() -> None:
    world = World(busy=2 * PATIENCE * LOAD)
    world.waits(fifo=LOAD + RUN)
    assert world.saves()
    assert not world.pays, "that is for one task; a copy for whoever comes needs a backlog"


def test_it_goes_on_waiting_where_fifo_would_have_been_later() -> None:
    world = World(busy=2 * PATIENCE * LOAD)
    world.waits(fifo=1_000.0)
    assert not world.saves()


def test_a_load_that_comes_too_late_saves_nothing() -> None:
    world = World(busy=10 * PATIENCE * LOAD)
    world.waits(fifo=LOAD + RUN)
    assert not world.saves(now=LOAD / 2)
    world.waits(fifo=RUN, created=0.5)
    assert not world.saves(), "on paper there was an instance that held its models"


def test_all_that_came_before_have_their_turn_first() -> None:
    world = World(busy=1.0)
    world.waits(fifo=LOAD + RUN)
    assert not world.saves()
    world.waits(fifo=LOAD + RUN, count=math.ceil(PATIENCE * LOAD / RUN))
    assert world.saves()


def test_a_warm_instance_on_a_cordoned_node_saves_nobody_a_load() -> None:
    world = World(busy=2 * PATIENCE * LOAD)
    world.report("idle", "m", is_open=False)
    world.waits(fifo=LOAD + RUN)
    assert world.saves()


def test_what_takes_longer_than_predicted_may_take_as_long_again() -> None:
    world = World(busy=10.0)
    warm = world.seats[Place("warm", "warm")]
    assert not warm.is_free_within(9.0, 0.0)
    assert warm.is_free_within(1.0, 10.0)
    assert not warm.is_free_within(9.0, 20.0)
    assert world.seats[Place("cold", "cold")].is_free_within(0.0, 20.0), "it has nothing to do"


def test_while_nobody_idles_only_the_backlog_counts() -> None:
    world = World(busy=2 * PATIENCE * LOAD, idle=False)
    world.waits(fifo=LOAD + RUN)
    assert not world.pays
    world.waits(fifo=math.inf, count=math.ceil(SETTINGS.spread_after * world.price / RUN))
    assert world.pays


def test_a_family_knows_which_of_its_tasks_came_last() -> None:
    world = World(busy=1.0)
    family = world.group.family
    assert family.newest() is None
    world.waits(fifo=1.0, count=40)
    for number in range(39, 23, -1):
        last = family.newest()
        assert last is not None
        assert last.key.task_id == f"0.0-{number}"
        world.group.remove(last)
    assert family.newest() is None, "of more than that none is remembered"
    assert family.count == 24


def tasks_until_a_copy_pays(load: float) -> int:
    world = World(busy=0.0, idle=False, load=load)
    count = 0
    while not world.pays:
        world.waits(fifo=math.inf)
        count += 1
    return count


def test_what_loads_four_times_as_long_waits_for_twice_as_much() -> None:
    """The root, not the load itself: else who wants a slow model would wait for four times as much (ADR 75)."""
    assert tasks_until_a_copy_pays(4 * LOAD) == pytest.approx(2 * tasks_until_a_copy_pays(LOAD), rel=0.05)


def test_what_goes_on_being_asked_for_is_spread_sooner() -> None:
    world, other = World(busy=0.0, idle=False), Family(("n",))
    world.waits(fifo=math.inf, count=math.ceil(0.6 * SETTINGS.spread_after * world.price / RUN))
    assert not world.pays
    for _ in range(10):  # Half of what is asked for is the family's: one of two instances that are busy.
        world.popularity.saw(world.group.family, RUN)
        world.popularity.saw(other, RUN)
    assert world.pays


def test_but_never_for_a_few_tasks() -> None:
    world = World(busy=0.0, idle=False)
    world.popularity.saw(world.group.family, RUN)  # Nothing else is asked for.
    world.waits(fifo=math.inf, count=2)
    assert not world.pays


def test_a_family_wants_its_part_of_the_instances_that_are_busy() -> None:
    found, families = popularity(hot=30, rare=10)
    assert found.wants(families["hot"], 8) == pytest.approx(6.0, rel=0.05)
    assert found.wants(families["hot"], 0) == 0.0
    assert Popularity().wants(families["hot"], 8) == 0.0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=40))
def test_how_many_instances_are_busy_is_counted_right(steps: list[tuple[bool, int]]) -> None:
    seats, taken = Seats(), [0, 0, 0, 0]
    for takes, number in steps:
        seat = seats[Place("node", str(number))]
        if takes:
            seats.take(seat, 1.0, 0.0)
            taken[number] += 1
        elif taken[number]:
            seats.free(seat, 1.0)
            taken[number] -= 1
        assert seats.busy == sum(count > 0 for count in taken)
