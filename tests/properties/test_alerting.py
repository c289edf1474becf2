"""Whatever happens, and whenever the notifier is started again: nothing is told twice, too often, or not at all."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from comfymesh.notifier.domain.alerts import NoticeKind
from comfymesh.testkit.alerting import Telling, rules_of

COOLDOWN = 300.0
WAIT = 5.0
RULES = rules_of({"kind": "task_failed", "cooldown": COOLDOWN, "wait": WAIT, "window": COOLDOWN, "group_by": ["class"]})

steps = st.lists(
    st.one_of(
        st.tuples(st.just("fail"), st.integers(1, 50), st.sampled_from(["STALLED", "TIMEOUT"])),
        st.tuples(st.just("pass"), st.floats(0.5, 400.0)),
        st.tuples(st.just("restart")),
    ),
    max_size=30,
)


def run(telling: Telling, story: list[Any]) -> tuple[Telling, int]:
    """Let a story happen, with time passing at its end; answers how many have failed."""
    failed, told = 0, telling.told
    for step in [*story, ("pass", 2 * COOLDOWN)]:
        match step:
            case ("fail", times, kind):
                telling.fails(times, class_=kind)
                failed += times
            case ("pass", seconds):
                telling.passes(seconds, step=1.0)
            case ("restart",):
                telling = telling.begins_again()
                telling.told = told
    return telling, failed


@given(steps)
@settings(max_examples=60, deadline=None)
def test_every_failure_is_told_in_exactly_one_number(story: list[Any]) -> None:
    telling, failed = run(Telling(RULES), story)
    assert sum(notice.new for notice in telling.told) == failed
    assert telling.core.state.alerts == {}


@given(steps)
@settings(max_examples=60, deadline=None)
def test_the_same_is_told_once_in_a_cool_down_at_most(story: list[Any]) -> None:
    telling, _ = run(Telling(RULES), story)
    for kind in ("STALLED", "TIMEOUT"):
        times = [notice.time for notice in telling.told if notice.alert.signal.labels["class"] == kind]
        assert all(later - earlier >= COOLDOWN for earlier, later in pairwise(times))


@given(steps)
@settings(max_examples=60, deadline=None)
def test_no_two_notices_have_the_same_name(story: list[Any]) -> None:
    telling, _ = run(Telling(RULES), story)
    names = [notice.notice_id for notice in telling.told]
    assert len(names) == len(set(names))


@given(steps, st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_what_was_not_stored_happens_again_in_the_same_way(story: list[Any], cut: int) -> None:
    """A notifier that is killed goes on from what it stored last, and hears the rest of the log again."""
    first = Telling(RULES)
    run(first, story[:cut])
    stored = deepcopy(first.core.state)
    once, again = Telling(RULES, first.core.state), Telling(RULES, stored)
    once.now = again.now = first.now
    once, again = once.begins_again(), again.begins_again()
    run(once, story[cut:])
    run(again, story[cut:])
    assert [(n.notice_id, n.new) for n in once.told] == [(n.notice_id, n.new) for n in again.told]


@given(st.lists(st.tuples(st.booleans(), st.floats(0.5, 90.0)), max_size=30))
@settings(max_examples=60, deadline=None)
def test_a_condition_is_told_to_begin_and_to_end_in_turns(story: list[tuple[bool, float]]) -> None:
    telling = Telling(rules_of({"kind": "node_lost", "for": "10s", "clear_for": "5s", "repeat": 0}))
    telling.reports()
    for reports, seconds in story:
        if reports:
            telling.reports()
        telling.passes(seconds)
    kinds = [notice.kind for notice in telling.told]
    assert kinds == [NoticeKind.FIRING, NoticeKind.RESOLVED] * (len(kinds) // 2) + [NoticeKind.FIRING] * (
        len(kinds) % 2
    )
