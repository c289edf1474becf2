"""JetStream consumers that mend themselves: an endless ordered tail, and a work queue."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import datetime
from typing import Any
from uuid import uuid4

from comfymesh.bus.api import NO_MESSAGE, ApiError, Call
from comfymesh.bus.client import Delivery
from comfymesh.bus.connection import Connection
from comfymesh.bus.leadership import AskLeader
from comfymesh.bus.ordered import Order, is_heartbeat, parse_position
from comfymesh.bus.port import BusError, CaughtUp, Message

logger = logging.getLogger(__name__)

_SECOND = 1_000_000_000
_TAIL_HEARTBEAT = 1
_PULL_HEARTBEAT = 2
_FORGOTTEN = 30
_RETRY_WAIT = 0.2
_PULL_BATCH = 64
_PULL_EXPIRES = 30
_FLOW_OR_HEARTBEAT = 100


class Tail:
    """The last message of each subject, then every further one, in order and without a gap.

    The server is made to number what it delivers; whenever the numbers do not add up, or it falls silent, or the
    connection was lost, the consumer is made again from the last message taken.

    Args:
        connection: Where to.
        stream: Name of the stream.
        subject: Which messages; wildcards allowed.
        call: The JetStream API.
        ask_leader: Asks who leads the stream.
        copies: How many copies of the stream there are. With more than one, the consumer may be fed by one that lags.
        after: Every message above this sequence, instead of the last of each subject first; 0 for those.
    """

    def __init__(  # what the server is asked
        self,
        connection: Connection,
        stream: str,
        subject: str,
        call: Call,
        ask_leader: AskLeader,
        *,
        copies: int = 1,
        after: int = 0,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._subject = subject
        self._call = call
        self._ask_leader = ask_leader
        self._lags = copies > 1
        self._goal = 0
        self._clock_offset = 0.0
        self._order = Order()
        self._handed_out = after
        self._goes_on = after > 0
        self._created = ""
        self._caught_up = False

    async def messages(self) -> AsyncIterator[Message | CaughtUp]:
        """Every message, and CaughtUp once. Ends only by being closed."""
        while True:
            try:
                async with aclosing(self._one_consumer()) as consumer:
                    async for message in consumer:
                        yield message
            except BusError as error:
                logger.debug("tail of %s will be made again: %s", self._subject, error)
                await asyncio.sleep(_RETRY_WAIT)

    async def _one_consumer(self) -> AsyncGenerator[Message | CaughtUp, None]:
        queue: asyncio.Queue[Delivery | None] = asyncio.Queue()
        inbox = f"_INBOX.tail.{uuid4().hex}"
        subscription = await self._connection.subscribe(inbox, queue.put_nowait)
        forget = self._connection.on_reconnect(lambda: queue.put_nowait(None))
        name = uuid4().hex
        try:
            pending = await self._create(name, inbox)
            if caught_up := self._catch_up(pending):
                yield caught_up
            async with aclosing(self._deliveries(queue)) as deliveries:
                async for message in deliveries:
                    yield message
        finally:
            forget()
            await subscription.close()
            await self._delete(name)

    async def _deliveries(self, queue: asyncio.Queue[Delivery | None]) -> AsyncGenerator[Message | CaughtUp, None]:
        while (delivery := await _next(queue, _TAIL_HEARTBEAT)) is not None:
            if delivery.status:
                await self._answer_control(delivery)
                if not self._order.agrees(delivery.headers):
                    self._say_gap()
                    return
                if caught_up := await self._look_again(delivery):
                    yield caught_up
                continue
            position = parse_position(delivery.reply)
            if not self._order.take(position):
                self._say_gap()
                return
            if position.stream <= self._handed_out:
                continue
            self._handed_out = position.stream
            yield Message(delivery.subject, delivery.data, position.stream, position.time, self._age(position.time))
            if caught_up := self._catch_up(position.pending):
                yield caught_up

    def _say_gap(self) -> None:
        logger.info("gap in the tail of %s after %d", self._subject, self._handed_out)

    def _age(self, stored: float) -> float:
        return max(0.0, time.monotonic() + self._clock_offset - stored)

    def _catch_up(self, pending: int) -> CaughtUp | None:
        if self._caught_up or pending or self._handed_out < self._goal:
            return None
        self._caught_up = True
        return CaughtUp()

    async def _look_again(self, delivery: Delivery) -> CaughtUp | None:
        """When nothing comes for a while, the message that we still wait for may have been dropped."""
        if self._caught_up or not is_heartbeat(delivery.headers):
            return None
        self._goal = await self._last_sequence()
        return self._catch_up(0)

    async def _answer_control(self, delivery: Delivery) -> None:
        """Flow control: the server goes on once we say that we have come this far."""
        stalled = delivery.headers.get("Nats-Consumer-Stalled", "")
        if reply := delivery.reply or stalled:
            await self._connection.publish(reply, b"")

    async def _create(self, name: str, inbox: str) -> int:
        """Make the consumer; answers how many messages wait."""
        await self._check_stream()
        if self._lags and not self._caught_up:
            self._goal = await self._last_sequence()
        start: dict[str, Any] = {"deliver_policy": "last_per_subject"}
        if self._caught_up or self._goes_on:
            start = {"deliver_policy": "by_start_sequence", "opt_start_seq": self._handed_out + 1}
        self._order = Order()
        answer = await self._call(
            f"CONSUMER.CREATE.{self._stream}.{name}.{self._subject}",
            {
                "stream_name": self._stream,
                "config": {
                    **start,
                    "name": name,
                    "filter_subject": self._subject,
                    "deliver_subject": inbox,
                    "ack_policy": "none",
                    "max_deliver": 1,
                    "flow_control": True,
                    "idle_heartbeat": _TAIL_HEARTBEAT * _SECOND,
                    "inactive_threshold": _FORGOTTEN * _SECOND,
                    "mem_storage": True,
                    "num_replicas": 1,
                },
            },
        )
        return int(answer.get("num_pending", 0))

    async def _check_stream(self) -> None:
        """A stream that was made anew (one in memory, after a restart of the server) counts from one again."""
        asked = time.monotonic()
        info = await self._call(f"STREAM.INFO.{self._stream}", {})
        self._clock_offset = datetime.fromisoformat(info["ts"]).timestamp() - asked
        created = str(info["created"])
        if self._created not in {"", created}:
            logger.warning("stream %s was made anew; its tail begins again", self._stream)
            self._handed_out = 0
        self._created = created

    async def _last_sequence(self) -> int:
        """Of the last message that the stream's leader has for us; 0 where there is none."""
        try:
            answer = await self._ask_leader(
                self._stream, f"STREAM.MSG.GET.{self._stream}", {"last_by_subj": self._subject}
            )
        except ApiError as error:
            if error.code != NO_MESSAGE:
                raise
            return 0
        return int(answer["message"]["seq"])

    async def _delete(self, name: str) -> None:
        try:
            await self._connection.publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{name}", b"")
        except BusError:
            logger.debug("consumer %s will time out by itself", name)


