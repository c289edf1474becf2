"""An instance where one task after another fails by its own fault gets no more for a while."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain.breaker import LONGEST, OF_THE_INSTANCE
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.decisions import OfferWork
from comfymesh.scheduler.domain.events import (
    CatalogRead,
    Event,
    LogRead,
    NodeReported,
    PolicyChanged,
    Run,
    TaskChanged,
    TaskRan,
    Tick,
)
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Place, Report
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.policy import PolicySettings
from comfymesh.tasks.record import Key
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.tasks import queued

LOST = FailureClass.INSTANCE_LOST
READY = InstanceState.READY
SICK, WELL = Place("a", "x"), Place("b", "x")


class Play:
    """A core and one instance on each of two nodes."""

    def __init__(self, *places: Place, slots: int = 2, others: int = 1) -> None:
        self.clock = ManualClock()
        self.core = Core(report_ttl=1e6, resend_after=1e6)
        self.made = 0
        for event in (CatalogRead("c", Catalog({})), LogRead()):
            self.tell(event)
        for place in places or (SICK,):
            self.report(place, slots=slots)
        for number in range(others):  # They have no room, and are well.
            self.report(Place(f"other-{number}", "x"), slots=0)

    def tell(self, event: Event) -> list[Place]:
        decided = self.core.handle(event, self.clock())
        return [decision.place for decision in decided if isinstance(decision, OfferWork)]

    def report(self, place: Place, slots: int = 2) -> list[Place]:
        instances = {place.instance: Instance(place.instance, InstanceState.READY, slots, "c")}
        return self.tell(NodeReported(Report(place.node, "1", open=True, instances=instances)))

    def ends(self, failure: FailureClass | None, task: str = "", place: Place = SICK) -> list[Place]:
        self.made += 1
        key = Key("t", task or f"ran-{self.made}")
        return self.tell(
            TaskRan(Run(key, "", 1.0, (), place, None, succeeded=failure is None, failure=failure, time=self.clock()))
        )

    def fails(self, *failures: FailureClass) -> None:
        for failure in failures:
            self.ends(failure)

    def task(self) -> list[Place]:
        self.made += 1
        return self.tell(TaskChanged(queued(f"t{self.made}", create_time=self.clock()), self.made))

    def wait(self, seconds: float) -> list[Place]:
        self.clock.advance(seconds)
        return self.tell(Tick())


@pytest.mark.parametrize("failure", sorted(OF_THE_INSTANCE))
def test_failures_of_its_own_open_it(failure: FailureClass) -> None:
    play = Play()
    play.fails(failure, failure, failure)
    assert play.core.open_breakers(play.clock()) == {SICK: play.clock() + 30}
    assert play.task() == []


@pytest.mark.parametrize("failure", sorted(set(FailureClass) - OF_THE_INSTANCE))
def test_failures_of_the_graph_do_not(failure: FailureClass) -> None:
    play = Play()
    play.fails(*[failure] * 5)
    assert play.task() == [SICK]


def test_one_task_that_always_fails_does_not_open_it() -> None:
    play = Play()
    for _ in range(5):
        play.ends(LOST, task="poison")
    assert play.task() == [SICK]


def test_a_success_in_between_keeps_it_closed() -> None:
    play = Play()
    for failure in (LOST, LOST, None, LOST, LOST):
        play.ends(failure)
    assert play.task() == [SICK]


def test_tasks_go_elsewhere_meanwhile() -> None:
    play = Play(SICK, WELL)
    play.fails(LOST, LOST, LOST)
    assert [play.task(), play.task(), play.task()] == [[WELL], [WELL], []]


def test_when_its_time_is_over_one_at_a_time_may_try() -> None:
    play = Play()
    play.fails(LOST, LOST, LOST)
    play.task(), play.task()
    assert play.wait(29.9) == []
    assert play.wait(0.2) == [SICK]
    assert play.wait(100.0) == []


def test_a_success_closes_it() -> None:
    play = Play(slots=3)
    play.fails(LOST, LOST, LOST)
    play.task(), play.task(), play.task()
    play.wait(31.0)
    assert play.ends(None) == [SICK, SICK]
    assert not play.core.open_breakers(play.clock())


def test_each_failure_of_a_trial_doubles_its_time_up_to_a_limit() -> None:
    play = Play()
    play.fails(LOST, LOST, LOST)
    waits = []
    for _ in range(8):
        until = play.core.open_breakers(play.clock())[SICK]
        waits.append(until - play.clock())
        play.wait(waits[-1] + 1)
        play.ends(LOST, task="the same")
    assert waits == [30, LONGEST, LONGEST, LONGEST, LONGEST, LONGEST, LONGEST, LONGEST]


def test_what_had_begun_before_it_opened_says_nothing_new() -> None:
    play = Play()
    play.fails(LOST, LOST, LOST, LOST, LOST)
    assert play.core.open_breakers(play.clock())[SICK] == play.clock() + 30


def told_before_the_log_is_read(seconds: float) -> Play:
    """Three attempts failed so long ago, by the clock of their node."""
    play = Play()
    play.core = Core(report_ttl=1e6, resend_after=1e6)
    told = Run(Key("t", ""), "", 1.0, (), SICK, None, succeeded=False, failure=LOST, time=play.clock() - seconds)
    for number in range(3):
        play.tell(TaskRan(replace(told, key=Key("t", str(number)))))
    play.tell(CatalogRead("c", Catalog({})))
    play.tell(LogRead())
    play.report(Place("other", "x"), slots=0)
    play.report(SICK)
    return play


def test_what_the_log_tells_of_long_ago_keeps_nobody_away() -> None:
    play = told_before_the_log_is_read(31.0)
    assert play.task() == [SICK]
    assert play.task() == []


def test_what_the_log_tells_has_not_happened_in_the_future() -> None:
    play = told_before_the_log_is_read(-3600.0)
    assert play.core.open_breakers(play.clock()) == {SICK: play.clock() + 30}


@pytest.mark.parametrize("ahead", [-3600.0, -60.0, 3600.0])
def test_it_does_not_go_by_the_clocks_of_nodes(ahead: float) -> None:
    play = Play()
    told = Run(Key("t", ""), "", 1.0, (), SICK, None, succeeded=False, failure=LOST, time=play.clock() + ahead)
    for number in range(3):
        play.tell(TaskRan(replace(told, key=Key("t", str(number)))))
    assert play.core.open_breakers(play.clock()) == {SICK: play.clock() + 30}


@pytest.mark.parametrize("works", [True, False])
def test_one_graph_that_fails_everywhere_is_to_blame_itself_however_often_it_is_sent(*, works: bool) -> None:
    play = Play()
    bad = Run(Key("t", ""), "its shape", 1.0, (), SICK, None, succeeded=False, failure=LOST, time=play.clock())
    if works:
        play.tell(TaskRan(replace(bad, place=WELL, succeeded=True, failure=None)))
    for number in range(100):
        play.tell(TaskRan(replace(bad, key=Key("t", str(number)))))
    assert (SICK in play.core.open_breakers(play.clock())) is works


def test_it_stays_open_for_an_instance_that_was_away() -> None:
    play = Play(others=3)
    play.fails(LOST, LOST, LOST)
    play.tell(NodeReported(Report("a", "2", open=True)))
    play.report(SICK)
    assert play.task() == []


def test_operators_set_how_many_and_how_long_and_can_have_none() -> None:
    play = Play()
    play.tell(PolicyChanged(PolicySettings(breaker_failures=1, breaker_seconds=5.0)))
    play.fails(LOST)
    play.task()
    assert play.wait(4.9) == []
    assert play.wait(0.2) == [SICK]
    play.fails(LOST)
    play.task()
    assert play.tell(PolicyChanged(PolicySettings(breaker_failures=0))) == [SICK]
    play.fails(LOST, LOST, LOST)
    assert not play.core.open_breakers(play.clock())


def test_who_waits_is_told() -> None:
    play = Play()
    play.fails(LOST, LOST, LOST)
    play.task()
    said = play.core.explain(Key("default", f"t{play.made}"), play.clock())
    assert said is not None
    assert said.rejected == {"breaker": 1, "busy": 1}


def test_so_many_instances_that_none_can_be_remembered_are_let_in_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfymesh.scheduler.domain.breaker._MOST", 1)
    play = Play(SICK, WELL)
    play.fails(LOST, LOST, LOST)
    play.ends(LOST, place=WELL)
    assert not play.core.open_breakers(play.clock())


def test_who_waits_for_nothing_but_breakers_is_told_until_when() -> None:
    play = Play()
    play.fails(LOST, LOST, LOST)
    play.tell(NodeReported(Report("other-0", "1", open=True, instances={"x": Instance("x", READY, 1, "")})))
    play.task()
    said = play.core.explain(Key("default", f"t{play.made}"), play.clock())
    assert said is not None
    assert said.rejected == {"breaker": 1, "catalog": 1}
    assert "breaker open until 22:13:50 UTC" in said.reason


def test_with_nowhere_else_to_go_one_at_a_time_may_try_at_once() -> None:
    play = Play(others=0)
    play.fails(LOST, LOST, LOST)
    assert [play.task(), play.task()] == [[SICK], []]


def test_no_more_than_half_of_the_fleet_is_kept_from_tasks() -> None:
    play = Play(SICK, WELL, others=0)
    for place in (SICK, WELL):
        for _ in range(3):
            play.ends(LOST, place=place)
    assert len(play.core.open_breakers(play.clock())) == 1
    assert [bool(play.task()), bool(play.task())] == [True, False]


def test_an_instance_that_is_left_alone_may_try_though_its_time_is_not_over() -> None:
    play = Play(SICK, WELL, others=0)
    play.fails(LOST, LOST, LOST)
    play.report(WELL, slots=0)
    assert play.task() == []
    assert play.tell(NodeReported(Report("b", "1", open=True))) == [SICK]


ELSEWHERE = {
    "cordoned": Report("b", "1", open=False, instances={"x": Instance("x", READY, 2, "c")}),
    "stopped": Report("b", "1", open=True, instances={"x": Instance("x", InstanceState.STOPPED, 2, "c")}),
    "of another pool": Report("b", "1", open=True, instances={"x": Instance("x", READY, 0, "c", pool="q")}),
}


@pytest.mark.parametrize("other", ELSEWHERE.values(), ids=ELSEWHERE)
def test_what_can_not_serve_instead_does_not_count_as_somewhere_else_to_go(other: Report) -> None:
    play = Play(others=0)
    play.tell(NodeReported(other))
    play.fails(LOST, LOST, LOST)
    assert play.task() == [SICK]


def test_it_opens_once_there_is_somewhere_else_to_go() -> None:
    play = Play(others=0)
    play.fails(LOST, LOST, LOST)
    play.report(WELL, slots=0)
    assert play.core.open_breakers(play.clock()) == {SICK: play.clock() + 30}
    assert play.task() == []
    assert play.wait(31.0) == [SICK]


def test_a_failure_of_what_was_let_in_early_counts() -> None:
    play = Play(others=0)
    play.fails(LOST, LOST, LOST)
    play.ends(LOST)
    play.report(WELL, slots=0)
    assert play.core.open_breakers(play.clock()) == {SICK: play.clock() + 60}


def test_a_restarted_scheduler_keeps_from_tasks_what_the_log_tells_of() -> None:
    play = Play(others=0)
    play.core = Core(report_ttl=1e6, resend_after=1e6)
    play.tell(CatalogRead("c", Catalog({})))
    play.fails(LOST, LOST, LOST)
    play.tell(LogRead())
    for place in (SICK, WELL):
        play.report(place)
    assert play.core.open_breakers(play.clock()) == {SICK: play.clock() + 30}
    assert play.task() == [WELL]


def test_reports_meanwhile_leave_nothing_behind() -> None:
    play = Play()
    play.fails(LOST, LOST, LOST)
    for _ in range(14):
        play.clock.advance(2.0)
        play.report(SICK)
    assert len(play.core._breakers._due) == 1
