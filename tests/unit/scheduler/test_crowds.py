"""A crowd that waits for what is busy, or away, does not hold up those that an idle instance could run."""

from __future__ import annotations

import pytest

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain import patience
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.decisions import OfferWork
from comfymesh.scheduler.domain.events import CatalogRead, Event, LogRead, NodeReported, TaskChanged, TaskEnded, Tick
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Report
from comfymesh.tasks.record import Key, ModelFile, Placement, Requirements
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.tasks import queued

CROWD = 300


class Play:
    """A core, pool `a` that takes nothing, and pool `b` of one instance."""

    def __init__(self) -> None:
        models = [*(f"m{number}" for number in range(CROWD)), "mine", "before"]
        info = {"L": {"input": {"required": {"m": [models]}}, "output": [], "output_node": True}}
        self.clock = ManualClock()
        self.core = Core(report_ttl=1e6, resend_after=1e6)
        self.sequence = 0
        self.tell(CatalogRead("c", Catalog.from_object_info(info)))
        self.tell(LogRead())

    def tell(self, event: Event) -> list[str]:
        self.clock.advance(0.001)
        decided = self.core.handle(event, self.clock())
        return [decision.record.key.task_id for decision in decided if isinstance(decision, OfferWork)]

    def report(self, pool: str, *, slots: int = 1, is_open: bool = True) -> list[str]:
        instances = {"x": Instance("x", InstanceState.READY, slots, "c", pool=pool)}
        return self.tell(NodeReported(Report(pool, "1", open=is_open, instances=instances)))

    def task(self, name: str, model: str, pool: str) -> list[str]:
        self.sequence += 1
        needs = Requirements(("L",), (ModelFile("L", "m", model),), Placement(pool=pool))
        return self.tell(TaskChanged(queued(name, requirements=needs, create_time=self.clock()), self.sequence))

    def end(self, name: str) -> list[str]:
        self.sequence += 1
        return self.tell(TaskEnded(Key("default", name), self.sequence))


@pytest.mark.parametrize(("is_open", "slots"), [(False, 1), (True, 0)], ids=["cordoned", "busy"])
def test_a_free_instance_is_given_work_at_once_whatever_waits_for_another_pool(is_open: bool, slots: int) -> None:  # noqa: FBT001
    play = Play()
    play.report("a", is_open=is_open, slots=slots)
    play.report("b")
    for number in range(CROWD):
        play.task(f"t{number}", f"m{number}", "a")
    play.clock.advance(600)
    assert play.task("before", "before", "b") == ["before"]
    assert play.task("mine", "mine", "b") == []
    assert play.end("before") == ["mine"]


def test_a_crowd_is_asked_once_and_then_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play()
    play.report("a", slots=0)
    play.report("b")
    for number in range(CROWD):
        play.task(f"t{number}", f"m{number}", "a")
    play.tell(Tick())
    asked: list[object] = []
    patient = play.core._dispatcher._patient
    fits = patient._fits
    monkeypatch.setattr(patient, "_fits", lambda family, kind: asked.append(family) or fits(family, kind))
    for _ in range(50):
        play.tell(Tick())
    assert asked == []


def test_those_set_aside_come_back_with_the_instances_that_suit_them() -> None:
    play = Play()
    play.report("a", slots=0)
    play.report("b")
    for number in range(3):
        play.task(f"t{number}", f"m{number}", "a")
    assert len(play.report("a", slots=1)) == 1


def test_a_decision_asks_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_ASKED", 10)
    play = Play()
    play.report("a", slots=0)
    play.report("b")
    for number in range(CROWD):
        play.task(f"t{number}", f"m{number}", "a")
    asked: list[object] = []
    patient = play.core._dispatcher._patient
    fits = patient._fits
    monkeypatch.setattr(patient, "_fits", lambda family, kind: asked.append(family) or fits(family, kind))
    patient._version = (0, 0)  # All are recalled.
    play.tell(Tick())
    assert 0 < len(asked) <= 10
