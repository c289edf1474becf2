"""What was to be loaded ahead of work: tried again a few times, and then no more."""

from __future__ import annotations

from comfymesh.agent.domain.preloaded import Preloaded
from comfymesh.tasks.record import ModelFile

ONE, TWO = ModelFile("Load", "file", "one.sft"), ModelFile("Load", "file", "two.sft")


def test_what_keeps_failing_is_given_up_in_the_end() -> None:
    preloaded, tried = Preloaded(), []
    for now in range(7200):
        if preloaded.due([ONE], now):
            tried.append(now)
            preloaded.note({ONE: "it is not there"}, now)
    assert tried == [0, 10, 30, 70, 150, 310, 630, 1270]
    assert preloaded.words == {ONE: "it is not there"}


def test_what_was_loaded_is_not_loaded_again_and_what_is_new_at_once() -> None:
    preloaded = Preloaded()
    preloaded.note({ONE: ""}, 0.0)
    assert preloaded.due([ONE, TWO], 0.0) == [TWO]
    assert preloaded.due([ONE], 1e6) == []


def test_failures_that_are_forgotten_are_tried_from_the_beginning() -> None:
    preloaded = Preloaded()
    preloaded.note({ONE: "no", TWO: ""}, 0.0)
    assert preloaded.due([ONE, TWO], 1.0) == []
    preloaded.forget_failures()
    assert preloaded.words == {TWO: ""}
    assert preloaded.due([ONE, TWO], 1.0) == [ONE]
    preloaded.note({ONE: "no"}, 1.0)
    assert preloaded.due([ONE], 11.0) == [ONE]
