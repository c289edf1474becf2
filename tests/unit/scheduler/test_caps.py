"""Tenants that may have only so many attempts under way, and what becomes of their tasks meanwhile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain import parked, queueing, tenants
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.decisions import Decision, OfferWork
from comfymesh.scheduler.domain.events import (
    CatalogRead,
    Event,
    LogRead,
    NodeReported,
    PolicyChanged,
    TaskChanged,
    TaskEnded,
    Tick,
)
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Place, Report
from comfymesh.scheduler.domain.tenants import Tenants
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.policy import PolicySettings, TenantPolicy
from comfymesh.tasks.record import Key, Placement, Requirements
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.tasks import after, assigned, failed, queued


class Play:
    """A core, one instance, and a tenant `t` with a cap."""

    def __init__(self, cap: int, slots: int = 10) -> None:
        self.clock = ManualClock()
        self.core = Core(report_ttl=1e6, resend_after=1e6)
        self.offered: dict[str, None] = {}
        self.sequence = 0
        self.tell(CatalogRead("c", Catalog({})))
        self.tell(LogRead())
        self.cap(cap)
        self.report(slots)

    def tell(self, event: Event) -> list[str]:
        decisions: list[Decision] = self.core.handle(event, self.clock())
        made = [decision.record.key.task_id for decision in decisions if isinstance(decision, OfferWork)]
        self.offered.update(dict.fromkeys(made))
        return made

    def cap(self, cap: int) -> list[str]:
        return self.tell(PolicyChanged(PolicySettings(tenants={"t": TenantPolicy(max_running=cap)})))

    def report(self, slots: int = 10, **labels: str) -> list[str]:
        instances = {"x": Instance("x", InstanceState.READY, slots, "c")}
        return self.tell(NodeReported(Report("a", "1", open=True, instances=instances, labels=labels)))

    def task(self, name: str, tenant: str = "t", **changes: object) -> list[str]:
        self.sequence += 1
        record = queued(name, key=Key(tenant, name), create_time=self.clock() + self.sequence * 1e-6, **changes)
        return self.tell(TaskChanged(record, self.sequence))

    def end(self, name: str, tenant: str = "t") -> list[str]:
        self.sequence += 1
        self.offered.pop(name, None)
        return self.tell(TaskEnded(Key(tenant, name), self.sequence))

    def tick(self, seconds: float = 1.0) -> list[str]:
        self.clock.advance(seconds)
        return self.tell(Tick())


def crowd(play: Play, count: int) -> None:
    for number in range(count):
        play.task(f"t{number}")


def test_an_end_makes_room_for_one_more() -> None:
    play = Play(cap=1)
    crowd(play, 3)
    assert list(play.offered) == ["t0"]
    assert play.end("t0") == ["t1"]


def test_the_others_follow_though_the_one_that_was_let_back_is_cancelled() -> None:
    play = Play(cap=1)
    crowd(play, 4)
    play.report(slots=0)
    assert play.end("t0") == []
    assert play.end("t1") == []
    assert play.report() == ["t2"]


def test_a_cap_that_is_raised_or_lifted_makes_room_at_once() -> None:
    play = Play(cap=1)
    crowd(play, 6)
    assert play.cap(3) == ["t1", "t2"]
    assert play.cap(0) == ["t3", "t4", "t5"]


def test_one_that_fits_nowhere_any_more_holds_up_nobody() -> None:
    play = Play(cap=1)
    play.report(pool="red")
    play.task("first")
    for number in range(40):
        play.task(f"red{number}", requirements=Requirements(placement=Placement(labels=(("pool", "red"),))))
    play.task("any")
    play.report(pool="blue")
    assert play.end("first") == ["any"]


def test_many_kinds_are_all_let_back_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parked, "_KINDS", 2)
    play = Play(cap=1)
    play.report(pool="red")
    play.task("first")
    for number in range(9):
        wanted = Placement(labels=(("pool", "red"),), min_vram_bytes=-number)
        play.task(f"red{number}", requirements=Requirements(placement=wanted))
    play.task("any", priority=-1)
    play.report(pool="blue")
    play.end("first")
    assert "any" in [made for _ in range(5) for made in play.tick()]


def test_it_still_avoids_where_it_failed_when_it_is_let_back() -> None:
    play = Play(cap=1)
    instances = {"x": Instance("x", InstanceState.READY, 10, "c")}
    play.tell(NodeReported(Report("b", "1", open=True, instances=instances)))
    play.task("first")
    tried = after(queued("one", key=Key("t", "one")), assigned("b"), failed(FailureClass.NODE_LOST), now=0.0)
    assert play.tell(TaskChanged(tried, 100)) == []
    play.sequence = 100
    assert play.end("first") == ["one"]
    assert play.core._offers.place(Key("t", "one")) == Place("a", "x")


def test_of_a_huge_queue_only_what_may_begin_stands_in_line() -> None:
    play = Play(cap=2)
    crowd(play, 500)
    assert list(play.offered) == ["t0", "t1"]
    assert sum(family.count for family in play.core._dispatcher._standing) <= 2


def test_who_gets_a_cap_is_parked_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queueing, "_PARKED_AT_ONCE", 4)
    play = Play(cap=0, slots=1)
    crowd(play, 30)
    play.task("neighbour", tenant="u", priority=-9)
    play.cap(1)
    play.report(slots=2)
    ticks = 0
    while "neighbour" not in play.offered:
        play.tick()
        ticks += 1
    assert 1 < ticks < 10


def test_a_cap_that_is_lifted_lets_all_of_them_back_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parked, "_AT_ONCE", 3)
    play = Play(cap=1, slots=50)
    crowd(play, 20)
    play.cap(0)
    for _ in range(7):
        play.tick()
    assert len(play.offered) == 20


steps = st.one_of(
    st.tuples(st.just("arrive"), st.integers(0, 3)),
    st.tuples(st.just("end"), st.integers(0, 30)),
    st.tuples(st.just("cap"), st.integers(0, 4)),
    st.tuples(st.just("slots"), st.integers(0, 12)),
    st.tuples(st.just("tick"), st.just(0)),
)


@given(st.lists(steps, max_size=60), st.integers(0, 4))
def test_nobody_waits_while_his_tenant_and_an_instance_have_room(happened: list[tuple[str, int]], cap: int) -> None:
    play, alive = Play(cap=1), list[str]()
    for what, number in happened:
        match what:
            case "arrive":
                alive.append(f"n{len(alive)}-{play.sequence}")
                play.task(alive[-1], priority=number)
            case "end" if alive:
                play.end(alive.pop(number % len(alive)))
            case "cap":
                play.cap(number)
            case "slots":
                play.report(number)
            case _:
                play.tick()
    play.cap(cap)
    play.report(slots=5)
    for _ in range(3):
        play.tick()
    running = min(len(alive), cap or len(alive))
    assert len(play.offered) >= min(running, 5)
    assert play.offered.keys() <= set(alive)


def test_a_tenant_is_known_though_all_that_are_remembered_are_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenants, "_MOST_REMEMBERED", 5)
    play = Play(cap=0, slots=100)
    for number in range(10):
        assert play.task(f"t{number}", tenant=f"ten{number}") == [f"t{number}"]


def test_who_was_idle_longest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenants, "_MOST_REMEMBERED", 2)
    known = Tenants()
    known.get("busy").running = 1
    idle = known.get("idle")
    assert known.get("new") is not idle
    assert known["busy"].running == 1
    assert known.get("idle") is not idle


def test_a_tenant_is_looked_at_only_after_something_of_its_own_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play(cap=0, slots=0)
    play.tell(PolicyChanged(PolicySettings(tenants={f"t{n}": TenantPolicy(max_running=2) for n in range(30)})))
    for number in range(30):
        for task in range(6):
            play.task(f"x{number}-{task}", tenant=f"t{number}", priority=task % 2)
    looks: list[str] = []
    of_each_kind = parked.Parked._of_each_kind

    def counted(kept: parked.Parked, tenant: str, room: float) -> object:
        looks.append(tenant)
        return of_each_kind(kept, tenant, room)

    monkeypatch.setattr(parked.Parked, "_of_each_kind", counted)
    play.tick()
    looks.clear()
    for _ in range(5):
        play.tick()
    assert looks == []
    play.end("x7-0", "t7")
    assert looks == ["t7"]


def test_more_kinds_than_are_looked_at_at_once_are_all_let_back() -> None:
    play = Play(cap=1, slots=0)
    count = 3 * parked._KINDS
    for number in range(count):
        play.task(f"x{number}", priority=number)
    for _ in range(4):
        play.tick()
    assert sum(play.core._waiting._parked._standing.values()) == count
