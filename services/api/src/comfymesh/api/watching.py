"""Follows one task for one watcher: what it was, every change, the latest progress, until its final state."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from comfymesh import names
from comfymesh.api.errors import draining, not_found
from comfymesh.api.hub import Hub
from comfymesh.api.readmodel import ReadModel
from comfymesh.api.watch import FINAL_STATES, Item, Mailbox
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusUnavailableError, Message
from comfymesh.bus.streams import PROGRESS
from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.tasks.codec import timestamp
from comfymesh.tasks.record import Key
from comfymesh.v1 import task_pb2

_INTEREST_SECONDS = 1.0
_PLACE_SECONDS = 1.0
_FIRST_PLACE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing happened for some time."""


class Watching:
    """Serves watchers.

    Args:
        hub: Where changes come from.
        log: Where what was before is read.
        bus: Where progress and previews come from.
        model: Knows how many tasks are ahead in the queue.
        heartbeat: Longest silence, in seconds.
    """

    def __init__(self, hub: Hub, log: TaskLog, bus: Bus, model: ReadModel, heartbeat: float) -> None:
        self._hub = hub
        self._log = log
        self._bus = bus
        self._model = model
        self._heartbeat = heartbeat

    async def watch(self, key: Key, after: int, *, previews: bool) -> AsyncIterator[tuple[int, Item | Heartbeat]]:
        """Everything from sequence `after` on (0 for a snapshot), each with the position after it.

        Raises:
            RefusedError: no such task, or the server is stopping.
        """
        with self._hub.mailbox(key) as mailbox:
            await self._begin(mailbox, key, after)
            async with contextlib.aclosing(self.follow(mailbox, key, previews=previews)) as items:
                async for item in items:
                    yield item

    async def follow(
        self, mailbox: Mailbox, key: Key, *, previews: bool
    ) -> AsyncGenerator[tuple[int, Item | Heartbeat], None]:
        """Everything that comes into `mailbox`, until the task's final state."""
        async with AsyncExitStack() as stack:
            await self._listen(stack, mailbox, key, previews=previews)
            silent_since = time.monotonic()
            while mailbox.task.state not in FINAL_STATES:
                await mailbox.wait(_FIRST_PLACE_SECONDS if mailbox.waiting else self._heartbeat)
                if mailbox.closed:
                    raise draining()
                for item in mailbox.take():
                    silent_since = time.monotonic()
                    # Several states may be taken at once; each goes out with its own position.
                    yield item.sequence if isinstance(item, Stored) else mailbox.position, item
                    if previews and isinstance(item, Stored):
                        await self._ask_for_previews(key)  # An attempt may just have begun to listen.
                if time.monotonic() - silent_since >= self._heartbeat:
                    silent_since = time.monotonic()
                    yield mailbox.position, Heartbeat()

    async def _begin(self, mailbox: Mailbox, key: Key, after: int) -> None:
        """Put into the mailbox what the watcher has not seen: everything behind its token, or a snapshot."""
        last = await self._log.get(key)
        if last is None:
            raise not_found("task", names.task(key.task_id))
        known = await self._log.history(key, after - 1) if 0 < after <= last.sequence else []
        if known and known[0].sequence == after and known[0].task.state not in FINAL_STATES:
            mailbox.begin(after, known[0].task)
            missed = known[1:]
        else:
            mailbox.begin(last.sequence - 1)
            missed = [last]
        for stored in missed:
            mailbox.offer(stored)

    async def _listen(self, stack: AsyncExitStack, mailbox: Mailbox, key: Key, *, previews: bool) -> None:
        def take_progress(message: Message) -> None:
            with contextlib.suppress(DecodeError):
                mailbox.offer_progress(task_pb2.TaskProgress.FromString(message.data))

        def take_preview(message: Message) -> None:
            with contextlib.suppress(DecodeError):
                mailbox.offer_preview(task_pb2.Preview.FromString(message.data))

        progress = await self._bus.subscribe(subjects.progress(key), take_progress)
        stack.push_async_callback(progress.close)
        # Whoever comes late gets the latest; what is published from now on comes by the subscription.
        latest = await self._bus.last(PROGRESS, subjects.progress(key))
        if latest is not None:
            take_progress(latest)
        tasks = [asyncio.ensure_future(self._tell_place(mailbox))]
        if previews:
            subscription = await self._bus.subscribe(subjects.preview(key), take_preview)
            stack.push_async_callback(subscription.close)
            tasks.append(asyncio.ensure_future(self._show_interest(key)))
        stack.push_async_callback(_cancel, tasks)

    async def _show_interest(self, key: Key) -> None:
        """Previews flow only while somebody asks for them, again and again."""
        while True:
            await self._ask_for_previews(key)
            await asyncio.sleep(_INTEREST_SECONDS)

    async def _ask_for_previews(self, key: Key) -> None:
        with contextlib.suppress(BusUnavailableError):
            await self._bus.publish(subjects.interest(key), b"")

    async def _tell_place(self, mailbox: Mailbox) -> None:
        """The place in the queue, while the task waits and whenever it changes."""
        told, pause = 0, _FIRST_PLACE_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = _PLACE_SECONDS
            if not mailbox.waiting:
                told = 0
                continue
            place = self._model.ahead(mailbox.task) + 1
            if place != told:
                told = place
                mailbox.offer_place(_place(mailbox.task.attempt, place))


def _place(attempt: int, place: int) -> task_pb2.TaskProgress:
    return task_pb2.TaskProgress(
        attempt=attempt,
        phase=task_pb2.TaskProgress.PHASE_WAITING,
        queue_position=place,
        update_time=timestamp(time.time()),
    )


async def _cancel(tasks: Sequence[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
