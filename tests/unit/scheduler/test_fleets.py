"""Many nodes that go at once."""

from __future__ import annotations

import pytest

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.decisions import Change
from comfymesh.scheduler.domain.events import CatalogRead, LogRead, NodeReported, TaskChanged, Tick
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Report
from comfymesh.scheduler.domain.virtual_fifo import VirtualFifo
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.tasks import after, assigned, queued


def mesh(nodes: int) -> tuple[Core, ManualClock]:
    clock, core = ManualClock(), Core(report_ttl=8, resend_after=4)
    core.handle(CatalogRead("c", Catalog({})), clock())
    core.handle(LogRead(), clock())
    for number in range(nodes):
        instances = {"x": Instance("x", InstanceState.READY, 20, "c", gpu="G")}
        core.handle(NodeReported(Report(f"n{number}", "1", open=True, instances=instances)), clock())
    return core, clock


def test_the_fleet_on_paper_follows_once_however_many_nodes_go(monkeypatch: pytest.MonkeyPatch) -> None:
    core, clock = mesh(20)
    resized: list[int] = []
    monkeypatch.setattr(VirtualFifo, "resize", lambda _, speeds: resized.append(len(speeds)))
    clock.advance(9)
    core.handle(Tick(), clock())
    core.handle(TaskChanged(queued("t", create_time=clock()), 1), clock())
    assert resized == [0]


def test_a_gpu_is_forgotten_with_its_last_instance() -> None:
    core, clock = mesh(5)
    gpus = core._seats._gpus
    clock.advance(9)
    core.handle(Tick(), clock())
    assert core._seats._gpus is gpus, "not made anew for each that is left"
    assert gpus == {}


def test_a_lost_nodes_attempts_are_taken_back_in_the_order_in_which_they_came() -> None:
    core, clock = mesh(1)
    names = [f"t{number}" for number in range(12)]
    for sequence, name in enumerate(names, 1):
        record = after(queued(name, create_time=clock()), assigned("n0", "x"), now=clock())
        core.handle(TaskChanged(record, sequence), clock())
    clock.advance(9)
    decided = core.handle(Tick(), clock())
    assert [decision.record.key.task_id for decision in decided if isinstance(decision, Change)] == names
