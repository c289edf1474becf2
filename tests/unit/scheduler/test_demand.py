"""What nodes with pools are told of what waits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.demand import Told
from comfymesh.scheduler.domain.events import CatalogRead, Leading, LogRead, NodeReported, TaskChanged
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Report
from comfymesh.tasks.record import Placement, Requirements, TaskRecord
from comfymesh.testkit.tasks import NOW, queued

READY, STARTING, STOPPED, DOWN = (
    InstanceState.READY,
    InstanceState.STARTING,
    InstanceState.STOPPED,
    InstanceState.DOWN,
)
LATER = NOW + 5


def report(node: str, *states: InstanceState, pool: str = "p", available: bool = True, slots: int = 1) -> NodeReported:
    instances = {
        f"{pool}-{number}": Instance(f"{pool}-{number}", state, slots, "c", pool=pool, labels={"tier": pool})
        for number, state in enumerate(states)
    }
    return NodeReported(Report(node, "1", open=available, instances=instances))


def task(name: str, placement: Placement | None = None) -> TaskRecord:
    record = queued(name)
    definition = replace(record.definition, requirements=Requirements(placement=placement or Placement()))
    return replace(record, definition=definition)


def told(*reports: NodeReported, tasks: int = 1, placement: Placement | None = None, now: float = LATER) -> Told:
    core = Core(report_ttl=8.0, resend_after=4.0)
    for event in (CatalogRead("c", Catalog.from_object_info({})), LogRead(), *reports):
        core.handle(event, NOW)
    for number in range(tasks):
        core.handle(TaskChanged(task(f"t{number}", placement), number + 1), NOW)
    return core.demand(now)


def counts(answer: Told) -> dict[str, dict[str, int]]:
    return {node: {pool: demand.count for pool, demand in pools.items()} for node, pools in answer.items()}


def test_what_a_stopped_pool_could_run_is_told_to_it() -> None:
    answer = told(report("a", STOPPED))
    assert counts(answer) == {"a": {"p": 1}}
    demand = answer["a"]["p"]
    assert (demand.oldest, demand.served, demand.seconds > 0) == (5.0, False, True)


def test_one_task_is_told_to_one_of_many_nodes_and_to_the_same_again() -> None:
    reports = [report(node, STOPPED) for node in "abc"]
    assert counts(told(*reports)) == {"a": {"p": 1}, "b": {}, "c": {}}
    assert counts(told(*reports, now=LATER + 5)) == {"a": {"p": 1}, "b": {}, "c": {}}


def test_who_starts_one_already_is_told_of_it_and_nobody_else() -> None:
    assert counts(told(report("a", STOPPED), report("b", STARTING))) == {"a": {}, "b": {"p": 1}}


def test_a_start_that_hangs_does_not_keep_others_from_starting() -> None:
    answers = [told(report("a", STARTING), report("b", STOPPED), now=NOW + waited) for waited in (5, 299, 301, 86_400)]
    mine, others = {"a": {"p": 1}, "b": {}}, {"a": {}, "b": {"p": 1}}
    assert [counts(answer) for answer in answers] == [mine, mine, others, others]


def test_much_is_dealt_out_to_many() -> None:
    answer = counts(told(*[report(node, STOPPED) for node in "abc"], tasks=1000))
    assert sum(pools["p"] for pools in answer.values()) == 1000
    assert answer["a"] == answer["b"]


@pytest.mark.parametrize(
    ("reports", "served"),
    [
        ([report("a", STOPPED, READY)], True),
        ([report("a", STOPPED), report("b", READY, pool="q")], True),
        ([report("a", STOPPED), report("b", DOWN)], False),
        ([report("a", STOPPED), report("b", READY, available=False)], False),
    ],
)
def test_whether_others_could_serve_it_in_time_is_told(reports: list[NodeReported], served: bool) -> None:  # noqa: FBT001
    # The first ones are taken by the instances that run.
    answer = told(*reports, tasks=3)
    assert answer["a"]["p"].served is served


@pytest.mark.parametrize(
    ("reports", "placement"),
    [
        ([report("a", DOWN)], None),
        ([report("a", STOPPED, available=False)], None),
        ([report("a", STOPPED, pool="")], None),
        ([report("a", STOPPED)], Placement(pool="q")),
        ([report("a", STOPPED)], Placement(labels=(("tier", "q"),))),
    ],
)
def test_what_a_pool_could_not_run_or_start_is_not_told_to_it(
    reports: list[NodeReported], placement: Placement | None
) -> None:
    assert not any(told(*reports, placement=placement).values())


@pytest.mark.parametrize("placement", [Placement(pool="p"), Placement(labels=(("tier", "p"),))])
def test_who_asks_for_a_pool_or_its_label_is_told_to_it(placement: Placement) -> None:
    assert counts(told(report("a", STOPPED), report("b", STOPPED, pool="q"), placement=placement)) == {
        "a": {"p": 1},
        "b": {},
    }


def test_what_may_be_offered_in_a_moment_is_not_told() -> None:
    assert counts(told(report("a", STOPPED), now=NOW + 0.5)) == {"a": {}}


def test_who_does_not_act_tells_nothing() -> None:
    core = Core(report_ttl=8.0, resend_after=4.0)
    for event in (LogRead(), report("a", STOPPED), Leading(leading=False)):
        core.handle(event, NOW)
    assert core.demand(LATER) == {}


def test_a_task_that_waits_for_a_pool_is_told_so() -> None:
    core = Core(report_ttl=8.0, resend_after=4.0)
    for event in (
        CatalogRead("c", Catalog.from_object_info({})),
        LogRead(),
        report("a", STOPPED, DOWN),
        TaskChanged(task("t"), 1),
    ):
        core.handle(event, NOW)
    said = core.explain(task("t").key, NOW)
    assert said is not None
    assert said.rejected == {"stopped": 1, "not_serving": 1}
    assert said.reason == "every instance that could run it is stopped; their pools start one (1 of 2)"
    assert not said.stuck


def test_what_waits_elsewhere_hides_no_pool() -> None:
    core = Core(report_ttl=1e9, resend_after=1e9)
    for event in (
        CatalogRead("c", Catalog.from_object_info({})),
        LogRead(),
        report("a", READY, pool="pa", slots=0),
        report("b", STOPPED, pool="pb"),
    ):
        core.handle(event, NOW)
    for number in range(200):
        elsewhere = Placement(pool="pa", labels=(("x", str(number)),))
        core.handle(TaskChanged(task(f"t{number}", elsewhere), number + 1), NOW)
    core.handle(TaskChanged(task("victim", Placement(pool="pb")), 201), NOW)
    assert core.demand(NOW + 60)["b"]["pb"].count == 1


def test_many_kinds_of_tasks_for_one_pool_hide_none_for_another() -> None:
    core = Core(report_ttl=8.0, resend_after=4.0)
    large = {f"p-{number}": Instance(f"p-{number}", STOPPED, 1, "c", pool="p", vram_bytes=10**9) for number in (0, 1)}
    reports = NodeReported(Report("a", "1", open=True, instances=large)), report("b", STOPPED, pool="q")
    for event in (CatalogRead("c", Catalog.from_object_info({})), LogRead(), *reports):
        core.handle(event, NOW)
    for number in range(300):
        core.handle(TaskChanged(task(f"t{number}", Placement(pool="p", min_vram_bytes=number + 1)), number + 1), NOW)
    core.handle(TaskChanged(task("last", Placement(pool="q")), 301), NOW)
    assert counts(core.demand(LATER)) == {"a": {"p": 200}, "b": {"q": 1}}


def test_a_pool_that_has_no_room_to_start_is_told_nothing_and_another_is() -> None:
    assert counts(told(report("a", STOPPED, slots=0), report("b", STOPPED))) == {"a": {}, "b": {"p": 1}}
