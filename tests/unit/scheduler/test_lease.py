"""Who waits for the lease hears of every change of it."""

from __future__ import annotations

import asyncio

import pytest

from comfymesh.scheduler.domain.candidacy import MARGIN, Terms
from comfymesh.scheduler.lease import Lease
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.waiting import DEADLINE

TERMS = Terms(ttl=1000.0, interval=0.01)


class Machine(ManualClock):
    """A clock whose machine stands still, until the lease has lapsed, just before it is looked at for the nth time."""

    looks_left = 0

    def __call__(self) -> float:
        if self.looks_left == 1:
            self.advance(TERMS.ttl * MARGIN)
        self.looks_left -= 1
        return super().__call__()


@pytest.mark.parametrize("looks", [1, 2, 3])
async def test_a_lease_that_lapsed_and_was_won_again_is_told_as_both(looks: int) -> None:
    clock = Machine()
    async with asyncio.timeout(DEADLINE), Lease(MemoryBus(), "one", TERMS, clock) as lease:
        assert await lease.changed()
        change = asyncio.create_task(lease.changed())
        await asyncio.sleep(0)  # It waits for a change by now.
        clock.looks_left = looks
        assert not await change
        assert await lease.changed()
