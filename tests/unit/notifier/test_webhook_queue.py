"""The queue of webhooks, on a bus in memory and virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from comfymesh.bus import subjects
from comfymesh.bus.port import Entry
from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.notifier.webhooks.calling import Answer
from comfymesh.notifier.webhooks.payload import webhook_of
from comfymesh.notifier.webhooks.queue import WebhookQueue
from comfymesh.runtime.background import Background
from comfymesh.tasks import codec, events
from comfymesh.tasks.record import Artifact, ArtifactKind, State
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import after, assigned, queued
from comfymesh.testkit.waiting import until
from comfymesh.v1.alert_pb2 import WebhookDelivery
from comfymesh.wire.v1.alerting_pb2 import Webhook
from comfymesh.wire.v1.spec_pb2 import Spec

URL = "https://callbacks.example/hook"


class Scripted:
    """A caller that answers as it is told."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, str]] = []
        self.hangs = False

    async def __call__(self, url: str, webhook_id: str, body: bytes) -> Answer:
        assert body.startswith(b'{"type":"task.')
        self.calls.append((url, webhook_id))
        if self.hangs:
            await asyncio.Event().wait()
        return self.answers.pop(0) if self.answers else Answer(200)


class Bench:
    """A queue and what is around it."""

    def __init__(self, caller: Scripted, bus: MemoryBus | None = None) -> None:
        self.clock = ManualClock()
        self.bus = bus or MemoryBus(self.clock)
        self.caller = caller
        self.queue = WebhookQueue(self.bus, caller, self.clock)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with Background() as background:
            background.spawn(self.queue.run(background), "queue")
            yield
            assert not background.failed.is_set()

    async def ended(self, name: str = "one", url: str = URL, states: tuple[State, ...] = ()) -> Stored:
        record = queued(name, callback_url=url, callback_states=states)
        log = TaskLog(self.bus)
        stored = await log.create(record, Spec())
        await self.queue.add(stored)
        stored = await log.append(after(stored.record, assigned(), events.Succeeded(())), stored.sequence)
        await self.queue.add(stored)
        return stored

    def deliveries(self) -> list[WebhookDelivery]:
        return [Webhook.FromString(message.data).delivery for message in self.bus.stored(subjects.ALL_WEBHOOKS)]

    async def until_state(self, *states: int) -> list[WebhookDelivery]:
        return await until(
            lambda: found if (found := self.deliveries()) and all(d.state in states for d in found) else None
        )


async def test_an_end_is_told_once_however_often_its_record_is_read() -> None:
    bench = Bench(Scripted())
    stored = await bench.ended()
    await bench.queue.add(stored)
    async with bench.running():
        (delivery,) = await bench.until_state(WebhookDelivery.STATE_DELIVERED)
    assert bench.caller.calls == [(URL, delivery.name.partition("/")[2])]
    assert (delivery.attempt_count, delivery.last_status) == (1, 200)


async def test_states_that_were_asked_for_are_told_and_no_others() -> None:
    bench = Bench(Scripted())
    await bench.ended(states=(State.QUEUED,))
    await bench.ended("two", url="")
    async with bench.running():
        (delivery,) = await bench.until_state(WebhookDelivery.STATE_DELIVERED)
    assert WebhookDelivery.DESCRIPTOR.fields_by_name["task_state"].enum_type.values[delivery.task_state].name == (
        "STATE_QUEUED"
    )


async def test_a_task_with_very_many_artifacts_is_told_without_them() -> None:
    artifacts = tuple(
        Artifact(str(n), "a" * 100, "image/png", 1, "0" * 64, "9", "images", ArtifactKind.OUTPUT) for n in range(5000)
    )
    record = after(queued("many", callback_url=URL), assigned(), events.Succeeded(artifacts))
    _, webhook = webhook_of(Stored(record.key, 1, codec.encode(record)))
    told = json.loads(webhook.payload)["data"]
    assert (told["artifacts_left_out"], "artifacts" in told["task"]) == (True, False)


async def test_a_webhook_that_is_too_large_stops_nothing() -> None:
    bench = Bench(Scripted())
    record = queued("large", callback_url=URL, callback_states=(State.QUEUED,), display_name="x" * 3_000_000)
    await bench.queue.add(Stored(record.key, 1, codec.encode(record)))
    assert bench.deliveries() == []


