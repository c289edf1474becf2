"""Tasks that are stopped: those that run, those that have ended, those that will not."""

from __future__ import annotations

import asyncio
import gc

import pytest

from comfymesh.runtime.background import all_of, stop
from comfymesh.testkit.waiting import until


async def test_what_runs_is_cancelled_and_waited_for() -> None:
    left = list[str]()

    async def slowly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            left.append("it")

    tasks = [asyncio.create_task(slowly()) for _ in range(2)]
    await asyncio.sleep(0)
    await stop(*tasks, None)
    assert left == ["it", "it"]
    assert all(task.cancelled() for task in tasks)


async def test_how_what_has_ended_did_so_is_nobodys_business(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise ValueError("an end")

    gc.collect()
    caplog.clear()  # What other tests have left was told of now.
    failed, done = asyncio.create_task(fails()), asyncio.create_task(asyncio.sleep(0))
    await asyncio.wait([failed, done])
    await stop(failed, done)
    del failed
    gc.collect()
    assert caplog.records == []


async def test_whoever_waits_for_a_stop_can_be_stopped() -> None:
    unwilling = asyncio.Event()

    async def stays() -> None:
        while not unwilling.is_set():
            try:
                await unwilling.wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(stays())
    await asyncio.sleep(0)
    stopping = asyncio.create_task(stop(task))
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.sleep(0)
    unwilling.set()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    await task


async def test_all_are_answered_in_their_order_and_the_first_failure_stops_the_others() -> None:
    async def answer(number: int) -> int:
        await asyncio.sleep(0.001 * (3 - number))
        return number

    async def fail() -> int:
        raise ValueError("an end")

    assert await all_of(*map(answer, range(3))) == [0, 1, 2]
    before = asyncio.all_tasks()
    with pytest.raises(ValueError, match="an end"):
        await all_of(answer(1), fail())
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("later", range(6))
async def test_who_is_cancelled_in_the_moment_of_a_failure_is_cancelled(later: int) -> None:
    go = asyncio.Event()

    async def fails() -> None:
        await go.wait()
        raise ValueError("a failure")

    async def again_and_again() -> None:
        while True:
            try:
                await all_of(fails(), asyncio.Event().wait())
            except ValueError:
                go.clear()

    waiting = asyncio.create_task(again_and_again())
    await asyncio.sleep(0.001)
    go.set()
    for _ in range(later):
        await asyncio.sleep(0)
    waiting.cancel()
    await until(waiting.done, "its end")
    assert waiting.cancelled()
