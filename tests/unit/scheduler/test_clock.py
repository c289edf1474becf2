"""The scheduler's clock goes on evenly, whatever becomes of the machine's."""

from __future__ import annotations

from itertools import pairwise

import pytest

from comfymesh.scheduler.clock import JUMP_SECONDS, MOST_BEHIND_SECONDS, ClockSetBackError, SteadyClock
from comfymesh.testkit.clock import ManualClock

START = 1_700_000_000.0
TICK = 0.25


class Machine:
    """A machine whose clock is set now and then, and the scheduler's clock there."""

    def __init__(self) -> None:
        self.wall, self.monotonic = ManualClock(START), ManualClock(5.0)
        self.clock = SteadyClock(self.wall, self.monotonic)

    def tick(self) -> bool:
        """Time passes; answers whether the scheduler's clock has jumped."""
        self.wall.advance(TICK)
        self.monotonic.advance(TICK)
        return self.clock.follow()

    @property
    def behind(self) -> float:
        """By how much the scheduler's clock is behind the machine's."""
        return self.wall() - self.clock()


@pytest.fixture
def machine() -> Machine:
    """One whose clocks agree."""
    return Machine()


def test_it_is_the_machines_time(machine: Machine) -> None:
    assert not any(machine.tick() for _ in range(10))
    assert machine.clock() == pytest.approx(START + 10 * TICK)


def test_nothing_happens_before_it_has_followed(machine: Machine) -> None:
    machine.wall.advance(60)
    assert machine.clock() == START


@pytest.mark.parametrize("step", [JUMP_SECONDS + 0.1, 10, 86_400])
def test_a_step_ahead_is_told_once(machine: Machine, step: float) -> None:
    machine.wall.advance(step)
    assert [machine.tick() for _ in range(3)] == [True, False, False]
    assert machine.behind == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("step", [JUMP_SECONDS - 0.1, 0.01, -0.01, -10, -MOST_BEHIND_SECONDS + 1])
def test_other_steps_are_made_up_for_evenly(machine: Machine, step: float) -> None:
    machine.wall.advance(step)
    times = [machine.clock()]
    for _ in range(round(2 * abs(step) / TICK) + 2):
        assert not machine.tick()
        times.append(machine.clock())
    passed = [later - earlier for earlier, later in pairwise(times)]
    assert all(0.49 * TICK <= each <= 1.51 * TICK for each in passed)
    assert machine.behind == pytest.approx(0, abs=1e-6)


def test_it_does_not_overshoot_while_nobody_lets_it_follow(machine: Machine) -> None:
    machine.wall.advance(-0.1)
    machine.tick()
    machine.wall.advance(60)
    machine.monotonic.advance(60)
    assert machine.behind == pytest.approx(0, abs=1e-6)


def test_a_clock_that_was_set_back_too_far_ends_the_process(machine: Machine) -> None:
    machine.wall.advance(-MOST_BEHIND_SECONDS - 1)
    with pytest.raises(ClockSetBackError, match=r"601 s.*start again"):
        machine.clock.follow()
