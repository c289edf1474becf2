"""How long an instance waits for its next life, and when it is set aside."""

from __future__ import annotations

import pytest

from comfymesh.agent.domain.lives import Cause, Endurance, Lives, Rest

ENDURANCE = Endurance(first=0.5, last=30, stable=60, faults=3, window=1800, quarantine=300, longest_quarantine=3600)


@pytest.fixture
def lives() -> Lives:
    return Lives(ENDURANCE, mendable=True)


def test_short_lives_are_followed_by_longer_and_longer_waits(lives: Lives) -> None:
    waits = [lives.ended(Cause.UNAVAILABLE, 1, now) for now in range(8)]
    assert waits == [Rest(seconds) for seconds in (1, 2, 4, 8, 16, 30, 30, 30)]


def test_a_long_life_makes_the_next_wait_short(lives: Lives) -> None:
    for now in range(8):
        lives.ended(Cause.UNAVAILABLE, 1, now)
    assert lives.ended(Cause.UNAVAILABLE, 61, 100) == Rest(0.5)


def test_a_fresh_start_needs_no_wait(lives: Lives) -> None:
    assert [lives.ended(Cause.RETIRED, 1, now) for now in range(10)] == [Rest(0.0)] * 10


@pytest.mark.parametrize("cause", [Cause.CRASHED, Cause.FAULTY])
def test_too_many_faults_in_a_while_set_it_aside_for_longer_each_time(lives: Lives, cause: Cause) -> None:
    rests = [lives.ended(cause, 100, now) for now in (0, 900, 1800, 2000, 2100, 2200)]
    assert [rest.quarantined for rest in rests] == [False, False, True, False, False, True]
    assert [rest.seconds for rest in rests if rest.quarantined] == [300, 600]


def test_faults_that_are_long_past_do_not_count(lives: Lives) -> None:
    assert not any(lives.ended(Cause.FAULTY, 901, now).quarantined for now in range(0, 100_000, 901))


def test_quarantine_has_an_end(lives: Lives) -> None:
    rests = [lives.ended(Cause.CRASHED, 1, now) for now in range(300)]
    assert max(rest.seconds for rest in rests) == 3600


def test_a_long_life_forgets_earlier_quarantines(lives: Lives) -> None:
    for now in range(3):
        lives.ended(Cause.CRASHED, 1, now)
    lives.ended(Cause.CRASHED, 2000, 10_000)
    lives.ended(Cause.CRASHED, 1, 10_001)
    assert lives.ended(Cause.CRASHED, 1, 10_002) == Rest(300, quarantined=True)


def test_what_is_unavailable_is_never_set_aside(lives: Lives) -> None:
    assert not any(lives.ended(Cause.UNAVAILABLE, 1, now).quarantined for now in range(100))


def test_what_nobody_can_mend_is_set_aside_at_its_first_fault() -> None:
    lives = Lives(ENDURANCE, mendable=False)
    assert lives.ended(Cause.FAULTY, 100, 0) == Rest(300, quarantined=True)
