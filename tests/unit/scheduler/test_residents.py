"""Who holds a set of models is found by an index, not by a look at the whole fleet."""

from __future__ import annotations

from comfymesh.scheduler.domain.fleet import Place
from comfymesh.scheduler.domain.lanes import Family
from comfymesh.scheduler.domain.residents import Residents
from comfymesh.scheduler.domain.seat import Seat
from comfymesh.scheduler.domain.seats import Seats


def test_who_holds_all_of_them_is_found_the_one_known_for_longest_first() -> None:
    residents = Residents()
    seats = [Seat(Place("n", str(number)), number) for number in range(4)]
    for seat, models in zip(reversed(seats), (("a", "b"), ("b",), ("b", "a", "c"), ("a",)), strict=True):
        residents.change(seat, models)
    assert residents.holding(("a", "b")) == [seats[1], seats[3]]
    assert residents.holding(("a",)) == [seats[0], seats[1], seats[3]]
    assert residents.holding(("d", "a")) == []


def test_what_is_not_in_memory_any_more_is_not_found() -> None:
    residents, seat = Residents(), Seat(Place("n", "1"), 1)
    assert residents.change(seat, ("a", "b")) == {"a", "b"}
    assert residents.change(seat, ("b", "c")) == {"a", "c"}
    assert residents.holding(("a",)) == []
    assert residents.holding(("c", "b")) == [seat]
    residents.change(seat, ())
    assert not residents._with


def test_a_family_that_is_met_again_looks_at_no_instance_that_holds_none_of_its_models() -> None:
    seats = Seats()
    holder, *others = (seats[Place("n", str(number))] for number in range(100))
    seats.holds(holder, ("a", "b"))
    for other in others:
        seats.holds(other, ("b",))
        del other.families  # Whoever looks at it fails.
    family = Family(("a", "b"))
    seats.meet(family)
    assert list(seats.holders(family).all) == [holder]
