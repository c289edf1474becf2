"""The last words of an instance, as evidence of how an attempt failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from comfymesh.agent.domain import verdict
from comfymesh.agent.runtimes.contract import RuntimeFailed, RuntimeFailureReason
from comfymesh.agent.workplace import Files, LogTail, Workplace
from comfymesh.tasks.events import AttemptFailed, Cancelled
from comfymesh.tasks.failures import FailureClass
from comfymesh.testkit.benches import MAX_BYTES, Bench

FAILED = verdict.failure(FailureClass.INSTANCE_LOST, "it broke")


def workplace(bench: Bench, log_tail: LogTail) -> Workplace:
    return Workplace(bench.session, bench.log, Files(bench.store, MAX_BYTES), bench.leftovers, log_tail)


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
    bench.workplace.forget("one", "comfymesh/one-1")
    bench.workplace.forget("two", "comfymesh/two-1")
    await asyncio.sleep(2)
    assert removed == ["comfymesh/one-1", "comfymesh/two-1"]
    assert bench.session.http.forgotten == ["one", "two"]
