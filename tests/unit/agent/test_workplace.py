"""The last words of an instance, as evidence of how an attempt failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from comfymesh.agent import leftovers
from comfymesh.agent.comfyui.control import Standing
from comfymesh.agent.domain import verdict
from comfymesh.agent.domain.folders import INPUTS
from comfymesh.agent.runtimes.contract import RuntimeFailed, RuntimeFailureReason
from comfymesh.agent.workplace import Files, LogTail, Workplace
from comfymesh.tasks.events import AttemptFailed, Cancelled, Succeeded
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import Key
from comfymesh.testkit.benches import FOLDERS, MAX_BYTES, Bench, prompt_of
from comfymesh.testkit.tasks import assigned

FAILED = verdict.failure(FailureClass.INSTANCE_LOST, "it broke")


def workplace(bench: Bench, log_tail: LogTail) -> Workplace:
    return Workplace(bench.session, bench.log, Files(bench.store, MAX_BYTES, FOLDERS), bench.leftovers, log_tail)


async def test_a_failure_comes_with_them(bench: Bench) -> None:
    async def words(lines: int) -> str:
        return f"at most {lines}"

    end = await workplace(bench, words).with_evidence(FAILED)
    assert isinstance(end, AttemptFailed)
    assert end.error.log_tail == "at most 100"


async def test_what_is_nobodys_fault_does_not_ask_for_them(bench: Bench) -> None:
    async def words(_: int) -> str:
        raise AssertionError("nobody wants to know")

    assert await workplace(bench, words).with_evidence(Cancelled()) == Cancelled()


@pytest.mark.parametrize("error", [RuntimeFailed(RuntimeFailureReason.ENGINE_TIMEOUT, "no"), OSError("no disk")])
async def test_an_attempt_ends_as_well_where_they_can_not_be_had(bench: Bench, error: Exception) -> None:
    async def words(_: int) -> str:
        raise error

    assert await workplace(bench, words).with_evidence(FAILED) is FAILED


async def test_they_are_not_waited_for_for_ever(bench: Bench, clock: SimpleNamespace) -> None:
    async def words(_: int) -> str:
        await asyncio.Event().wait()
        return ""

    before = clock.monotonic()
    assert await workplace(bench, words).with_evidence(FAILED) is FAILED
    assert clock.monotonic() - before == pytest.approx(5.0)


async def test_what_attempts_wrote_is_removed_together_with_their_history(bench: Bench) -> None:
    removed: list[str] = []

    async def sweep(folders: Sequence[str]) -> None:
        removed.extend(folders)

    bench.workplace.sweep = sweep
    attempts = {"one": (Key("default", "one"), 1), "two": (Key("default", "two"), 3)}
    for prompt, attempt in attempts.items():
        bench.workplace.forget(prompt, *attempt)
    await asyncio.sleep(2)
    assert removed == [FOLDERS.of_attempt(*attempt) for attempt in attempts.values()]
    assert bench.session.http.forgotten == ["one", "two"]


@pytest.mark.parametrize(("there", "removed"), [(False, ["comfymesh"]), (True, [])])
async def test_what_earlier_lives_left_goes_unless_a_prompt_may_need_it(
    bench: Bench,
    there: bool,  # noqa: FBT001  # a parameter of the test
    removed: list[str],
) -> None:
    swept: list[str] = []

    async def sweep(folders: Sequence[str]) -> None:
        swept.extend(folders)

    stored = await bench.task(assigned())
    bench.session.http.there = {prompt_of(): leftovers.mark(stored.record.key, 1)} if there else {}
    bench.workplace.sweep = sweep
    async with bench.workplace:
        await bench.workplace.take_stock()
        await asyncio.sleep(2)
        assert swept == removed


async def test_what_a_prompt_wrote_that_nobody_wants_goes_with_it(bench: Bench) -> None:
    swept: list[str] = []

    async def sweep(folders: Sequence[str]) -> None:
        swept.extend(folders)

    stored = await bench.task(assigned(), Succeeded(()))
    bench.session.http.there = {prompt_of(): leftovers.mark(stored.record.key, 1)}
    bench.session.standing[prompt_of()] = Standing.ENDED
    bench.workplace.sweep = sweep
    async with bench.workplace:
        await bench.workplace.take_stock()
        await asyncio.sleep(2)
        assert swept == [FOLDERS.of_attempt(stored.record.key, 1), INPUTS]
    assert bench.session.http.forgotten == [prompt_of()]


async def test_what_earlier_lives_brought_stays_while_an_attempt_may_need_it(bench: Bench) -> None:
    swept: list[str] = []

    async def sweep(folders: Sequence[str]) -> None:
        swept.extend(folders)

    stored = await bench.task(assigned())
    bench.session.http.there = {prompt_of(): leftovers.mark(stored.record.key, 1)}
    bench.workplace.sweep = sweep
    async with bench.workplace:
        await bench.workplace.take_stock()
        bench.workplace.enter()
        assert bench.leftovers.take(prompt_of())
        await asyncio.sleep(5)
        assert swept == []
        bench.workplace.leave()
        bench.workplace.enter()  # Before anybody sees that it was empty.
        await asyncio.sleep(5)
        assert swept == []
        bench.workplace.leave()
        await asyncio.sleep(5)
        assert swept == [INPUTS]


async def test_a_runtime_that_can_not_remove_is_no_harm(bench: Bench) -> None:
    async def sweep(_: Sequence[str]) -> None:
        raise RuntimeFailed(RuntimeFailureReason.ENGINE_TIMEOUT, "no")

    bench.workplace.sweep = sweep
    async with bench.workplace:
        await bench.workplace.take_stock()
    assert bench.session.closed
