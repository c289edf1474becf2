"""Which attempts a node may have had before: of this life those it forgot, of earlier ones all that the log had."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from comfymesh.agent.domain.past import Past
from comfymesh.tasks.record import Key


def name(number: int) -> tuple[Key, int]:
    return Key("default", f"t{number}"), 1


def test_nothing_is_fresh_before_it_is_known_where_this_life_began() -> None:
    assert not Past().is_fresh(1 << 60)


def test_what_the_log_had_when_this_life_began_is_not_fresh() -> None:
    past = Past()
    past.begin(10)
    assert [past.is_fresh(sequence) for sequence in (0, 9, 10, 11)] == [False, False, False, True]


def test_what_was_ended_is_known_by_name_or_is_not_fresh() -> None:
    past = Past(remembered=2)
    past.begin(0)
    for number in (3, 1, 2):
        past.end(name(number), number)
    assert [past.has(name(number)) for number in (1, 2, 3)] == [True, True, False]
    assert [past.is_fresh(number) for number in (3, 4)] == [False, True]


@given(st.lists(st.sampled_from(["offered", "had", "died"]), max_size=40))
def test_whatever_was_had_is_known_or_not_fresh(happened: list[str]) -> None:
    """An attempt is had right after its offer was stored; the agent may begin anew after each."""
    past, last, had = Past(remembered=2), 0, list[int]()
    past.begin(last)
    for what in happened:
        match what:
            case "died":
                past = Past(remembered=2)
                past.begin(last)
            case _:
                last += 1
                assert past.is_fresh(last)
        if what == "had":
            past.end(name(last), last)
            had.append(last)
        assert all(past.has(name(number)) or not past.is_fresh(number) for number in had)
