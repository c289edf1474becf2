"""What the core keeps does not grow with what callers and nodes make up, and what is in use is not forgotten."""

from __future__ import annotations

import pytest

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain import estimates, preemption, vram
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.decisions import Decision, ReadCatalog, TakeBack
from comfymesh.scheduler.domain.estimates import Estimates
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
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Report
from comfymesh.scheduler.domain.placement import _UNUSED_KEPT
from comfymesh.scheduler.domain.vram import Needs
from comfymesh.tasks.events import Started
from comfymesh.tasks.policy import PolicySettings
from comfymesh.tasks.record import Key, Placement, Requirements, Work
from comfymesh.testkit.tasks import NOW, after, assigned, queued

GIB = 2**30


class Play:
    """A core that is told things in turn."""

    def __init__(self, **settings: object) -> None:
        self.core = Core(report_ttl=1e6, resend_after=1e6)
        self.sequence = 0
        self.tell(LogRead())
        self.tell(PolicyChanged(PolicySettings(**settings)))  # type: ignore[arg-type]

    def tell(self, event: Event, now: float = NOW) -> list[Decision]:
        return self.core.handle(event, now)

    def report(self, node: str, catalog: str, vram_bytes: int = 0, slots: int = 1) -> list[Decision]:
        instance = Instance("x", InstanceState.READY, slots, catalog, vram_bytes=vram_bytes)
        return self.tell(NodeReported(Report(node, "1", open=True, instances={"x": instance})))

    def stands(self, record: object) -> list[Decision]:
        self.sequence += 1
        return self.tell(TaskChanged(record, self.sequence))  # type: ignore[arg-type]


def asked(decisions: list[Decision]) -> list[str]:
    return [decision.digest for decision in decisions if isinstance(decision, ReadCatalog)]


def test_catalogs_that_no_instance_has_any_more_are_forgotten_and_asked_for_again() -> None:
    play = Play()
    play.report("steady", "kept")
    play.tell(CatalogRead("kept", Catalog({})))
    for number in range(3 * _UNUSED_KEPT):
        assert asked(play.report("a", f"c{number}")) == [f"c{number}"]
        play.tell(CatalogRead(f"c{number}", Catalog({})))
        play.tell(Tick())
    feasibility = play.core._feasibility
    assert len(feasibility._catalogs) <= _UNUSED_KEPT + 2
    assert feasibility.catalog("kept") is not None
    assert asked(play.report("a", f"c{3 * _UNUSED_KEPT - 2}")) == []
    assert asked(play.report("a", "c0")) == ["c0"]


def test_kinds_of_large_tasks_are_forgotten_though_nothing_is_reserved() -> None:
    play = Play(reserve_after=0.0)
    play.tell(CatalogRead("c", Catalog({})))
    play.report("small", "c", 24 * GIB)
    play.report("large", "c", 80 * GIB)
    for number in range(400):
        wanted = Requirements(placement=Placement(min_vram_bytes=30 * GIB + number))
        key = Key("default", f"t{number}")
        play.stands(queued(key.task_id, requirements=wanted))
        play.sequence += 1
        play.tell(TaskEnded(key, play.sequence))
    assert len(play.core._filters._large) <= 100


def test_a_look_for_who_gives_way_looks_at_so_many_attempts_and_all_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preemption, "_ATTEMPTS_LOOKED_AT", 8)
    play = Play(preempt_after=30.0)
    play.tell(CatalogRead("c", Catalog({})))
    for number in range(41):
        play.report(f"n{number:02}", "c", slots=1 if number < 40 else 2)
    for number in range(42):
        record = after(queued(f"t{number}", create_time=NOW), assigned(f"n{min(number, 40):02}"), now=NOW)
        play.stands(record if number == 41 else after(record, Started(), now=NOW))
    play.stands(queued("urgent", priority=5, create_time=NOW))
    looks = 0
    while not (back := [d for d in play.tell(Tick(), NOW + 31) if isinstance(d, TakeBack)]):
        looks += 1
        assert looks < 10
    assert looks >= 4  # The one that could give way is the 42nd.
    assert [decision.record.key.task_id for decision in back] == ["t41"]


def test_memory_that_is_used_is_not_forgotten_for_being_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vram, "_MOST_MAKES", 4)
    needs = Needs()
    for number in range(20):
        needs.ran((("Old",), ()), "gpu", GIB, GIB // 2)
        needs.ran(((f"New{number}",), ()), "gpu", GIB, GIB // 2)
    assert needs.peak((("Old",), ()), "gpu") == GIB // 2
    assert needs.peak((("New0",), ()), "gpu") == 0


def test_estimates_that_are_used_are_not_forgotten_for_being_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "_MOST_CLASSES", 12)
    known, work = Estimates(), Work("shape", 1.0)
    for number in range(40):
        known.learn_run(("old",), work, "tenant", "gpu", 90.0)
        known.learn_run((f"new-{number}",), work, "tenant", "gpu", 10.0)
    assert known.run(("old",), work, "tenant") > 60.0
    assert (("old",), "shape", "tenant") in known._runs


def test_names_of_gpu_classes_that_nodes_make_up_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "_MOST_GPU_CLASSES", 3)
    learned = Estimates()
    for number in range(20):
        learned.learn_run((), Work("s", 1.0), "t", "first", 10.0)
        learned.learn_run((), Work("s", 1.0), "t", "half as fast", 20.0)
        learned.learn_run((), Work("s", 1.0), "t", f"gpu {number}", 10.0)
    assert len(learned._speeds) == 3
    assert learned.speed("half as fast") > 1.3
