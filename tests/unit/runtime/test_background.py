"""Tasks that are stopped: those that run, those that have ended, those that will not."""

from __future__ import annotations

import asyncio
import gc

import pytest

from comfymesh.runtime.background import stop


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
