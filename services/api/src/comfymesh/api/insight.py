"""Asks the scheduler that acts why tasks wait, for those that somebody looks at.

However many look, one question is on its way at a time, and it holds everything that was asked for meanwhile. What was
answered stays good for a moment. So the scheduler is asked a few times a second by each API process at most, and for a
bounded number of tasks; who gets no answer in time goes without.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import uuid4

from google.protobuf.message import DecodeError

from comfymesh.api.errors import RefusedError
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusError, Message
from comfymesh.tasks.record import Key
from comfymesh.v1 import queue_pb2
from comfymesh.wire.v1 import scheduling_pb2

MOST_TASKS = 200
"""Tasks of one question."""

_FRESH_SECONDS = 2.0
_KEPT_SECONDS = 10.0
"""What is older tells of an earlier wait, or of a scheduler that is gone."""
_ANSWER_SECONDS = 0.5
_PATIENCE_SECONDS = 0.1
_REMEMBERED = 10_000


@dataclass(slots=True)
class _Round:
    """What the next question holds, and who waits for its answer."""

    keys: dict[Key, None] = field(default_factory=dict)
    queue: bool = False
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    answer: scheduling_pb2.SchedulingAnswer | None = None


@dataclass(frozen=True, slots=True)
class _Told:
    waiting: queue_pb2.Waiting | None
    at: float


class Insight:
    """Knows why tasks wait.

    Args:
        bus: Where the scheduler is asked.
        clock: Answers seconds of a monotonic clock.
    """

    def __init__(self, bus: Bus, clock: Callable[[], float]) -> None:
        self._bus = bus
        self._clock = clock
        self._name = uuid4().hex
        self._number = 0
        self._next = _Round()
        self._asked: _Round | None = None
        self._wanted = asyncio.Event()
        self._known: dict[Key, _Told] = {}
        self._answers = True

    async def run(self) -> None:
        """Ask, for ever."""
        subscription = await self._bus.subscribe(subjects.answers(self._name), self._hear)
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                self._asked, self._next = self._next, _Round()
                await self._ask(self._asked)
        finally:
            await subscription.close()

    def glance(self, key: Key) -> queue_pb2.Waiting | None:
        """Why a task waits, as far as it is known now; what is not, or not any more, is asked for the next time."""
        if self._told(key, _FRESH_SECONDS) is None:
            self._want(key)
        known = self._told(key, _KEPT_SECONDS)
        return known.waiting if known else None

    async def waiting(self, key: Key) -> queue_pb2.Waiting | None:
        """Why a task waits; None where it does not, or nobody answers at once."""
        if self._told(key, _FRESH_SECONDS) is None:
            asked = self._want(key)
            # Where nobody has answered lately, nobody is kept waiting.
            if self._answers and key in asked.keys:
                await _until(asked, _PATIENCE_SECONDS)
        known = self._told(key, _KEPT_SECONDS)
        return known.waiting if known else None

    async def queue(self) -> queue_pb2.Queue:
        """What waits and runs.

        Raises:
            RefusedError: nobody answers.
        """
        asked = self._next
        asked.queue = True
        self._wanted.set()
        # A round may have to wait for the one before.
        await _until(asked, 2 * _ANSWER_SECONDS)
        if asked.answer is None:
            message = "no scheduler answers that acts; tasks are accepted all the same, try again in a moment"
            raise RefusedError("SCHEDULER_UNAVAILABLE", message, retry_after=1.0)
        return asked.answer.queue

    def _told(self, key: Key, within: float) -> _Told | None:
        """What was answered of a task within so many seconds."""
        known = self._known.get(key)
        return known if known is not None and self._clock() - known.at <= within else None

    def _want(self, key: Key) -> _Round:
        """Have the next question ask for a task, if there is room in it."""
        asked = self._next
        if len(asked.keys) < MOST_TASKS:
            asked.keys[key] = None
            self._wanted.set()
        return asked

    async def _ask(self, asked: _Round) -> None:
        self._number += 1
        question = scheduling_pb2.SchedulingQuestion(
            reply_to=subjects.answers(self._name), number=self._number, tasks=_keys(asked), queue=asked.queue
        )
        with contextlib.suppress(TimeoutError, BusError):
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._bus.publish(subjects.SCHEDULING_QUESTIONS, question.SerializeToString())
                await asked.answered.wait()
        self._answers = asked.answer is not None
        asked.answered.set()

    def _hear(self, message: Message) -> None:
        with contextlib.suppress(DecodeError):
            answer = scheduling_pb2.SchedulingAnswer.FromString(message.data)
            if self._asked is not None and answer.number == self._number and not self._asked.answered.is_set():
                self._take(self._asked, answer)

    def _take(self, asked: _Round, answer: scheduling_pb2.SchedulingAnswer) -> None:
        now = self._clock()
        told = {Key(each.task.tenant, each.task.task_id): each.waiting for each in answer.tasks}
        for key in asked.keys:
            self._known.pop(key, None)
            self._known[key] = _Told(told.get(key), now)
        while len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        asked.answer = answer
        asked.answered.set()


async def _until(asked: _Round, seconds: float) -> None:
    """Wait for an answer, but not for ever."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asked.answered.wait()


def _keys(asked: _Round) -> Iterator[scheduling_pb2.TaskKey]:
    return (scheduling_pb2.TaskKey(tenant=key.tenant, task_id=key.task_id) for key in asked.keys)
