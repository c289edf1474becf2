"""The scheduler's lease on both buses, and between processes of which one stands still."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest

from comfymesh.bus import subjects
from comfymesh.bus.port import Entry, SequenceConflictError
from comfymesh.bus.streams import LEASES
from comfymesh.scheduler import lease as module
from comfymesh.scheduler.domain.candidacy import Terms
from comfymesh.scheduler.lease import Lease
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.waiting import DEADLINE, until

from .conftest import JetStreamWorld, World

QUICK = Terms(ttl=0.8, interval=0.1)
LONGER = Terms(ttl=6.0, interval=0.3)
"""For who must not lose the lead meanwhile, though the machine stands still for a while."""
ENDLESS = Terms(ttl=1000.0, interval=0.1)
SELDOM = Terms(ttl=1000.0, interval=1.0)
"""With room between two renewals, however slow the disk is."""
SUBJECT = subjects.lease("scheduler")

RIVAL = """
import asyncio, sys
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.scheduler.domain.candidacy import Terms
from comfymesh.scheduler.lease import Lease

async def main(url):
    async with await JetStreamBus.open(url, "rival") as bus, Lease(bus, "rival", Terms(6.0, 0.3)) as lease:
        print("competes", flush=True)
        while True:
            print("leads" if await lease.changed() else "stands by", flush=True)

asyncio.run(main(sys.argv[1]))
"""


async def leads(lease: Lease) -> None:
    await until(lambda: lease.leading, "the lead")


async def test_the_only_one_leads_and_goes_on_leading(world: World) -> None:
    clock, terms = ManualClock(), Terms(ttl=3.0, interval=0.3)
    async with Lease(world.bus, "one", terms, clock) as lease:
        async with asyncio.timeout(DEADLINE):
            assert await lease.changed()
        first = await world.bus.last(LEASES, SUBJECT)
        assert first is not None
        assert first.data == b"one"
        for number in range(1, 11):
            clock.advance(terms.interval)
            await until(partial(renewed, world, first.sequence + number), f"renewal {number}")
            assert lease.leading


async def test_of_several_exactly_one_leads(world: World) -> None:
    buses = [world.bus, world.other, world.bus]
    leases = [Lease(bus, str(n), ENDLESS) for n, bus in enumerate(buses)]
    async with leases[0], leases[1], leases[2]:
        await until(lambda: any(lease.leading for lease in leases), "somebody who leads")
        last = await world.bus.last(LEASES, SUBJECT)
        assert last is not None
        assert [lease.leading for lease in leases] == [str(n).encode() == last.data for n in range(3)]


async def test_one_that_stops_hands_over_without_waiting_for_the_end_of_its_lease(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RELEASE_SECONDS", DEADLINE)
    async with AsyncExitStack() as stack:
        second = Lease(world.bus, "second", ENDLESS)
        async with Lease(world.other, "first", ENDLESS) as first:
            await leads(first)
            await stack.enter_async_context(second)
            await until(lambda: looked(second), "a look at the lease")
            assert not second.leading
        assert not first.leading
        await leads(second)


async def test_one_that_dies_is_followed_when_its_lease_has_expired(world: World) -> None:
    await world.bus.append([Entry(SUBJECT, b"the dead", expected=0)])
    async with Lease(world.bus, "next", QUICK) as lease:
        assert not lease.leading
        await leads(lease)


async def test_one_that_is_overtaken_stands_by(world: World) -> None:
    async with Lease(world.bus, "slow", SELDOM) as lease:
        async with asyncio.timeout(DEADLINE):
            assert await lease.changed()
            await overtake(world)
            assert not await lease.changed()


async def test_one_that_cannot_renew_stops_leading_by_itself(world: World) -> None:
    async with Lease(world.bus, "cut off", QUICK) as lease:
        async with asyncio.timeout(DEADLINE):
            assert await lease.changed()
            await world.down()
            assert not await lease.changed()
        assert not lease.leading


async def test_a_restart_of_the_server_leaves_one_leader(world: World) -> None:
    async with Lease(world.bus, "one", QUICK) as one, Lease(world.other, "two", QUICK) as two:
        await until(lambda: one.leading or two.leading, "a leader")
        await world.restart()
        before = await until(lambda: world.bus.last(LEASES, SUBJECT), "the lease after the restart")
        await until(lambda: renewed(world, before.sequence + 3), "renewals after the restart")
        await until(lambda: one.leading is not two.leading, "one leader")


async def test_a_process_that_stands_still_is_followed_and_knows_it_when_it_goes_on(jetstream: JetStreamWorld) -> None:
    async with rival(jetstream.server.url) as (process, told):
        assert await told() == "leads"
        async with Lease(jetstream.bus, "standby", LONGER) as lease:
            await until(lambda: looked(lease), "a look at the lease")
            assert not lease.leading
            process.send_signal(signal.SIGSTOP)
            await leads(lease)
            process.send_signal(signal.SIGCONT)
            assert await told() == "stands by"
            await leads(lease)
        assert await told() == "leads"


async def test_a_process_that_is_killed_is_followed(jetstream: JetStreamWorld) -> None:
    async with rival(jetstream.server.url) as (process, told):
        assert await told() == "leads"
        async with Lease(jetstream.bus, "standby", LONGER) as lease:
            process.kill()
            await leads(lease)


async def renewed(world: World, sequence: int) -> bool:
    last = await world.bus.last(LEASES, SUBJECT)
    return last is not None and last.sequence >= sequence


def looked(lease: Lease) -> bool:
    return lease._candidacy._looked_at is not None


async def overtake(world: World) -> None:
    """Append in another's name, as soon as the guard lets us between two renewals."""

    async def attempt() -> bool:
        last = await world.other.last(LEASES, SUBJECT)
        assert last is not None
        try:
            await world.other.append([Entry(SUBJECT, b"another", last.sequence)])
        except SequenceConflictError:
            return False
        return True

    await until(attempt, "a gap between two renewals")


@asynccontextmanager
async def rival(url: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Callable[[], Awaitable[str]]]]:
    """A process that competes, and what it tells, line by line."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", RIVAL, url, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    lines = process.stdout

    async def told() -> str:
        async with asyncio.timeout(DEADLINE):
            return (await lines.readline()).decode().strip()

    try:
        assert await told() == "competes"
        yield process, told
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
