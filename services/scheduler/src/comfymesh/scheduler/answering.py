"""Answers what API processes ask of the scheduler that acts."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Protocol

from google.protobuf.message import DecodeError

from comfymesh.scheduler import views
from comfymesh.scheduler.domain.views import Explanation, QueueOverview
from comfymesh.tasks.record import Key
from comfymesh.wire.v1 import scheduling_pb2

logger = logging.getLogger(__name__)

_MOST_TASKS = 200
_ANSWERS = re.compile(r"told\.[0-9a-f]{1,64}")


class Views(Protocol):
    """What can be seen of a core."""

    def explain(self, key: Key, now: float) -> Explanation | None:
        """Why a task waits; None where it does not."""
        ...

    def overview(self, now: float) -> QueueOverview:
        """What waits and runs."""
        ...


def answer(data: bytes, core: Views, now: float) -> tuple[str, scheduling_pb2.SchedulingAnswer] | None:
    """Where the answer to a question goes, and the answer; None where nobody can have asked so."""
    try:
        question = scheduling_pb2.SchedulingQuestion.FromString(data)
    except DecodeError as error:
        logger.warning("a question can't be read: %s", error)
        return None
    if not _ANSWERS.fullmatch(question.reply_to):
        logger.warning("a question wants its answer on %r", question.reply_to[:64])
        return None
    told = scheduling_pb2.SchedulingAnswer(number=question.number, tasks=_tasks(question, core, now))
    if question.queue:
        told.queue.CopyFrom(views.queue(core.overview(now)))
    return question.reply_to, told


def _tasks(
    question: scheduling_pb2.SchedulingQuestion, core: Views, now: float
) -> Iterator[scheduling_pb2.WaitingTask]:
    for task in question.tasks[:_MOST_TASKS]:
        explanation = core.explain(Key(task.tenant, task.task_id), now)
        if explanation is not None:
            yield scheduling_pb2.WaitingTask(task=task, waiting=views.waiting(explanation))
