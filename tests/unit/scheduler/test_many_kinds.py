"""Callers can make up as many kinds of tasks as they like. That slows nobody down, and nothing of it stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.unit.scheduler.test_caps import Play

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain import dispatch, placement
from comfymesh.scheduler.domain.events import CatalogRead, NodeReported
from comfymesh.scheduler.domain.filters import Filters
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Report
from comfymesh.scheduler.domain.kinds import Fit
from comfymesh.scheduler.domain.lanes import Family, Group, Waiting
from comfymesh.scheduler.domain.placement import Feasibility
from comfymesh.tasks.record import Key, ModelFile, Placement, Requirements

CATALOG = Catalog.from_object_info(
    {"Loader": {"input": {"required": {"name": [["a", "b", "c"], {}]}}, "output": ["MODEL"], "output_node": False}}
)
LOOKS = 1_000


def needs(*models: str, **wanted: object) -> Requirements:
    return Requirements(
        ("Loader",),
        tuple(ModelFile("Loader", "name", model) for model in models),
        Placement(**wanted),  # type: ignore[arg-type]
    )


KINDS: dict[str, Callable[[int], dict[str, object]]] = {
    "placements": lambda n: {"requirements": needs("a", min_vram_bytes=-n)},
    "placements that nobody has": lambda n: {"requirements": needs("a", min_vram_bytes=n + 1)},
    "placements without models": lambda n: {"requirements": needs(min_vram_bytes=-n)},
    "models that nobody has": lambda n: {"requirements": needs(f"absent{n}")},
    "priorities": lambda n: {"requirements": needs("a"), "priority": n % 201 - 100},
}


class Looks:
    """Counts how often decisions ask where something fits: what they cost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = self.most = 0
        fit = Filters.fit

        def counted(filters: Filters, group: Group) -> Fit:
            self.count += 1
            return fit(filters, group)

        monkeypatch.setattr(Filters, "fit", counted)

    def note(self) -> None:
        self.most, self.count = max(self.most, self.count), 0


def busy() -> Play:
    play = Play(cap=0, slots=1)
    play.tell(CatalogRead("c", CATALOG))
    play.task("first", tenant="u", requirements=needs("a"))
    assert list(play.offered) == ["first"]
    return play


def flood(play: Play, count: int, kind: str) -> None:
    for number in range(count):
        play.task(f"n{number}", **KINDS[kind](number))


