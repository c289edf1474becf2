"""Which attempts a node may have had before: of this life those it forgot, of earlier ones all that the log had."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from comfymesh.agent.domain.past import Past
from comfymesh.tasks.record import Key


def name(number: int) -> tuple[Key, int]:
    return Key("default", f"t{number}"), 1


def test_nothing_is_fresh_before_the_log_has_confirmed_a_record_of_this_life() -> None:
    assert not Past().is_fresh(1 << 60)


def test_what_comes_behind_the_first_record_of_this_life_is_fresh_in_whatever_order_they_are_confirmed() -> None:
    past = Past()
    for sequence in (12, 10, 14):
        past.stored(sequence)
    assert [past.is_fresh(sequence) for sequence in (0, 9, 10, 11)] == [False, False, False, True]


def test_what_was_ended_is_known_by_name_or_is_not_fresh() -> None:
    past = Past(remembered=2)
    past.stored(0)
    for number in (3, 1, 2):
        past.end(name(number), number)
    assert [past.has(name(number)) for number in (1, 2, 3)] == [True, True, False]
    assert [past.is_fresh(number) for number in (3, 4)] == [False, True]


@given(st.lists(st.sampled_from(["offered", "had", "stored", "died"]), max_size=40))
def test_whatever_was_had_is_known_or_not_fresh(happened: list[str]) -> None:
    """An attempt is had right after its offer was stored; the agent may begin anew after each."""
    past, had, wrote = Past(remembered=2), list[int](), False
    for last, what in enumerate(happened, 1):
        match what:
            case "died":
                past, wrote = Past(remembered=2), False
            case "stored":
                past.stored(last)
                wrote = True
            case "offered":
                assert past.is_fresh(last) is wrote
            case "had":
                past.end(name(last), last)
                had.append(last)
        assert all(past.has(name(number)) or not past.is_fresh(number) for number in had)
