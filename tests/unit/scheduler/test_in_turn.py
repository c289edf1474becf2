"""Who waits for a warm instance though others idle, and when he is looked at again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.decisions import OfferWork
from comfymesh.scheduler.domain.dispatch import Dispatcher
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
from comfymesh.scheduler.domain.lanes import Family, Group, Waiting
from comfymesh.scheduler.domain.offers import Offers
from comfymesh.scheduler.domain.patience import Patient
from comfymesh.scheduler.domain.seats import Seats
from comfymesh.scheduler.domain.spreading import FARTHEST
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.policy import PolicySettings
from comfymesh.tasks.record import Key, ModelFile, Placement, Requirements, TaskRecord, Timing
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.tasks import after, assigned, queued

LOADER = ("CheckpointLoaderSimple", "ckpt_name")
LOAD = 10.0
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
        self.clock.advance(20.0)
        assert not self.tell(TaskChanged(queued("second", requirements=NEEDS, create_time=self.clock()), 3))

    def tell(self, event: Event) -> list[Place]:
        decided = self.core.handle(event, self.clock())
        return [decision.place for decision in decided if isinstance(decision, OfferWork)]

    def report(self, node: str, *resident: str, is_open: bool = True, catalog: str = "c") -> list[Place]:
        instance = Instance("x", InstanceState.READY, 1, catalog, resident)
        return self.tell(NodeReported(Report(node, "1", open=is_open, instances={"x": instance})))

    def until_offered(self) -> list[Place]:
        """Where the second is offered; nowhere, if it waits for longer than `FARTHEST` loads beyond a prediction."""
        for _ in range(int(FARTHEST) + 5):
            self.clock.advance(LOAD)
            if offered := self.tell(Tick()):
                return offered
        return []


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


@pytest.mark.parametrize(("patience", "given"), [(1.5, ["third"]), (3.0, [])])
def test_an_idle_instance_loads_for_who_came_last_if_that_is_beyond_the_patience_that_is_set(
    patience: float, given: list[str]
) -> None:
    """The second has the warm one in 10 s, as long as a load takes; whoever stands behind it would wait for longer."""
    play = Play()
    play.tell(PolicyChanged(PolicySettings(patience=patience)))
    third = queued("third", requirements=NEEDS, create_time=play.clock())
    decided = play.core.handle(TaskChanged(third, 4), play.clock())
    offers = [decision for decision in decided if isinstance(decision, OfferWork)]
    assert [offer.record.key.task_id for offer in offers] == given
    assert all(offer.place.node == "cold" for offer in offers)


@pytest.mark.parametrize(("seconds", "given"), [(25.0, ["third"]), (None, [])])
def test_who_must_begin_before_a_warm_instance_is_free_has_a_load_of_its_own(
    seconds: float | None, given: list[str]
) -> None:
    play = Play()
    third = queued("third", requirements=NEEDS, create_time=play.clock(), start_timeout=seconds)
    decided = play.core.handle(TaskChanged(third, 4), play.clock())
    assert [each.record.key.task_id for each in decided if isinstance(each, OfferWork)] == given


def test_nobody_waits_for_ever_for_a_warm_instance_that_is_not_done_when_it_should_be() -> None:
    play = Play()
    assert not play.tell(Tick())
    assert play.until_offered() == [Place("cold", "x")], "the warm one hangs"


@pytest.mark.parametrize(("is_open", "catalog"), [(False, "c"), (True, "unknown")], ids=["cordoned", "unfit"])
def test_a_warm_instance_that_cannot_have_it_keeps_nobody_waiting_for_another(is_open: bool, catalog: str) -> None:  # noqa: FBT001
    play = Play()
    assert not play.report("idle", "m", is_open=is_open, catalog=catalog)
    assert play.until_offered() == [Place("cold", "x")], "it waits for the other warm one, which hangs"


def test_who_waits_for_a_warm_instance_beside_an_idle_one_is_told_so() -> None:
    play = Play()
    explanation = play.core.explain(queued("second").key, play.clock())
    assert explanation is not None
    assert explanation.reason == "it waits for warm/x, which holds its models; instances that idle would have to load"
    assert explanation.place == Place("warm", "x")


class Crowd:
    """As many model sets as a look at those who wait leaves some out: for each a node that is busy with it, and a task.

    As many others idle.
    """

    SIZE = 12

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.core = Core(report_ttl=40.0, resend_after=1e6)
        files = [f"m{number}" for number in range(self.SIZE)]
        catalog = Catalog.from_object_info(
            {LOADER[0]: {"input": {"required": {LOADER[1]: [files, {}]}}, "output": ["MODEL"]}}
        )
        self.tell(CatalogRead("c", catalog))
        self.tell(LogRead())
        for number in range(self.SIZE):
            self.report(f"warm{number}", f"m{number}")
            first = self.task("first", number)
            self.tell(TaskChanged(first, 2 * number + 1))
            self.tell(TaskChanged(after(first, assigned(f"warm{number}")), 2 * number + 2))
        self.idle()
        self.clock.advance(20.0)
        for number in range(self.SIZE):
            assert not self.tell(TaskChanged(self.task("second", number), 2 * self.SIZE + number + 1))

    def task(self, name: str, number: int) -> TaskRecord:
        needs = Requirements(models=(ModelFile(*LOADER, f"m{number}"),), placement=Placement(pool="p"))
        return queued(f"{name}-{number}", requirements=needs, create_time=self.clock())

    def tell(self, event: Event) -> list[str]:
        decided = self.core.handle(event, self.clock())
        offered = [decision for decision in decided if isinstance(decision, OfferWork)]
        assert all(offer.place.node.startswith("cold") for offer in offered if "second" in offer.record.key.task_id)
        return [offer.record.key.task_id for offer in offered]

    def report(
        self, node: str, *models: str, is_open: bool = True, state: InstanceState = InstanceState.READY, pool: str = "p"
    ) -> list[str]:
        instance = Instance("x", state, 1, "c", models, pool=pool)
        return self.tell(NodeReported(Report(node, "1", open=is_open, instances={"x": instance})))

    def idle(self) -> None:
        for number in range(self.SIZE):
            self.report(f"cold{number}")


def other_models(crowd: Crowd, node: str, model: str) -> list[str]:
    return crowd.report(node, "others")


def unwell(crowd: Crowd, node: str, model: str) -> list[str]:
    return crowd.report(node, model, state=InstanceState.STARTING)


def cordoned(crowd: Crowd, node: str, model: str) -> list[str]:
    return crowd.report(node, model, is_open=False)


def elsewhere(crowd: Crowd, node: str, model: str) -> list[str]:
    return crowd.report(node, model, pool="other")


def without_it(crowd: Crowd, node: str, model: str) -> list[str]:
    return crowd.tell(NodeReported(Report(node, "1", open=True)))


def distrusted(crowd: Crowd, node: str, model: str) -> list[str]:
    offered = []
    for number in range(PolicySettings().breaker_failures):
        failure = FailureClass.DEVICE_FAULT
        run = Run(
            Key("t", f"{node}-{number}"),
            "",
            crowd.clock(),
            (model,),
            Place(node, "x"),
            None,
            succeeded=False,
            failure=failure,
        )
        offered += crowd.tell(TaskRan(run))
    return offered


@pytest.mark.parametrize("turns", [other_models, unwell, cordoned, elsewhere, without_it, distrusted])
def test_who_waits_for_an_instance_that_is_not_to_be_had_any_more_goes_elsewhere_at_once(
    turns: Callable[[Crowd, str, str], list[str]],
) -> None:
    crowd = Crowd()
    for number in reversed(range(crowd.SIZE // 2)):
        assert turns(crowd, f"warm{number}", f"m{number}") == [f"second-{number}"]


def test_who_waits_for_nodes_that_fall_silent_goes_elsewhere_at_once_however_many() -> None:
    crowd = Crowd()
    crowd.clock.advance(15.0)
    crowd.idle()
    crowd.clock.advance(10.0)
    assert len(crowd.tell(Tick())) == crowd.SIZE


def test_another_policy_is_followed_at_once_by_all_who_wait() -> None:
    assert len(Crowd().tell(PolicyChanged(PolicySettings(affinity=False)))) == Crowd.SIZE


def test_instances_that_all_differ_leave_no_fewer_looks_to_those_who_wait() -> None:
    seats = Seats()
    for number in range(500):
        instance = Instance("x", InstanceState.READY, 1, "c", labels={"own": str(number)})
        seats.report(Report(f"n{number}", "1", open=True, instances={"x": instance}))
    patient = Patient(seats, lambda *_: True)
    families = [Family((f"m{number}",)) for number in range(10)]
    for family in families:
        group = Group(Requirements(), family, ())
        group.add(Waiting(Key("t", "task"), 1, group, 0, 0.0))
        patient.add(family)
    assert patient.in_turn(4) == families[:4]


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