def left(play: Play) -> int:
    """How much is kept of kinds of tasks."""
    waiting, dispatcher = play.core._waiting, play.core._dispatcher
    kept = [waiting._groups, waiting._families, dispatcher._standing, dispatcher._fresh, dispatcher._patient]
    kept += [play.core._seats._holders, play.core._seats._families]
    return max(len(each) for each in (*kept, *(seat.families for seat in play.core._seats)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_decision_looks_at_no_more_however_many_there_are(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    play, looks = busy(), Looks(monkeypatch)
    for number in range(2_000):
        play.task(f"n{number}", **KINDS[kind](number))
        looks.note()
    for ended in ["first", *(f"n{number}" for number in range(50))]:
        play.end(ended, "u" if ended == "first" else "t")
        looks.note()
        play.tick()
        looks.note()
    assert 0 < looks.most < LOOKS


@pytest.mark.parametrize("kind", KINDS)
def test_when_they_have_ended_nothing_much_is_left(kind: str) -> None:
    play = busy()
    flood(play, 500, kind)
    for number in range(500):
        play.end(f"n{number}")
    assert left(play) <= 65


def served_before(flooded: Callable[[int], dict[str, object]]) -> int:
    """How many tasks of a flood are served before that of a neighbour who comes behind them."""
    play = busy()
    for number in range(300):
        play.task(f"n{number}", **flooded(number))
    play.task("neighbour", tenant="v", requirements=needs("a"))
    ended, count = "first", -1
    while ended != "neighbour":
        play.clock.advance(30.0)
        play.end(ended, "u" if ended == "first" else "t")
        (ended,) = play.offered
        count += 1
    return count


@pytest.mark.parametrize("kind", KINDS)
def test_a_neighbour_is_served_as_soon_as_if_they_were_all_of_one_kind(kind: str) -> None:
    assert served_before(KINDS[kind]) <= served_before(lambda _: {"requirements": needs("a")}) + 1


def test_all_of_one_tenants_are_served_in_the_end() -> None:
    play = busy()
    flood(play, 300, "placements")
    play.end("first", "u")
    for _ in range(300):
        (ended,) = play.offered
        play.end(ended)
    assert not play.offered


@pytest.mark.parametrize("count", [1, 4, 8, 100])
def test_tasks_that_fit_nowhere_keep_no_gpu_from_loading_for_others(count: int) -> None:
    play = busy()
    flood(play, count, "models that nobody has")
    play.clock.advance(3600.0)
    play.task("other", tenant="v", requirements=needs("b"))
    play.end("first", "u")
    for _ in range(count // 4 + 1):
        play.tick()
    assert list(play.offered) == ["other"]


def test_a_task_does_not_wait_for_an_instance_that_it_does_not_want() -> None:
    play = Play(cap=0, slots=0)
    play.tell(CatalogRead("c", CATALOG))

    def report(node: str, pool: str, model: str) -> None:
        instance = Instance("x", InstanceState.READY, 1, "c", pool=pool, resident=(model,))
        play.tell(NodeReported(Report(node, "1", open=True, instances={"x": instance})))

    report("holder", "red", "a")
    for number in range(6):
        report(f"busy{number}", "blue", "b")
        play.task(f"busy{number}", requirements=needs("b", pool="blue"))
    report("idle", "blue", "c")
    assert play.task("blue", requirements=needs("a", pool="blue")) == ["blue"]


@pytest.mark.parametrize("asked", [1, 1_000])
def test_it_finds_the_only_instance_that_fits_among_many_with_room(asked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_FITS_ASKED", asked)
    play = Play(cap=0, slots=0)
    for number in range(60):
        instance = Instance("x", InstanceState.READY, 1, "c", pool="blue" if number == 50 else "red")
        play.tell(NodeReported(Report(f"n{number}", "1", open=True, instances={"x": instance})))
    offered = play.task("blue", requirements=Requirements(placement=Placement(pool="blue")))
    assert "blue" in [*offered, *(made for _ in range(4) for made in play.tick())]


@pytest.mark.parametrize("closed", [{"open": False}, {"state": InstanceState.DOWN}])
def test_a_task_does_not_wait_for_an_instance_that_takes_no_work(closed: dict[str, object]) -> None:
    play = Play(cap=0, slots=0)
    play.tell(CatalogRead("c", CATALOG))

    def report(node: str, model: str, state: object = InstanceState.READY, *, open: object = True) -> None:  # noqa: A002
        instance = Instance("x", state, 1, "c", resident=(model,))  # type: ignore[arg-type]
        play.tell(NodeReported(Report(node, "1", open=open, instances={"x": instance})))  # type: ignore[arg-type]

    report("holder", "a", **closed)  # type: ignore[arg-type]
    for number in range(6):
        report(f"busy{number}", "b")
        play.task(f"busy{number}", requirements=needs("b"))
    report("idle", "c")
    assert play.task("one", requirements=needs("a")) == ["one"]


def test_what_is_offered_again_is_known_again_though_its_kind_was_forgotten() -> None:
    play = Play(cap=0, slots=1)
    play.tell(CatalogRead("c", CATALOG))
    assert play.task("offered", requirements=needs("a", min_vram_bytes=-1000)) == ["offered"]
    flood(play, 100, "models that nobody has")
    for number in range(100):
        play.end(f"n{number}")
    assert needs("a", min_vram_bytes=-1000) not in play.core._waiting._groups
    play.core._put_back([Key("t", "offered")], play.clock())
    assert play.tick() == ["offered"]
    assert left(play) <= 65


def test_of_too_many_lanes_each_tenant_gets_as_many_looked_at() -> None:
    family = Family(())
    for number in range(200):
        group = Group(needs(min_vram_bytes=number), family, ())
        group.add(Waiting(Key("many", str(number)), number, group, 0, 0.0))
    few = Group(needs(), family, ())
    few.add(Waiting(Key("few", "one"), 201, few, 0, 0.0))
    looked_at = [family.some_lanes() for _ in range(13)]
    assert all(any(lane.group is few for lane in lanes) for lanes in looked_at)
    assert max(map(len, looked_at)) <= 32
    assert {lane for lanes in looked_at for lane in lanes} == set(family.lanes)


def test_what_is_known_of_requirements_is_bounded_and_does_not_depend_on_placement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(placement, "_MOST_KNOWN", 10)
    feasibility = Feasibility()
    feasibility.learn("c", CATALOG)
    for number in range(50):
        assert feasibility.can_run("c", needs("a", min_vram_bytes=number))
    assert len(feasibility._known) == 1
    for number in range(50):
        assert not feasibility.can_run("c", needs(f"absent{number}"))
    assert len(feasibility._known) == 10
