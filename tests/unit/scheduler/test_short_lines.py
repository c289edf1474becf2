"""How many attempts an instance has in line when they are short."""

from __future__ import annotations

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.events import CatalogRead, LogRead, NodeReported
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Place, Report
from comfymesh.scheduler.domain.seat import Seat
from comfymesh.scheduler.domain.seats import Seats
from comfymesh.testkit.tasks import NOW

X = Place("a", "x")


def seats(slots: int) -> tuple[Seats, Seat]:
    core = Core(report_ttl=8.0, resend_after=4.0)
    instances = {"x": Instance("x", InstanceState.READY, slots, "c")}
    report = NodeReported(Report("a", "1", open=True, instances=instances))
    for event in (CatalogRead("c", Catalog.from_object_info({})), LogRead(), report):
        core.handle(event, NOW)
    return core._seats, core._seats[X]


def taken(slots: int, *seconds: float) -> int:
    """How many attempts of these lengths an instance is given until it has no room."""
    every, seat = seats(slots)
    for each in seconds:
        if seat.has_room:
            every.take(seat, each, NOW)
    return seat.taken


def test_what_is_over_in_a_moment_does_not_fill_the_line() -> None:
    assert taken(2, *[0.005] * 20) == 8
    assert taken(2, *[0.06] * 20) == 4
    assert taken(2, *[0.3] * 20) == 2
    assert taken(2, 0.005, 0.005, 60.0, 0.005) == 3


def test_an_instance_that_does_not_look_ahead_does_not_then_either() -> None:
    assert taken(1, *[0.005] * 20) == 1


def test_what_nobody_knows_is_not_short() -> None:
    """An attempt that the log has, and that began under another scheduler."""
    assert taken(2, *[0.0] * 20) == 2


def test_it_is_empty_again_once_all_is_over() -> None:
    every, seat = seats(2)
    for each in (0.1, 0.0, 0.7):
        every.take(seat, each, NOW)
    for each in (0.0, 0.7, 0.1):
        every.free(seat, each)
    assert (seat.seconds, seat.has_room) == (0.0, True)