async def test_what_fails_is_tried_again_under_the_same_id() -> None:
    bench = Bench(Scripted(Answer(500, "broken"), Answer(0, "away")))
    await bench.ended()
    async with bench.running():
        for tries in (1, 2):
            await until(lambda tries=tries: bench.deliveries()[0].attempt_count == tries)
            assert bench.deliveries()[0].state == WebhookDelivery.STATE_PENDING
            bench.clock.advance(100)
        await bench.until_state(WebhookDelivery.STATE_DELIVERED)
    assert len(bench.caller.calls) == 3
    assert len(set(bench.caller.calls)) == 1


async def test_what_leads_inside_is_given_up_at_once() -> None:
    bench = Bench(Scripted(Answer(0, "not a public address", hopeless=True)))
    await bench.ended()
    async with bench.running():
        (delivery,) = await bench.until_state(WebhookDelivery.STATE_FAILED)
    assert "public" in delivery.last_error


async def test_a_queue_that_was_killed_in_the_middle_of_a_call_makes_it_again() -> None:
    first = Bench(Scripted())
    first.caller.hangs = True
    await first.ended()
    async with first.running():
        await until(lambda: first.caller.calls)
    second = Bench(Scripted(), first.bus)
    async with second.running():
        await second.until_state(WebhookDelivery.STATE_DELIVERED)
    assert first.caller.calls == second.caller.calls


async def test_an_endpoint_that_hangs_delays_no_other() -> None:
    bench = Bench(Scripted())
    slow = "https://slow.example/hook"
    real = bench.caller.__class__.__call__

    async def call(url: str, webhook_id: str, body: bytes) -> Answer:
        bench.caller.hangs = url == slow
        return await real(bench.caller, url, webhook_id, body)

    bench.queue = WebhookQueue(bench.bus, call, bench.clock)
    for number in range(50):
        await bench.ended(f"slow-{number}", url=slow)
    await bench.ended("quick")
    async with bench.running():
        await until(lambda: any(d.state == WebhookDelivery.STATE_DELIVERED for d in bench.deliveries()))
    assert sum(url == slow for url, _ in bench.caller.calls) == 4


async def test_an_endpoint_that_is_down_is_not_asked_by_each_of_many() -> None:
    bench = Bench(Scripted(*[Answer(0, "away")] * 100))
    for number in range(50):
        await bench.ended(f"t{number}")
    async with bench.running():
        await until(lambda: len(bench.caller.calls) >= 5)
        assert len(bench.caller.calls) <= 8
        for _ in range(20):
            bench.clock.advance(1)
            await asyncio.sleep(0)
    assert len(bench.caller.calls) <= 8


async def test_a_restart_asks_an_endpoint_that_is_down_a_few_times_and_keeps_its_pauses() -> None:
    bench = Bench(Scripted(*[Answer(0, "away")] * 100))
    for number in range(50):
        await bench.ended(f"t{number}")
    async with bench.running():
        await until(lambda: sum(delivery.attempt_count for delivery in bench.deliveries()) >= 5)
    tried = {call for _, call in bench.caller.calls}
    again = Bench(bench.caller, bench.bus)
    bench.caller.calls.clear()
    async with again.running():
        await until(lambda: len(again.caller.calls) >= 5)
        for _ in range(20):
            await asyncio.sleep(0)
    assert len(again.caller.calls) <= 8
    # Who was tried is not due yet: that is written down.
    assert not tried & {call for _, call in again.caller.calls}


async def test_a_redelivery_that_is_asked_for_meanwhile_is_not_overwritten() -> None:
    bench = Bench(Scripted())
    bench.caller.hangs = True
    await bench.ended()
    (message,) = bench.bus.stored(subjects.ALL_WEBHOOKS)
    async with bench.running():
        await until(lambda: bench.caller.calls)
        bench.caller.hangs = False
        await bench.bus.append([Entry(message.subject, message.data, message.sequence)])
        await bench.until_state(WebhookDelivery.STATE_DELIVERED)
    assert len(bench.caller.calls) == 2
