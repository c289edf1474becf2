"""Which of the prompts that a server took with it may have been the one that took the server down."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.agent.domain.line import Line


def line(*prompts: str) -> Line:
    waiting = Line()
    for prompt in prompts:
        waiting.enter(prompt)
    return waiting


@pytest.mark.parametrize("order", list(permutations("abc")))
def test_of_all_that_are_lost_together_the_first_is_told_in_whatever_order_they_are_found(
    order: tuple[str, ...],
) -> None:
    waiting = line(*"abc")
    assert [prompt for prompt in order if waiting.lose(prompt)] == ["a"]


def test_the_next_is_first_once_the_one_before_has_ended() -> None:
    waiting = line(*"ab")
    waiting.leave("a")
    assert waiting.lose("b")


def test_what_was_lost_long_ago_does_not_stand_before_others_for_ever() -> None:
    waiting = line(*"ab")
    waiting.lose("a")
    waiting.lose("b")
    waiting.enter("c")
    assert waiting.lose("c")


def test_what_was_never_submitted_is_not_the_first() -> None:
    assert not line().lose("a")
    assert not line("b").lose("a")


@given(st.lists(st.tuples(st.sampled_from(["enter", "leave", "lose"]), st.sampled_from("abcdef")), max_size=40))
def test_once_all_have_gone_the_next_is_first_again(happened: list[tuple[str, str]]) -> None:
    waiting, there = Line(), set[str]()
    for what, prompt in happened:
        if what == "enter" and prompt not in there:
            waiting.enter(prompt)
            there.add(prompt)
        elif what != "enter":
            getattr(waiting, what)(prompt)
            there.discard(prompt)
    for prompt in sorted(there):
        waiting.lose(prompt)
    waiting.enter("next")
    assert waiting.lose("next")
