from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.client import NotFound, RetryPolicy, Unavailable
from comfymesh.client.retries import Retrier, Server

AWAY = Unavailable("away", reason="SERVER_UNREACHABLE")


class Time:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def server(time: Time, policy: RetryPolicy | None = None) -> Server:
    return Server(policy or RetryPolicy(), clock=time.clock, sleep=time.sleep, chance=lambda: 1.0)


async def fail_for_ever(retrier: Retrier) -> None:
    while True:
        await retrier.failed(AWAY)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_no_pause_exceeds_the_longest_nor_is_less_than_half_of_its_own(failures: int, chance: float) -> None:
    policy = RetryPolicy(first_pause=0.1, longest_pause=5.0)
    whole = min(5.0, 0.1 * 2.0 ** min(failures - 1, 32))
    assert whole / 2 <= policy.pause(failures, chance) <= whole


async def test_pauses_grow() -> None:
    time = Time()
    retrier = server(time).retrier()
    for _ in range(4):
        await retrier.failed(AWAY)
    assert time.pauses == pytest.approx([0.1, 0.2, 0.4, 0.8])


async def test_a_server_that_never_answered_is_given_up_soon() -> None:
    time = Time()
    retrier = server(time, RetryPolicy(connect_timeout=1.0, patience=100.0)).retrier()
    with pytest.raises(Unavailable):
        await fail_for_ever(retrier)
    assert time.now <= 101.0


async def test_a_server_that_answered_once_is_worth_waiting_for() -> None:
    time = Time()
    known = server(time, RetryPolicy(connect_timeout=1.0, patience=100.0))
    known.answered = True
    retrier = known.retrier()
    with pytest.raises(Unavailable):
        await fail_for_ever(retrier)
    assert 190.0 < time.now <= 200.0


async def test_success_begins_a_new_row() -> None:
    time = Time()
    retrier = server(time).retrier()
    await retrier.failed(AWAY)
    await retrier.failed(AWAY)
    retrier.succeeded()
    await retrier.failed(AWAY)
    assert time.pauses == pytest.approx([0.1, 0.2, 0.1])


async def test_a_stream_that_was_quiet_for_long_is_still_resumed() -> None:
    time = Time()
    retrier = server(time).retrier()
    time.now += 1_000_000
    await retrier.failed(AWAY)
    assert len(time.pauses) == 1


async def test_the_wish_of_the_server_is_respected() -> None:
    time = Time()
    asked = Unavailable("draining", reason="SERVER_DRAINING", retry_after=timedelta(seconds=7))
    await server(time).retrier().failed(asked)
    assert time.pauses == [7.0]


async def test_calls_are_repeated_until_their_budget_is_spent() -> None:
    time = Time()
    limits: list[float] = []

    async def attempt(seconds: float) -> None:
        limits.append(seconds)
        raise AWAY

    known = server(time)
    known.answered = True
    with pytest.raises(Unavailable):
        await known.retry(attempt, timeout=1.0)
    assert time.now <= 101.0
    assert limits == sorted(limits, reverse=True)
    assert limits[0] == 1.0


async def test_only_unavailable_is_repeated() -> None:
    time = Time()
    calls = 0

    async def attempt(_seconds: float) -> None:
        nonlocal calls
        calls += 1
        raise NotFound("none", reason="TASK_NOT_FOUND")

    with pytest.raises(NotFound):
        await server(time).retry(attempt, timeout=1.0)
    assert calls == 1