class WorkQueue:
    """Messages of a work queue, taken off it as they are handed out.

    They are acknowledged at once and not when the work is done: the task log says what a node holds, the node's reports
    say what it has, and the scheduler sends again what is missing. So no redelivery timer can start work twice.

    Args:
        connection: Where to.
        stream: Name of the stream.
        subject: Which messages.
        name: Of the consumer.
        call: The JetStream API.
        ensure: Makes sure of the consumer, where we may not do that ourselves.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        subject: str,
        name: str,
        call: Call,
        ensure: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._subject = subject
        self._name = name
        self._call = call
        self._ensure = ensure or self._create

    async def messages(self) -> AsyncIterator[Message]:
        """Every message. Ends only by being closed."""
        while True:
            try:
                async with aclosing(self._one_consumer()) as consumer:
                    async for message in consumer:
                        yield message
            except BusError as error:
                logger.debug("work queue %s will be opened again: %s", self._subject, error)
                await asyncio.sleep(_RETRY_WAIT)

    async def _one_consumer(self) -> AsyncGenerator[Message, None]:
        await self._ensure()
        queue: asyncio.Queue[Delivery | None] = asyncio.Queue()
        inbox = f"_INBOX.work.{uuid4().hex}"
        subscription = await self._connection.subscribe(inbox, queue.put_nowait)
        forget = self._connection.on_reconnect(lambda: queue.put_nowait(None))
        try:
            while True:
                await self._pull(inbox)
                async with aclosing(self._batch(queue)) as batch:
                    async for message in batch:
                        yield message
        finally:
            forget()
            await subscription.close()

    async def _batch(self, queue: asyncio.Queue[Delivery | None]) -> AsyncGenerator[Message, None]:
        """Deliveries of one pull. Ends when it is used up; fails when the consumer has to be made again."""
        for _ in range(_PULL_BATCH):
            delivery = await self._next_of_pull(queue)
            if delivery is None:
                return
            position = parse_position(delivery.reply)
            yield Message(delivery.subject, delivery.data, position.stream, position.time)
            # After it was handed out, so that this goes out together with what the taker sends first.
            await self._connection.publish(delivery.reply, b"+ACK")

    async def _next_of_pull(self, queue: asyncio.Queue[Delivery | None]) -> Delivery | None:
        while True:
            delivery = await _next(queue, _PULL_HEARTBEAT)
            if delivery is None:
                raise BusError("the consumer fell silent")
            if delivery.status == 408:
                return None
            if delivery.status not in {0, _FLOW_OR_HEARTBEAT}:
                raise BusError(f"the pull ended with status {delivery.status}")
            if not delivery.status:
                return delivery

    async def _pull(self, inbox: str) -> None:
        request = {
            "batch": _PULL_BATCH,
            "expires": _PULL_EXPIRES * _SECOND,
            "idle_heartbeat": _PULL_HEARTBEAT * _SECOND,
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"
        await self._connection.publish(subject, json.dumps(request).encode(), inbox)

    async def _create(self) -> None:
        await create_work_consumer(self._call, self._stream, self._subject, self._name)


async def create_work_consumer(call: Call, stream: str, subject: str, name: str) -> dict[str, Any]:
    """Make sure of a work queue's consumer; answers what the server says of it."""
    return await call(
        f"CONSUMER.CREATE.{stream}.{name}.{subject}",
        {
            "stream_name": stream,
            "config": {
                "name": name,
                "durable_name": name,
                "filter_subject": subject,
                "ack_policy": "explicit",
                "deliver_policy": "all",
                "mem_storage": True,
            },
        },
    )


async def _next(queue: asyncio.Queue[Delivery | None], heartbeat: float) -> Delivery | None:
    """The next delivery; None when the connection was renewed or the server missed two heartbeats."""
    if not queue.empty():
        return queue.get_nowait()  # Without a timer, which costs more than all else that is done here.
    # Half of what asyncio.timeout costs. Where it comes together with a delivery, it is the next that is found.
    silent = asyncio.get_running_loop().call_later(2.5 * heartbeat, queue.put_nowait, None)
    try:
        return await queue.get()
    finally:
        silent.cancel()
