"""One timer wakes who waits: for news at once, else when they asked for it, however often they have asked before."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from comfymesh.api.waking import Wake


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("timeouts", [(10.0, 1.0, 5.0), (1.0, 10.0, 0.0), (3.0, 3.0, 3.0)])
async def test_who_hears_nothing_waits_as_long_as_they_said(timeouts: tuple[float, ...]) -> None:
    wake = Wake()
    for timeout in timeouts:
        began = now()
        await wake.wait(timeout)
        assert now() - began == pytest.approx(timeout)
    wake.rest()


async def test_news_wakes_at_once_and_is_news_until_it_is_taken() -> None:
    wake, began = Wake(), now()
    asyncio.get_running_loop().call_later(2.0, wake.set)
    await wake.wait(10.0)
    await wake.wait(10.0)
    assert now() - began == pytest.approx(2.0)
    wake.clear()
    await wake.wait(30.0)  # The first timer rings meanwhile, and wakes nobody.
    assert now() - began == pytest.approx(32.0)
    wake.rest()


async def test_who_rests_leaves_no_timer_behind() -> None:
    wake = Wake()
    waiting = asyncio.ensure_future(wake.wait(100.0))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    wake.rest()
    began = now()
    await asyncio.sleep(200.0)
    assert now() - began == pytest.approx(200.0)
    wake.set()
    await wake.wait(1.0)
    assert now() - began == pytest.approx(200.0)


def test_a_timer_that_is_due_and_has_not_rung_does_not_break_the_next_wait() -> None:
    """On the event loop that the services run on, whose timers are other than asyncio's."""

    async def wait() -> None:
        wake = Wake()
        for _ in range(2):
            waiting = wake.wait(0.0)
            waiting.send(None)
            waiting.close()
        wake.rest()

    uvloop.run(wait())
