"""Patience: asks again while what is needed is away, and about nothing else."""

from __future__ import annotations

import asyncio

import pytest

from comfymesh.runtime import patience
from comfymesh.runtime.patience import UnwantedError, Wait, patiently


class AwayError(Exception):
    pass


class GoneError(Exception):
    pass


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_WAIT_SECONDS", 0.0)


class Oracle:
    """Answers with what it was given, in order."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)

    async def ask(self) -> object:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_the_first_answer_counts() -> None:
    oracle = Oracle(5, 6)
    assert await patiently(oracle.ask, AwayError, what="ask") == 5
    assert oracle.answers == [6]


@pytest.mark.parametrize("nothing", [None, 0, ""])
async def test_an_answer_that_is_nothing_is_an_answer(nothing: object) -> None:
    assert await patiently(Oracle(nothing).ask, AwayError, what="ask") == nothing


async def test_it_asks_again_while_what_is_needed_is_away() -> None:
    oracle = Oracle(AwayError(), GoneError(), AwayError(), 5)
    assert await patiently(oracle.ask, AwayError, GoneError, what="ask") == 5


async def test_any_other_error_is_the_callers() -> None:
    oracle = Oracle(AwayError(), GoneError("for good"), 5)
    with pytest.raises(GoneError, match="for good"):
        await patiently(oracle.ask, AwayError, what="ask")
    assert oracle.answers == [5]


async def test_it_says_what_it_waits_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await patiently(Oracle(AwayError("no store"), 5).ask, AwayError, what="store outputs")
    assert caplog.messages == ["waiting to store outputs: no store"]


async def test_waiting_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_WAIT_SECONDS", 3600.0)
    asked = asyncio.Event()

    async def ask() -> None:
        asked.set()
        raise AwayError

    waiting = asyncio.create_task(patiently(ask, AwayError, what="ask"))
    await asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_wait_is_given_up_while_what_is_asked_takes_its_time() -> None:
    wait = Wait(lambda: True)
    let_go = asyncio.Event()

    async def ask() -> None:
        wait.give_up()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            wait.give_up()  # Twice: it is not over yet.
            let_go.set()
            raise

    with pytest.raises(UnwantedError):
        await wait.patiently(ask, AwayError, what="ask")
    assert let_go.is_set()
    wait.give_up()  # Nothing waits.
    assert await wait.patiently(Oracle(AwayError(), 5).ask, AwayError, what="ask") == 5


async def test_a_wait_asks_for_nothing_that_is_not_wanted_any_more() -> None:
    oracle, wanted = Oracle(AwayError(), 5), iter([True, False])
    with pytest.raises(UnwantedError):
        await Wait(lambda: next(wanted)).patiently(oracle.ask, AwayError, what="ask")
    assert oracle.answers == [5]


async def test_a_timeout_of_what_is_asked_is_no_end_of_the_wait() -> None:
    with pytest.raises(TimeoutError):
        await Wait(lambda: True).patiently(Oracle(TimeoutError()).ask, AwayError, what="ask")
