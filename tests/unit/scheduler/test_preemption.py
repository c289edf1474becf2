"""A task of high priority that waits too long has one of lower priority give way."""

from __future__ import annotations

import pytest

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.decisions import Decision, OfferWork, TakeBack
from comfymesh.scheduler.domain.events import CatalogRead, LogRead, NodeReported, PolicyChanged, TaskChanged, Tick
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Report
from comfymesh.scheduler.domain.preemption import MOST_TIMES
from comfymesh.tasks.events import Event, Released, Started, Succeeded
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.policy import PolicySettings, TenantPolicy
from comfymesh.tasks.record import Key, Placement, Requirements, TaskRecord
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.tasks import after, assigned, failed, queued


class Play:
    """A core with nodes of one instance each, which look one task ahead."""

    def __init__(self, *nodes: str, slots: int = 2, **settings: object) -> None:
        self.clock = ManualClock()
        self.core = Core(report_ttl=1e6, resend_after=1e6)
        self.sequence = 0
        self.records: dict[str, TaskRecord] = {}
        self.tell(CatalogRead("c", Catalog({})))
        self.tell(LogRead())
        self.tell(PolicyChanged(PolicySettings(**settings)))  # type: ignore[arg-type]
        for node in nodes or ("a",):
            instances = {"x": Instance("x", InstanceState.READY, slots, "c")}
            self.tell(NodeReported(Report(node, "1", open=True, instances=instances, labels={"node": node})))

    def tell(self, event: object) -> list[Decision]:
        return self.core.handle(event, self.clock())  # type: ignore[arg-type]

    def stands(self, record: TaskRecord) -> list[Decision]:
        self.sequence += 1
        self.records[record.key.task_id] = record
        return self.tell(TaskChanged(record, self.sequence))

    def task(self, name: str, priority: int = 0, **changes: object) -> list[Decision]:
        return self.stands(queued(name, priority=priority, create_time=self.clock(), **changes))

    def becomes(self, name: str, *happened: Event) -> list[Decision]:
        return self.stands(after(self.records[name], *happened, now=self.clock()))

    def claimed(self, name: str, node: str = "a", *happened: Event, priority: int = 0) -> None:
        self.task(name, priority)
        self.becomes(name, assigned(node), *happened)

    def wait(self, seconds: float) -> list[str]:
        self.clock.advance(seconds)
        return said(self.tell(Tick()))


def said(decisions: list[Decision]) -> list[str]:
    words = {TakeBack: "back", OfferWork: "offer"}
    return [
        f"{words[type(decision)]} {decision.record.key.task_id}"
        for decision in decisions
        if isinstance(decision, TakeBack | OfferWork)
    ]


def busy(**settings: object) -> Play:
    """One runs, one has been given to look ahead, and an urgent one waits."""
    play = Play(**settings)
    play.claimed("runs", "a", Started())
    play.claimed("ahead")
    assert said(play.task("urgent", 5)) == []
    return play


def test_work_that_has_not_begun_gives_way_once_it_has_waited_too_long() -> None:
    play = busy()
    assert play.wait(29.0) == []
    assert play.wait(2.0) == ["back ahead", "offer urgent"]
    assert said(play.becomes("urgent", assigned())) == []
    assert said(play.becomes("ahead", Released("preempted", counts=False))) == []
    assert said(play.becomes("runs", Succeeded(()))) == ["offer ahead"]


def test_what_runs_does_not() -> None:
    play = Play(slots=1)
    play.claimed("runs", "a", Started())
    play.task("urgent", 5)
    assert play.wait(1000.0) == []


def test_where_it_may_the_one_that_began_last_gives_way() -> None:
    play = Play("a", "b", slots=1, preempt_running=True)
    play.claimed("first", "a", Started())
    play.clock.advance(10.0)
    play.claimed("second", "b", Started())
    play.task("urgent", 5)
    assert play.wait(31.0) == ["back second", "offer urgent"]
    assert said(play.becomes("second", failed(FailureClass.PREEMPTED))) == []


def test_look_ahead_work_gives_way_before_what_runs() -> None:
    assert busy(preempt_running=True).wait(31.0) == ["back ahead", "offer urgent"]


