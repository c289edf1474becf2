"""What is said of a task that waits."""

from __future__ import annotations

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.events import CatalogRead, LogRead, NodeReported, TaskChanged, Tick
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Report
from comfymesh.tasks.record import ModelFile, Requirements
from comfymesh.testkit.tasks import NOW, queued

ONE, TWO = queued("one"), queued("two")


def core(*, cordoned: bool) -> Core:
    made = Core(report_ttl=8.0, resend_after=4.0)
    instance = Instance("x", InstanceState.READY, 1, "c")
    for event in (
        CatalogRead("c", Catalog.from_object_info({})),
        LogRead(),
        NodeReported(Report("a", "1", open=not cordoned, instances={"x": instance})),
        TaskChanged(ONE, 1),
        TaskChanged(TWO, 2),
    ):
        made.handle(event, NOW)
    return made


def test_who_waits_for_its_turn_is_told_when_that_may_be() -> None:
    said = core(cordoned=False).explain(TWO.key, NOW)
    assert said is not None
    assert said.rejected == {"busy": 1}
    assert said.start is not None
    assert said.end is not None


def test_who_waits_for_an_operator_is_promised_nothing() -> None:
    said = core(cordoned=True).explain(TWO.key, NOW)
    assert said is not None
    assert said.rejected == {"cordoned": 1}
    assert (said.start, said.end) == (None, None)
    assert "cordoned" in said.reason


def test_without_a_node_nothing_is_promised_either() -> None:
    made = Core(report_ttl=8.0, resend_after=4.0)
    made.handle(LogRead(), NOW)
    made.handle(TaskChanged(ONE, 1), NOW)
    said = made.explain(ONE.key, NOW)
    assert said is not None
    assert (said.reason, said.start, said.end) == ("no node reports", None, None)


def test_who_was_there_before_any_node_is_told_as_soon_as_one_reports() -> None:
    made, tasks = Core(report_ttl=8.0, resend_after=4.0), [queued(f"{number:03}") for number in range(200)]
    for event in (
        CatalogRead("c", Catalog.from_object_info({})),
        *(TaskChanged(task, number) for number, task in enumerate(tasks, 1)),
        LogRead(),
        NodeReported(Report("a", "1", open=True, instances={"x": Instance("x", InstanceState.READY, 1, "c")})),
        TaskChanged(queued("last"), 201),
    ):
        made.handle(event, NOW + 60)
    for moment in (61, 62):  # Not all at once: nobody waits for a decision that looks at each of a million.
        made.handle(Tick(), NOW + moment)
    starts = [made.explain(task.key, NOW + 62) for task in (tasks[1], tasks[199], queued("last"))]
    seconds = [said.start.seconds for said in starts if said is not None and said.start is not None]
    assert len(seconds) == 3
    assert seconds == sorted(set(seconds))  # In the order in which they came.


def test_who_waits_for_a_warm_instance_is_told_for_which() -> None:
    catalog = {"Loader": {"input": {"required": {"name": [["a"], {}]}}, "output": ["MODEL"], "output_node": False}}
    made = Core(report_ttl=8.0, resend_after=4.0)
    instances = {name: Instance(name, InstanceState.READY, 1, "c", resident=("a",)) for name in ("x", "y")}
    needs = Requirements(("Loader",), (ModelFile("Loader", "name", "a"),))
    for event in (
        CatalogRead("c", Catalog.from_object_info(catalog)),
        LogRead(),
        NodeReported(Report("a", "1", open=True, instances=instances)),
        TaskChanged(queued("one", requirements=needs), 1),
    ):
        made.handle(event, NOW)
    made.handle(TaskChanged(queued("two", requirements=needs), 2), NOW + 5)
    three = queued("three", requirements=needs)
    made.handle(TaskChanged(three, 3), NOW + 5)
    said = made.explain(three.key, NOW + 5)
    assert said is not None
    assert said.rejected == {"busy": 2}
    assert said.place == made._offers.place(queued("one").key)  # It began first, so it is done first.
