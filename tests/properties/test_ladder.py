"""The ladder keeps its promises whatever is seen in whatever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from comfymesh.agent.comfyui.pulse import Sign
from comfymesh.agent.domain.ladder import WAIT, Ask, Free, Ladder, Limits, Queue, Restart, Seen
from comfymesh.agent.domain.lives import Cause, Endurance, Lives

LIMITS = Limits(look=2, unanswered=60, grace=30, idle=30, stranger=120)
SECONDS = st.floats(0, 10_000, allow_nan=False)
IDS = st.frozensets(st.sampled_from("pqrs"), max_size=3)
SIGNS = st.builds(Sign, st.sampled_from("pqrs"), st.booleans(), SECONDS, SECONDS, st.none() | SECONDS)
SEEN = st.builds(
    Seen,
    late=st.just(0.0) | SECONDS,
    unanswered=st.just(0.0) | st.floats(0.1, 59),
    signs=st.lists(SIGNS, max_size=3).map(tuple),
    queue=st.none() | st.builds(Queue, IDS, IDS),
)


@given(st.lists(SEEN, min_size=1, max_size=60))
def test_nothing_is_restarted_that_was_not_given_the_time_to_come_right(course: list[Seen]) -> None:
    ladder, now, freed, waited = Ladder(LIMITS), 0.0, False, 0.0
    for seen in course:
        now += 2
        step = ladder.look(seen, now)
        blind = seen.late > 1 or seen.unanswered > 0
        waited = 0.0 if blind else waited + 2
        freed = freed or isinstance(step, Free)
        if isinstance(step, Restart):
            assert waited >= min(LIMITS.grace, LIMITS.idle)
            assert freed or "wait" in step.reason


@given(st.lists(SEEN, max_size=30), SECONDS)
def test_after_a_moment_of_blindness_nothing_is_done_at_once(course: list[Seen], silence: float) -> None:
    ladder, now = Ladder(LIMITS), 0.0
    for seen in course:
        now += 2
        ladder.look(seen, now)
    now += 5000
    stuck = (Sign("p", begun=True, silence=5000 + silence, allowed=10, stopping=None),)
    assert not isinstance(ladder.look(Seen(late=5000, signs=stuck), now), Ask | Restart)
    assert not isinstance(ladder.look(Seen(signs=stuck), now + 9), Ask | Restart)
    assert isinstance(ladder.look(Seen(signs=stuck), now + 11), Ask)


@given(st.lists(SEEN, max_size=30))
def test_a_well_instance_is_left_alone_whatever_was_before(course: list[Seen]) -> None:
    ladder, now = Ladder(LIMITS), 0.0
    for seen in course:
        now += 2
        ladder.look(seen, now)
    assert [ladder.look(Seen(queue=Queue()), now + 2 * n) for n in range(1, 100)] == [WAIT] * 99


@given(st.lists(st.tuples(st.sampled_from(Cause), SECONDS), max_size=200))
def test_an_instance_is_never_given_up_for_good_and_never_tried_in_a_hurry(course: list[tuple[Cause, float]]) -> None:
    lives, now = Lives(Endurance(), mendable=True), 0.0
    for cause, lasted in course:
        now += lasted
        rest = lives.ended(cause, lasted, now)
        assert 0 <= rest.seconds <= 3600
        assert rest.seconds >= 0.5 or cause is Cause.RETIRED
        assert rest.quarantined == (rest.seconds >= 300)
        now += rest.seconds
