"""Answers what API processes ask of the scheduler that acts."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from google.protobuf.message import DecodeError

from comfymesh.scheduler import views
from comfymesh.scheduler.domain.events import TaskChanged
from comfymesh.scheduler.domain.explaining import Summing
from comfymesh.scheduler.domain.lanes import Waiting
from comfymesh.scheduler.domain.views import Estimate, Explanation, QueueOverview
from comfymesh.tasks.record import Key
from comfymesh.wire.v1 import scheduling_pb2

logger = logging.getLogger(__name__)

_MOST_TASKS = 200
_ANSWERS = re.compile(r"told\.[0-9a-f]{1,64}")
_AT_ONCE = 2000
_GOOD_FOR = 20


class Views(Protocol):
    """What can be seen of a core."""

    def explain(self, key: Key, now: float) -> Explanation | None:
        """Why a task waits; None where it does not."""
        ...

    def start(self, task: Waiting, now: float) -> Estimate | None:
        """When a task that waits is expected to begin; None where nobody can tell."""
        ...

    def tasks(self) -> Sequence[TaskChanged | Waiting]:
        """Everything that waits or runs."""
        ...


class Answering:
    """Answers questions, without keeping the scheduler from its work.

    Args:
        core: What is asked about.
        clock: Answers seconds since the epoch.
    """

    def __init__(self, core: Views, clock: Callable[[], float]) -> None:
        self._core = core
        self._clock = clock
        self._summing = asyncio.Lock()
        self._summed = QueueOverview()
        self._good_until = 0.0

    async def answer(self, data: bytes) -> tuple[str, scheduling_pb2.SchedulingAnswer] | None:
        """Where the answer to a question goes, and the answer; None where nobody can have asked so."""
        try:
            question = scheduling_pb2.SchedulingQuestion.FromString(data)
        except DecodeError as error:
            logger.warning("a question can't be read: %s", error)
            return None
        if not _ANSWERS.fullmatch(question.reply_to):
            logger.warning("a question wants its answer on %r", question.reply_to[:64])
            return None
        told = scheduling_pb2.SchedulingAnswer(number=question.number, tasks=self._tasks(question))
        if question.queue:
            told.queue.CopyFrom(views.queue(await self.overview()))
        return question.reply_to, told

    def _tasks(self, question: scheduling_pb2.SchedulingQuestion) -> Iterator[scheduling_pb2.WaitingTask]:
        now = self._clock()
        for task in question.tasks[:_MOST_TASKS]:
            explanation = self._core.explain(Key(task.tenant, task.task_id), now)
            if explanation is not None:
                yield scheduling_pb2.WaitingTask(task=task, waiting=views.waiting(explanation))

    async def overview(self) -> QueueOverview:
        """The queue, summed up in pieces between which other work is done; the longer that takes, the longer it holds.

        Of a long queue the answer comes too late for whoever asked first, and is there for who asks again.
        """
        async with self._summing:
            began = self._clock()
            if began >= self._good_until:
                summing = Summing()
                for number, task in enumerate(self._core.tasks(), 1):
                    summing.add(task)
                    if number % _AT_ONCE == 0:
                        await asyncio.sleep(0)
                self._summed = summing.overview(lambda task: self._core.start(task, began))
                ended = self._clock()
                self._good_until = ended + _GOOD_FOR * (ended - began)
            return self._summed