@pytest.mark.parametrize("priority", [0, -5])
def test_no_task_of_ordinary_priority_has_others_give_way(priority: int) -> None:
    play = Play()
    play.claimed("runs", "a", Started(), priority=-9)
    play.claimed("ahead", priority=-9)
    play.task("patient", priority)
    assert play.wait(1000.0) == []


@pytest.mark.parametrize("priority", [5, 6])
def test_nobody_gives_way_to_an_equal(priority: int) -> None:
    play = Play()
    play.claimed("runs", "a", Started(), priority=priority)
    play.claimed("ahead", priority=priority)
    play.task("urgent", 5)
    assert play.wait(1000.0) == []


def test_the_lowest_gives_way_first() -> None:
    play = Play(slots=3)
    play.claimed("runs", "a", Started())
    play.claimed("mid", priority=1)
    play.claimed("low", priority=-1)
    play.task("urgent", 5)
    assert play.wait(31.0) == ["back low", "offer urgent"]


def test_only_where_it_fits() -> None:
    play = Play("a", "b")
    for node in ("a", "b"):
        play.claimed(f"runs-{node}", node, Started())
        play.claimed(f"ahead-{node}", node)
    play.task("urgent", 5, requirements=Requirements(placement=Placement(labels=(("node", "b"),))))
    assert play.wait(31.0) == ["back ahead-b", "offer urgent"]


def test_operators_can_do_without() -> None:
    assert busy(preempt_after=0.0).wait(1e6) == []


def test_a_node_that_may_not_have_heard_is_told_again_for_a_while() -> None:
    play = busy()
    play.wait(31.0)
    play.becomes("urgent", assigned())
    assert play.wait(1.0) == ["back ahead"]
    assert play.wait(10.0) == []


def test_one_that_began_meanwhile_is_left_alone() -> None:
    play = busy()
    play.wait(31.0)
    play.becomes("urgent", assigned())
    play.becomes("runs", Succeeded(()))
    play.becomes("ahead", Started())
    assert play.wait(11.0) == []


def test_a_task_gives_way_only_so_often() -> None:
    play = Play()
    play.claimed("runs", "a", Started())
    play.claimed("ahead")
    for number in range(MOST_TIMES):
        play.task(f"urgent{number}", 5)
        assert play.wait(31.0) == ["back ahead", f"offer urgent{number}"]
        play.becomes(f"urgent{number}", assigned())
        play.becomes("ahead", Released("preempted", counts=False))
        assert said(play.becomes(f"urgent{number}", Succeeded(()))) == ["offer ahead"]
        play.becomes("ahead", assigned())
    play.task("urgent", 5)
    assert play.wait(31.0) == []


def test_a_standby_takes_nothing_back() -> None:
    play = Play()
    play.core = Core(report_ttl=1e6, resend_after=1e6)
    play.claimed("runs", "a", Started())
    play.claimed("ahead")
    play.task("urgent", 5)
    assert play.wait(31.0) == []


@pytest.mark.parametrize("cap", [1, 2])
def test_nobody_gives_way_to_what_its_tenants_cap_forbids(cap: int) -> None:
    nodes = "abcdefgh"
    play = Play(*nodes, preempt_after=30.0, tenants={"t": TenantPolicy(max_running=cap)})
    for node in nodes:
        play.claimed(f"runs-{node}", node, Started())
        play.claimed(f"ahead-{node}", node)
    for number in range(8):
        play.task(f"urgent-{number}", 1 + number, key=Key("t", f"urgent-{number}"))
    offered = [word for _ in range(3) for word in play.wait(31.0) if word.startswith("offer")]
    assert len(offered) == cap


def test_many_of_the_lowest_priority_that_can_not_give_way_do_not_hide_one_that_can() -> None:
    play = Play("a", "b", slots=2)
    play.claimed("runs", "a", Started(), priority=1)
    play.claimed("ahead", "a", priority=1)
    for number in range(600):
        play.claimed(f"other{number}", "b", Started())
    play.task("urgent", 5)
    assert "back ahead" in play.wait(31.0)
