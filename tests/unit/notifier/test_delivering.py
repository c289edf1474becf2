"""Telling a channel, on a bus in memory and a clock that moves when somebody sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from comfymesh.bus import subjects
from comfymesh.bus.port import Entry
from comfymesh.notifier.delivering import Delivery
from comfymesh.notifier.domain.rules import Channel
from comfymesh.notifier.main import begin_telling
from comfymesh.notifier.sending import SendError
from comfymesh.runtime.background import Background
from comfymesh.testkit.alerting import rules_of
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.waiting import until
from comfymesh.v1.alert_pb2 import AlertNotice, ChannelDelivery


class Target:
    """Takes messages, or not."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.bad: list[bool] = []
        self.tries = 0
        self.refuses = 0
        self.hangs = False

    async def send(self, title: str, text: str, *, bad: bool, timeout: float) -> None:
        assert (title, timeout) == ("t", 15.0)
        self.tries += 1
        self.bad.append(bad)
        if self.hangs:
            await asyncio.Event().wait()
        if self.refuses:
            self.refuses -= 1
            raise SendError("no")
        self.taken.append(text.rpartition("notice: ")[2])


class Bench:
    def __init__(self, bus: MemoryBus | None = None) -> None:
        self.clock = ManualClock()
        self.bus = bus or MemoryBus(self.clock)
        self.target = Target()
        channel = Channel(name="ops", url="json://x", give_up_after=3600)
        self.delivery = Delivery(channel, self.target, self.bus, self.clock, self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        position = await self.delivery.begin()
        async with Background() as background:
            background.spawn(self.delivery.run(position), "channel")
            yield
            assert not background.failed.is_set()

    async def tell(self, name: str, *channels: str, kind: int = AlertNotice.KIND_FIRING) -> AlertNotice:
        notice = AlertNotice(name=f"alertNotices/{name}", channels=channels or ["ops"], kind=kind, title="t")
        await self.bus.append([Entry(subjects.notice(name), notice.SerializeToString(), 0)])
        return notice

    def outcome(self, name: str) -> ChannelDelivery | None:
        stored = self.bus.stored(subjects.delivered(name, "ops"))
        return ChannelDelivery.FromString(stored[-1].data) if stored else None


async def test_a_channel_is_told_what_is_for_it_in_order() -> None:
    bench = Bench()
    await bench.tell("before")
    async with bench.running():
        await bench.tell("one")
        await bench.tell("other", "boss")
        await bench.tell("two", "boss", "ops")
        await until(lambda: bench.outcome("two"))
    assert bench.target.taken == ["one", "two"]


async def test_a_channel_that_is_new_has_its_place_before_anything_is_noticed() -> None:
    bench = Bench()
    async with Background() as background:
        await begin_telling(rules_of(), dict.fromkeys(("ops", "boss"), bench.target), bench.bus, background)
        await bench.tell("one")
        await until(lambda: bench.outcome("one"))
    assert bench.target.taken == ["one"]


async def test_a_channel_that_refuses_is_tried_with_longer_and_longer_pauses() -> None:
    bench = Bench()
    bench.target.refuses = 5
    began = bench.clock()
    async with bench.running():
        await bench.tell("one")
        outcome = await until(lambda: bench.outcome("one"))
    assert (outcome.state, outcome.attempt_count, outcome.error) == (ChannelDelivery.STATE_DELIVERED, 6, "")
    assert bench.clock() - began == 2 + 4 + 8 + 16 + 32


async def test_a_channel_that_never_takes_it_is_given_up_and_goes_on() -> None:
    bench = Bench()
    bench.target.refuses = 1000
    began = bench.clock()
    async with bench.running():
        await bench.tell("one")
        outcome = await until(lambda: bench.outcome("one"))
        bench.target.refuses = 0
        await bench.tell("two")
        await until(lambda: bench.outcome("two"))
    assert (outcome.state, outcome.error) == (ChannelDelivery.STATE_FAILED, "no")
    assert bench.clock() - began <= 3600
    assert bench.target.taken == ["two"]


async def test_a_test_is_tried_once() -> None:
    bench = Bench()
    bench.target.refuses = 1
    async with bench.running():
        await bench.tell("one", kind=AlertNotice.KIND_TEST)
        outcome = await until(lambda: bench.outcome("one"))
    assert (outcome.state, outcome.attempt_count) == (ChannelDelivery.STATE_FAILED, 1)
    assert bench.target.bad == [False]


async def test_a_channel_goes_on_where_its_last_life_ended() -> None:
    first = Bench()
    async with first.running():
        await first.tell("one")
        await until(lambda: first.outcome("one"))
        first.target.hangs = True
        await first.tell("two")
        await until(lambda: first.target.tries == 2)
    await first.tell("three")
    second = Bench(first.bus)
    async with second.running():
        await until(lambda: second.outcome("three"))
    assert (first.target.taken, second.target.taken) == (["one"], ["two", "three"])


async def test_what_was_told_at_once_is_not_told_again_from_the_history() -> None:
    bench = Bench()
    async with bench.running():
        notice = AlertNotice(name="alertNotices/one", channels=["ops"], title="t")
        with bench.bus.away():
            await bench.delivery.tell(notice)
        await bench.tell("one")
        await bench.tell("two")
        await until(lambda: bench.outcome("two"))
    assert bench.target.taken == ["one", "two"]


async def test_a_notice_that_can_not_be_read_is_passed_over() -> None:
    bench = Bench()
    async with bench.running():
        await bench.bus.append([Entry(subjects.notice("bad"), b"\xff\xff")])
        await bench.tell("one")
        await until(lambda: bench.outcome("one"))
    assert bench.target.taken == ["one"]
