"""Who waits for a warm instance though others idle, and when he is looked at again."""

from __future__ import annotations

import pytest

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.decisions import OfferWork
from comfymesh.scheduler.domain.dispatch import Dispatcher
from comfymesh.scheduler.domain.events import CatalogRead, Event, LogRead, NodeReported, Run, TaskChanged, TaskRan, Tick
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Place, Report
from comfymesh.scheduler.domain.offers import Offers
from comfymesh.tasks.record import Key, ModelFile, Requirements, Timing
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.tasks import after, assigned, queued

LOADER = ("CheckpointLoaderSimple", "ckpt_name")
NEEDS = Requirements(models=(ModelFile(*LOADER, "m"),))


class Play:
    """Node `warm` holds a model and is busy with it; `cold` idles. A second task that needs the model waits."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.core = Core(report_ttl=1e6, resend_after=1e6)
        catalog = Catalog.from_object_info(
            {LOADER[0]: {"input": {"required": {LOADER[1]: [["m"], {}]}}, "output": ["MODEL"]}}
        )
        self.tell(CatalogRead("c", catalog))
        self.tell(LogRead())
        self.report("warm", "m")
        first = queued("first", requirements=NEEDS, create_time=self.clock())
        self.tell(TaskChanged(first, 1))
        self.tell(TaskChanged(after(first, assigned("warm")), 2))
        self.report("cold")
        self.clock.advance(5.0)
        assert not self.tell(TaskChanged(queued("second", requirements=NEEDS, create_time=self.clock()), 3))

    def tell(self, event: Event) -> list[Place]:
        decided = self.core.handle(event, self.clock())
        return [decision.place for decision in decided if isinstance(decision, OfferWork)]

    def report(self, node: str, *resident: str) -> list[Place]:
        instance = Instance("x", InstanceState.READY, 1, "c", resident)
        return self.tell(NodeReported(Report(node, "1", open=True, instances={"x": instance})))


def test_an_idle_instance_that_says_that_it_holds_the_models_now_is_given_the_task_at_once() -> None:
    assert Play().report("cold", "m") == [Place("cold", "x")]


def test_what_changes_nothing_of_the_queue_has_nobody_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[object] = []
    looks = Dispatcher._for_family

    def count(self: Dispatcher, family: object, now: float) -> object:
        looked_at.append(family)
        return looks(self, family, now)  # type: ignore[arg-type]

    play = Play()
    monkeypatch.setattr(Dispatcher, "_for_family", count)
    play.report("cold")
    play.report("warm", "m")
    run = Run(Key("t", "other"), "s", 1.0, ("m",), Place("warm", "x"), Timing(0.0, 30.0), succeeded=True)
    play.tell(TaskRan(run))
    assert not looked_at
    play.tell(Tick())
    assert len(looked_at) == 1


def test_a_report_looks_at_offers_to_its_node_alone() -> None:
    offers = Offers()
    for number in range(100):
        offers.make(Key("t", str(number)), Place(f"n{number % 50}", "x"), float(number))
    offers.withdraw(Key("t", "57"))
    closed = Report("n7", "1", open=False)
    kept = dict(offers._offers)
    offers._offers.clear()
    offers._offers[Key("t", "7")] = kept[Key("t", "7")]  # Whoever looks at another fails.
    assert offers.unwelcome(closed, restarted=False) == [Key("t", "7")]
    assert offers.of_node("n7") == [Key("t", "7")]
    offers.withdraw(Key("t", "7"))
    assert offers.of_node("n7") == []
