"""What is not there in time fails; what is there stays."""

from __future__ import annotations

import asyncio

import pytest

from comfymesh.bus.expiry import expire


async def test_what_is_not_done_in_time_fails_and_the_rest_stays() -> None:
    loop = asyncio.get_running_loop()
    late, there, gone = loop.create_future(), loop.create_future(), loop.create_future()
    there.set_result(1)
    gone.cancel()
    expire((late, there, gone), 0.0)
    with pytest.raises(TimeoutError):
        await late
    assert await there == 1
    assert gone.cancelled()


async def test_nothing_fails_once_the_timer_is_cancelled() -> None:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    expire((future,), 0.0).cancel()
    passed = loop.create_future()
    loop.call_later(0.0, passed.set_result, None)
    await passed
    assert not future.done()
    future.cancel()
