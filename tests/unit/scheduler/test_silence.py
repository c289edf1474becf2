"""A node is lost when it is silent, and not when it is the scheduler that can't hear."""

from __future__ import annotations

import pytest

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.decisions import Change, OfferWork
from comfymesh.scheduler.domain.events import CatalogRead, Deaf, LogRead, NodeReported, TaskChanged, Tick
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Report
from comfymesh.tasks import events, machine
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import Definition, Key, Requirements, SpecRef, TaskError, TaskRecord

KEY = Key("default", "t1")
TTL = 8.0


def _running() -> TaskRecord:
    definition = Definition(
        key=KEY, request_digest="d", spec=SpecRef("s", 1), requirements=Requirements(), create_time=0.0
    )
    record = machine.create(definition)
    for event in (events.Assigned("n1", "c0"), events.Started()):
        record = machine.apply(record, event, 0.0)
    return record


@pytest.fixture
def core() -> Core:
    """A core that knows of one task, running on the one node, at time 0."""
    record = _running()
    core = Core(report_ttl=TTL, resend_after=4.0)
    core.handle(LogRead(), 0.0)
    core.handle(TaskChanged(record, 3), 0.0)
    instance = Instance("c0", InstanceState.READY, 2, "digest")
    core.handle(NodeReported(Report("n1", "boot", open=True, instances={"c0": instance}, held={KEY: 1})), 0.0)
    return core


def test_the_attempts_of_a_silent_node_are_taken_back(core: Core) -> None:
    (decision,) = core.handle(Tick(), TTL)
    assert isinstance(decision, Change)
    assert isinstance(decision.event, events.AttemptFailed)


def test_silence_while_we_are_deaf_counts_for_nothing(core: Core) -> None:
    assert core.handle(Deaf(), TTL - 1) == []
    assert core.handle(Deaf(), TTL + 60) == []
    assert core.handle(Tick(), TTL + 61) == []


def test_a_node_that_stays_silent_when_we_hear_again_is_lost(core: Core) -> None:
    core.handle(Deaf(), TTL - 1)
    assert core.handle(Tick(), 2 * TTL - 2) == []
    assert core.handle(Tick(), 2 * TTL) != []


@pytest.mark.parametrize("ahead", [-600.0, 0.0, 600.0])
def test_a_retry_waits_as_long_as_was_meant_whatever_the_clock_of_the_node(core: Core, ahead: float) -> None:
    failed = machine.apply(_running(), events.AttemptFailed(TaskError(FailureClass.INSTANCE_LOST, "gone")), ahead)
    assert failed.not_before > ahead
    core.handle(CatalogRead("digest", Catalog({})), 0.0)
    offered = [*core.handle(TaskChanged(failed, 4), 0.0), *core.handle(Tick(), failed.not_before - ahead)]
    assert [type(decision) for decision in offered] == [OfferWork]
