"""Tasks go where there is memory enough for them, and small ones do not keep large ones out for ever."""

from __future__ import annotations

import pytest

from comfymesh.graphs import Catalog
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
    TaskEnded,
    TaskRan,
    Tick,
)
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Place, Report
from comfymesh.scheduler.domain.views import Explanation
from comfymesh.scheduler.domain.vram import make_of
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.policy import PolicySettings
from comfymesh.tasks.record import Key, Placement, Requirements, Timing
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.tasks import after, assigned, queued

GIB = 2**30
CATALOG = Catalog.from_object_info(
    {name: {"input": {}, "output": [], "output_node": True} for name in ("Little", "Large", "Tiny")}
)
SMALL, BIG = Place("a", "small"), Place("a", "big")
LARGE, LITTLE, TINY = Requirements(("Large",)), Requirements(("Little",)), Requirements(("Tiny",))
TENANT = "default"


class Play:
    """A core with a node that has the instances which a test wants."""

    def __init__(self, *instances: Instance) -> None:
        self.clock = ManualClock()
        self.core = Core(report_ttl=1e6, resend_after=1e6)
        self.at: dict[str, Place] = {}
        self.sequence = 0
        self.tell(CatalogRead("c", CATALOG))
        self.tell(LogRead())
        self.report(*instances)

    def report(self, *instances: Instance) -> None:
        named = {instance.name: instance for instance in instances}
        self.tell(NodeReported(Report("a", "1", open=True, instances=named)))

    def tell(self, event: Event) -> dict[str, Place]:
        made = [d for d in self.core.handle(event, self.clock()) if isinstance(d, OfferWork)]
        offered = {decision.record.key.task_id: decision.place for decision in made}
        self.at |= offered
        return offered

    def task(self, name: str, requirements: Requirements = LITTLE, **changes: object) -> Place | None:
        self.sequence += 1
        self.tell(
            TaskChanged(queued(name, requirements=requirements, create_time=self.clock(), **changes), self.sequence)
        )
        return self.at.get(name)

    def ends(self, name: str) -> dict[str, Place]:
        self.sequence += 1
        return self.tell(TaskEnded(Key(TENANT, name), self.sequence))

    def ran(
        self, at: Place, of: Requirements = LARGE, peak: int = 0, gpu: str = "", *, failure: FailureClass | None = None
    ) -> None:
        timing = Timing(0.0, 10.0, gpu_class=gpu, peak_vram_bytes=peak)
        key, make = Key(TENANT, "earlier"), make_of(of)
        self.tell(TaskRan(Run(key, "", 1.0, (), at, timing, failure is None, failure, self.clock(), make)))

    def runs_out(self, at: Place, times: int = 2) -> None:
        for _ in range(times):
            self.ran(at, failure=FailureClass.OUT_OF_MEMORY)

    def wait(self, seconds: float) -> dict[str, Place]:
        self.clock.advance(seconds)
        return self.tell(Tick())

    def said(self, name: str) -> Explanation:
        said = self.core.explain(Key(TENANT, name), self.clock())
        assert said is not None
        return said


def instance(name: str, gib: int, gpu: str = "", slots: int = 1) -> Instance:
    return Instance(name, InstanceState.READY, slots, "c", gpu_class=f"g{gib}", vram_bytes=gib * GIB, gpu=gpu)


def two_sizes(slots: int = 1) -> Play:
    return Play(instance("small", 24, slots=slots), instance("big", 80, slots=slots))


def shared() -> Play:
    """Two instances on one GPU."""
    play = Play(instance("x", 24, "GPU-1"), instance("y", 24, "GPU-1"))
    play.ran(Place("a", "x"), LITTLE, 8 * GIB, "g24")
    play.ran(Place("a", "x"), LARGE, 20 * GIB, "g24")
    return play


# What graphs have run out of


def test_what_ran_out_of_memory_twice_goes_where_there_is_more() -> None:
    play = two_sizes(slots=2)
    play.runs_out(SMALL)
    assert [play.task(name, LARGE) for name in ("one", "two", "three")] == [BIG, BIG, None]
    assert play.task("other", LITTLE) == SMALL
    assert play.said("three").rejected == {"vram_learned": 1, "busy": 1}


def test_once_is_not_believed() -> None:
    play = two_sizes()
    play.runs_out(SMALL, 1)
    assert {play.task("one", LARGE), play.task("two", LARGE)} == {SMALL, BIG}


def test_a_success_with_less_proves_it_wrong() -> None:
    play = two_sizes()
    play.runs_out(SMALL)
    play.ran(SMALL)
    assert {play.task("one", LARGE), play.task("two", LARGE)} == {SMALL, BIG}


def test_where_nobody_has_more_it_is_tried_all_the_same() -> None:
    play = two_sizes()
    play.runs_out(SMALL)
    play.runs_out(BIG)
    assert {play.task("one", LARGE), play.task("two", LARGE)} == {SMALL, BIG}


def test_a_task_that_waits_for_more_gets_what_is_there_when_that_goes() -> None:
    play = two_sizes()
    play.runs_out(SMALL)
    assert play.task("one", LARGE) == BIG
    play.report(instance("small", 24))
    assert play.at["one"] == SMALL


def test_unknown_memory_is_neither_enough_nor_too_little() -> None:
    play = Play(Instance("small", InstanceState.READY, 1, "c"))
    play.runs_out(SMALL)
    assert play.task("one", LARGE) == SMALL


# GPUs that instances share


