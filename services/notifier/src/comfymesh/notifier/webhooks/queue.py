"""The queue of calls to callback URLs. It is a stream: the last message of each call says how far it is.

A call that was made and not noted, since the notifier was killed in between, is made again under the same id. Every
change is guarded by the message before it, so a redelivery that somebody asks for meanwhile is not overwritten.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from comfymesh.bus import subjects
from comfymesh.bus.port import (
    Bus,
    BusUnavailableError,
    CaughtUp,
    Entry,
    Message,
    MessageTooLargeError,
    SequenceConflictError,
)
from comfymesh.bus.streams import WEBHOOKS
from comfymesh.bus.tasklog import Stored
from comfymesh.egress.guard import EgressRefusedError, parse
from comfymesh.notifier.domain.hooks import Again, Breaker, Delivered, GivenUp, judge
from comfymesh.notifier.webhooks.calling import Answer, Caller
from comfymesh.notifier.webhooks.payload import wanted, webhook_of
from comfymesh.runtime.background import Background
from comfymesh.runtime.patience import patiently
from comfymesh.tasks.moments import seconds, timestamp
from comfymesh.v1 import alert_pb2
from comfymesh.wire.v1 import alerting_pb2

logger = logging.getLogger(__name__)

_AT_ONCE = 32
_AT_ONCE_EACH = 4
_LOOK_SECONDS = 1.0


Spawn = Callable[[Coroutine[Any, Any, None], str], object]
"""Runs a coroutine beside the others."""


@dataclass(frozen=True, slots=True)
class _Pending:
    sequence: int
    subject: str
    endpoint: str


class WebhookQueue:
    """Makes calls until each was taken or is given up.

    Args:
        bus: Where they are kept.
        call: Makes one.
        clock: Answers seconds since the epoch.
    """

    def __init__(self, bus: Bus, call: Caller, clock: Callable[[], float]) -> None:
        self._bus = bus
        self._call = call
        self._clock = clock
        self._pending: dict[str, _Pending] = {}
        self._due: list[tuple[float, int, str]] = []
        self._ready: dict[str, deque[_Pending]] = {}
        self._busy = Counter[str]()
        self._breakers: dict[str, Breaker] = {}
        self._new = asyncio.Event()

    async def add(self, stored: Stored) -> None:
        """See to it that whoever wants to be called for a record is. Answers once it is stored; safe to repeat."""
        if not wanted(stored.record):
            return
        delivery_id, webhook = webhook_of(stored)
        entry = Entry(subjects.webhook(stored.key.tenant, delivery_id), webhook.SerializeToString(), 0)
        try:
            await patiently(lambda: self._bus.append([entry]), BusUnavailableError, what="queue a webhook")
        except SequenceConflictError:
            logger.debug("webhook %s is queued already", delivery_id)
        except MessageTooLargeError as error:
            # One task must not keep all others from being told.
            logger.warning("a webhook of task %s can't be queued: %s", stored.key.task_id, error)

    async def run(self, background: Background) -> None:
        """Make calls, for ever."""
        background.spawn(self._follow(), "webhooks")
        while True:
            self._new.clear()
            self._begin(background.spawn)
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._new.wait()
            except TimeoutError:
                continue

    async def _follow(self) -> None:
        async for message in self._bus.tail(WEBHOOKS, subjects.ALL_WEBHOOKS):
            if not isinstance(message, CaughtUp):
                self._take(message)

    def _take(self, message: Message) -> None:
        try:
            delivery = alerting_pb2.Webhook.FromString(message.data).delivery
        except DecodeError as error:
            logger.warning("a webhook on %s can't be read: %s", message.subject, error)
            return
        self._pending.pop(message.subject, None)
        if delivery.state == alert_pb2.WebhookDelivery.STATE_PENDING:
            pending = _Pending(message.sequence, message.subject, _endpoint(delivery.url))
            self._pending[message.subject] = pending
            heapq.heappush(self._due, (seconds(delivery.next_attempt_time), message.sequence, message.subject))
            self._new.set()

    def _begin(self, spawn: Spawn) -> None:
        """Begin what is due, as far as there is room for it."""
        now = self._clock()
        while self._due and self._due[0][0] <= now:
            _, sequence, subject = heapq.heappop(self._due)
            pending = self._pending.get(subject)
            if pending is not None and pending.sequence == sequence:
                self._ready.setdefault(pending.endpoint, deque()).append(pending)
        for endpoint in list(self._ready):
            self._begin_at(endpoint, now, spawn)
            if not self._ready[endpoint]:
                del self._ready[endpoint]

    def _begin_at(self, endpoint: str, now: float, spawn: Spawn) -> None:
        ready, breaker = self._ready[endpoint], self._breakers.setdefault(endpoint, Breaker())
        while ready and self._busy[endpoint] < _AT_ONCE_EACH and sum(self._busy.values()) < _AT_ONCE:
            if not breaker.admits(now):
                later = max(breaker.opens_until, now + _LOOK_SECONDS)
                for pending in ready:
                    heapq.heappush(self._due, (later, pending.sequence, pending.subject))
                ready.clear()
                return
            self._busy[endpoint] += 1
            spawn(self._serve(ready.popleft(), breaker), "webhook")

    async def _serve(self, pending: _Pending, breaker: Breaker) -> None:
        works = True
        try:
            message = await patiently(
                lambda: self._bus.last(WEBHOOKS, pending.subject), BusUnavailableError, what="read a webhook"
            )
            if message is not None and message.sequence == pending.sequence:  # Else the tail tells of what has changed.
                webhook = alerting_pb2.Webhook.FromString(message.data)
                answer = await self._call(webhook.delivery.url, _id(webhook), webhook.payload)
                works = answer.hopeless or 0 < answer.status < 500
                await self._note(pending, webhook, answer)
        finally:
            self._busy[pending.endpoint] -= 1
            breaker.told(self._clock(), works=works)
            if breaker.is_idle and not self._busy[pending.endpoint]:
                del self._busy[pending.endpoint]
                self._breakers.pop(pending.endpoint, None)
            self._new.set()

    async def _note(self, pending: _Pending, webhook: alerting_pb2.Webhook, answer: Answer) -> None:
        """Write down what came of a try."""
        delivery, now = webhook.delivery, self._clock()
        delivery.attempt_count += 1
        delivery.last_status, delivery.last_error = answer.status, answer.error
        verdict = judge(_id(webhook), delivery.attempt_count, answer.status, now, answer.retry_after)
        match GivenUp() if answer.hopeless else verdict:
            case Delivered():
                delivery.state = alert_pb2.WebhookDelivery.STATE_DELIVERED
            case GivenUp():
                delivery.state = alert_pb2.WebhookDelivery.STATE_FAILED
            case Again(at):
                delivery.next_attempt_time.CopyFrom(timestamp(at))
        if delivery.state != alert_pb2.WebhookDelivery.STATE_PENDING:
            delivery.ClearField("next_attempt_time")
            delivery.end_time.CopyFrom(timestamp(now))
        logger.info(
            "webhook of %s: %s",
            delivery.task,
            answer.error or "taken",
            extra={"action": "webhook_tried", "delivery": _id(webhook), "attempt": delivery.attempt_count},
        )
        entry = Entry(pending.subject, webhook.SerializeToString(), pending.sequence)
        try:
            await patiently(lambda: self._bus.append([entry]), BusUnavailableError, what="note a webhook")
        except SequenceConflictError:
            logger.debug("%s was changed meanwhile", delivery.name)


def _id(webhook: alerting_pb2.Webhook) -> str:
    return webhook.delivery.name.partition("/")[2]


def _endpoint(url: str) -> str:
    try:
        target = parse(url)
    except EgressRefusedError:
        return ""
    return f"{target.scheme}://{target.host}:{target.port}"
