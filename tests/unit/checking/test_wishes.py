"""The checker knows what an api must show of what is wanted of a node."""

from __future__ import annotations

from comfymesh.testkit.checking import Promise, check
from comfymesh.testkit.history import Ended, Shown

NODE = "nodes/one"
FIRST = Shown(5.0, 4.0, "first", 0.0, NODE, 3, 3)
"""An api tells whoever asked that wish 3 holds."""


def found(*shown: Shown) -> list[str]:
    violations = check([*shown, Ended(100.0, settled=True)]).violations
    assert all(violation.promise is Promise.P4 for violation in violations)
    return [violation.what for violation in violations]


def test_an_api_that_goes_back() -> None:
    assert found(FIRST, Shown(6.0, 5.5, "first", 0.0, NODE, 3, 3), Shown(7.0, 6.5, "first", 0.0, NODE, 0, 4)) == []
    assert found(FIRST, Shown(6.0, 5.5, "first", 0.0, NODE, 1, 1)) == [
        "first showed wish 1 for nodes/one when wish 3 was known there already"
    ]


def test_one_that_was_asked_before() -> None:
    assert found(FIRST, Shown(6.0, 4.5, "first", 0.0, NODE, 1, 1)) == []


def test_another_that_was_there_already_may_be_late() -> None:
    assert found(FIRST, Shown(6.0, 5.5, "second", 4.9, NODE, 0, 0)) == []


def test_another_that_began_later_knows_what_was_told_before() -> None:
    assert found(FIRST, Shown(7.0, 6.5, "second", 5.1, NODE, 3, 3)) == []
    assert len(found(FIRST, Shown(7.0, 6.5, "second", 5.1, NODE, 0, 2))) == 1


def test_another_node() -> None:
    assert found(FIRST, Shown(6.0, 5.5, "first", 0.0, "nodes/two", 0, 0)) == []


def test_the_answer_to_a_wish_that_shows_one_before_it() -> None:
    assert len(found(Shown(5.0, 4.0, "first", 0.0, NODE, 3, 2))) == 1