def test_on_a_shared_gpu_tasks_run_side_by_side_as_far_as_memory_goes() -> None:
    play = shared()
    first = play.task("one")
    assert first is not None
    assert play.task("large", LARGE) is None
    assert play.said("large").rejected == {"busy": 1, "vram_in_use": 1}
    assert play.task("two") not in {None, first}


def test_when_one_has_ended_there_is_room_for_another() -> None:
    play = shared()
    play.task("one")
    play.task("large", LARGE)
    assert list(play.ends("one")) == ["large"]
    assert play.task("two") is None
    assert list(play.ends("large")) == ["two"]


def test_what_needs_more_than_there_is_has_the_gpu_alone() -> None:
    play = shared()
    play.ran(Place("a", "x"), LARGE, 30 * GIB, "g24")
    assert play.task("large", LARGE) is not None
    assert play.task("one") is None


def test_a_node_that_tells_an_absurd_peak_does_not_end_sharing_for_long() -> None:
    """It counts as all of the GPU, from which it comes down within some runs; as told it took hundreds."""
    play = shared()
    play.ran(Place("a", "x"), LITTLE, 2**61, "g24")
    for _ in range(12):
        play.ran(Place("a", "x"), LITTLE, 8 * GIB, "g24")
    assert {play.task("one"), play.task("two")} == {Place("a", "x"), Place("a", "y")}


def side_by_side() -> tuple[Instance, Instance]:
    return instance("x", 24, "GPU-1"), instance("y", 24, "GPU-1")


def test_a_restarted_scheduler_knows_what_takes_up_memory() -> None:
    play = Play()
    play.core = Core(report_ttl=1e6, resend_after=1e6)
    play.tell(CatalogRead("c", CATALOG))
    play.sequence += 1
    held = after(queued("held", requirements=LARGE), assigned("a", "x"), now=play.clock())
    play.tell(TaskChanged(held, play.sequence))
    play.ran(Place("a", "x"), LARGE, 20 * GIB, "g24")
    play.tell(LogRead())
    play.report(*side_by_side())
    assert play.task("second", LARGE) is None
    assert list(play.ends("held")) == ["second"]


def test_an_instance_that_was_away_still_takes_up_memory() -> None:
    play = shared()
    play.sequence += 1
    held = after(queued("held", requirements=LARGE), assigned("a", "x"), now=play.clock())
    play.tell(TaskChanged(held, play.sequence))
    play.report(side_by_side()[1])
    play.report(*side_by_side())
    assert play.task("second", LARGE) is None


# Reservations


def passed_over(play: Play) -> None:
    """A large task has been passed over for long, and another small one waits."""
    play.task("s0")
    play.task("s1")
    play.task("large", LARGE)
    play.task("s2", priority=1)
    assert list(play.ends("s0")) == ["s2"]
    play.wait(200.0)
    play.task("s3", priority=1)


@pytest.mark.parametrize("reserve_after", [60.0, 0.0])
def test_small_tasks_do_not_keep_a_large_one_out_for_ever(reserve_after: float) -> None:
    play = shared()
    play.tell(PolicyChanged(PolicySettings(reserve_after=reserve_after)))
    play.task("s0")
    play.task("s1")
    play.task("large", LARGE)
    for number in range(2, 60):
        play.task(f"s{number}", priority=1)
        play.wait(5.0)
        play.ends(f"s{number - 2}")
    assert ("large" in play.at) is bool(reserve_after)


def test_others_get_in_beside_it_meanwhile() -> None:
    play = shared()
    play.ran(Place("a", "x"), TINY, 3 * GIB, "g24")
    passed_over(play)
    play.task("tiny", TINY, priority=-1)
    assert list(play.ends("s1")) == ["tiny"]
    assert list(play.ends("s2")) == ["large"]


def test_a_reservation_ends_though_its_task_has_not_begun() -> None:
    play = shared()
    play.tell(PolicyChanged(PolicySettings(reserve_seconds=30.0)))
    passed_over(play)
    assert play.ends("s1") == {}
    assert list(play.wait(31.0)) == ["s3"]


def test_a_reservation_ends_with_its_task() -> None:
    play = shared()
    passed_over(play)
    assert play.ends("s1") == {}
    assert play.ends("large") == {}
    assert list(play.wait(1.0)) == ["s3"]


@pytest.mark.parametrize("gone", ["x", "y"])
def test_a_reservation_ends_with_its_instance_though_others_stay_on_the_gpu(gone: str) -> None:
    play = shared()
    passed_over(play)
    left = instance({"x": "y", "y": "x"}[gone], 24, "GPU-1")
    play.report(left)
    for name in ("s1", "s2", "large", "s3"):
        play.ends(name)
    play.wait(1.0)
    assert play.task("new", TINY) == Place("a", left.name)


def test_the_only_instance_that_is_large_enough_is_kept_for_a_large_task() -> None:
    play = two_sizes()
    wants = Requirements(LITTLE.node_classes, (), Placement(min_vram_bytes=40 * GIB))
    play.task("s0", priority=1)
    play.task("s1", priority=1)
    play.task("large", wants)
    play.wait(200.0)
    for number in range(2, 6):
        play.task(f"s{number}", priority=1)
    on_big = next(name for name, place in play.at.items() if place == BIG)
    assert play.ends(on_big) == {"large": BIG}


def test_who_fits_everywhere_has_nothing_kept_for_it_by_saying_that_it_needs_memory() -> None:
    play = Play(instance("small", 24))
    play.task("s0", priority=1)
    play.task("sly", Requirements(LITTLE.node_classes, (), Placement(min_vram_bytes=1)))
    play.wait(200.0)
    play.task("s1", priority=9)
    assert list(play.ends("s0")) == ["s1"]
