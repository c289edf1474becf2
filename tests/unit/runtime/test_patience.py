"""Patience: asks again while what is needed is away, and about nothing else."""

from __future__ import annotations

import asyncio

import pytest

from comfymesh.runtime import patience
from comfymesh.runtime.patience import patiently


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
