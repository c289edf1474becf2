"""Follows one task for one watcher: what it was, every change, the latest progress, until its final state."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial

from google.protobuf.message import DecodeError

from comfymesh import names
from comfymesh.api.errors import draining, not_found
from comfymesh.api.hub import Hub
from comfymesh.api.insight import Insight
from comfymesh.api.places import FIRST_SECONDS, Places
from comfymesh.api.readmodel import ReadModel
from comfymesh.api.watch import FINAL_STATES, Mailbox
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusUnavailableError, Message
from comfymesh.bus.streams import PROGRESS
from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.tasks.record import Key
from comfymesh.v1 import task_pb2
from comfymesh.wire.v1 import work_pb2

_INTEREST_SECONDS = 1.0
_PACE_SECONDS = 0.03
"""Progress and previews come no closer behind other messages than this: of a short task, only the states are told."""
_TOGETHER_SECONDS = 0.025
"""So long RunTask does not tell that a task waits or was assigned: of a short task, all is told in one message."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing happened for some time."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The last change, and those before it that are told at the same time, oldest first."""

    last: Stored
    before: Sequence[Stored] = ()


Told = Changes | task_pb2.TaskProgress | task_pb2.Preview | Heartbeat


class Watching:
    """Serves watchers.

    Args:
        hub: Where changes come from.
        log: Where what was before is read.
        bus: Where progress and previews come from.
        model: Knows how many tasks are ahead in the queue.
        insight: Knows why they wait, and for how long.
        heartbeat: Longest silence, in seconds.
    """

    def __init__(self, hub: Hub, log: TaskLog, bus: Bus, model: ReadModel, insight: Insight, heartbeat: float) -> None:
        self._hub = hub
        self._log = log
        self._bus = bus
        self._model = model
        self._insight = insight
        self._heartbeat = heartbeat

    def listening(self, key: Key) -> AbstractContextManager[Mailbox]:
        """A mailbox that receives every change of a task from now on."""
        return self._hub.mailbox(key)

    async def follow(
        self, mailbox: Mailbox, key: Key, *, previews: bool, together: bool = False
    ) -> AsyncGenerator[tuple[int, Told], None]:
        """Everything that comes into `mailbox`, until the task's final state, each with the position after it.

        With `together` changes wait a moment for others that may follow at once.

        Raises:
            RefusedError: the server is stopping.
        """
        heard = False
        told = asked = time.monotonic()
        places = Places(self._model, self._insight, key)
        async with AsyncExitStack() as hearing:
            while not mailbox.ended:
                await mailbox.wait(self._patience(mailbox, told, previews=previews))
                if together and mailbox.passing:
                    await _let_pass(mailbox)
                if mailbox.closed:
                    raise draining()
                now = time.monotonic()
                places.look(mailbox, now)
                items = mailbox.take(states_only=now < told + _PACE_SECONDS)
                told = now if items else told
                if states := [item for item in items if isinstance(item, Stored)]:
                    asked = 0.0  # Perhaps an attempt has begun, on a node that nobody has asked yet.
                    yield mailbox.position, Changes(states[-1], states[:-1])
                for item in items:
                    if not isinstance(item, Stored):
                        yield mailbox.position, item
                if not heard and mailbox.task.state == task_pb2.Task.STATE_RUNNING:
                    heard = True
                    await self._hear(mailbox, key, hearing, previews=previews)
                if previews and now - asked >= _INTEREST_SECONDS:
                    asked = now
                    await self._ask_for_previews(mailbox.task, key)
                if now - told >= self._heartbeat:
                    told = now
                    yield mailbox.position, Heartbeat()

    async def _hear(self, mailbox: Mailbox, key: Key, hearing: AsyncExitStack, *, previews: bool) -> None:
        """Listen to progress, and previews. Not before an attempt runs: those that are over at once tell none."""
        progress = await self._bus.subscribe(subjects.progress(key), partial(_take_progress, mailbox))
        hearing.push_async_callback(progress.close)
        if previews:
            shown = await self._bus.subscribe(subjects.preview(key), partial(_take_preview, mailbox))
            hearing.push_async_callback(shown.close)
        # What was told before. What is told from now on comes by the subscription, perhaps before this answer.
        latest = await self._bus.last(PROGRESS, subjects.progress(key))
        if latest is not None and not mailbox.has_heard:
            _take_progress(mailbox, latest)

    def _patience(self, mailbox: Mailbox, told: float, *, previews: bool) -> float:
        """How long to wait for something to happen before looking at the clock."""
        if mailbox.keeps:
            return max(0.0, told + _PACE_SECONDS - time.monotonic())
        if mailbox.waiting:
            return FIRST_SECONDS
        return min(self._heartbeat, _INTEREST_SECONDS) if previews else self._heartbeat

    async def begin(self, mailbox: Mailbox, key: Key, after: int) -> None:
        """Put into the mailbox what the watcher has not seen: everything behind sequence `after`, or a snapshot for 0.

        Raises:
            RefusedError: there is no such task.
        """
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

    async def _ask_for_previews(self, task: task_pb2.Task, key: Key) -> None:
        """Previews flow only while somebody asks the node for them, again and again."""
        if not task.node:
            return
        interest = work_pb2.PreviewInterest(tenant=key.tenant, task_id=key.task_id)
        with contextlib.suppress(BusUnavailableError):
            await self._bus.publish(subjects.interest(names.parse_node(task.node)), interest.SerializeToString())


async def _let_pass(mailbox: Mailbox) -> None:
    until = time.monotonic() + _TOGETHER_SECONDS
    while mailbox.passing and not mailbox.closed and (left := until - time.monotonic()) > 0:
        await mailbox.wait_for_more(left)


def _take_progress(mailbox: Mailbox, message: Message) -> None:
    with contextlib.suppress(DecodeError):
        mailbox.offer_progress(task_pb2.TaskProgress.FromString(message.data))


def _take_preview(mailbox: Mailbox, message: Message) -> None:
    with contextlib.suppress(DecodeError):
        mailbox.offer_preview(task_pb2.Preview.FromString(message.data))
