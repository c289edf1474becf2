"""Tells a watcher of a task that waits: its place in the queue, why it waits, and for how long."""

from __future__ import annotations

import time

from comfymesh.api.insight import Insight
from comfymesh.api.readmodel import ReadModel
from comfymesh.api.watch import Mailbox
from comfymesh.tasks.moments import timestamp
from comfymesh.tasks.record import Key
from comfymesh.v1 import queue_pb2, task_pb2

FIRST_SECONDS = 0.2
"""What is over so soon is not told."""

_PLACE_SECONDS = 1.0
_START_SECONDS = 2.0


class Places:
    """Whenever there is something new to tell, puts it into the watcher's mailbox.

    Args:
        model: Knows how many tasks are ahead.
        insight: Knows why they wait.
        key: The task.
    """

    def __init__(self, model: ReadModel, insight: Insight, key: Key) -> None:
        self._model = model
        self._insight = insight
        self._key = key
        self._told: tuple[int, str] = (0, "")
        self._start: float | None = None
        self._next = time.monotonic() + FIRST_SECONDS

    def look(self, mailbox: Mailbox, now: float) -> None:
        """Look whether there is."""
        if not mailbox.waiting:
            self._told, self._start = (0, ""), None
        elif now >= self._next:
            self._next = now + _PLACE_SECONDS
            place = self._model.ahead(mailbox.task) + 1
            waiting = self._insight.glance(self._key)
            if self._is_news(place, waiting, now):
                mailbox.offer_place(_progress(mailbox.task.attempt, place, waiting))

    def _is_news(self, place: int, waiting: queue_pb2.Waiting | None, now: float) -> bool:
        """That time passes is no news: only what happens otherwise than was told."""
        told, start = (place, waiting.reason if waiting else ""), _start(waiting, now)
        moved = (start is None) != (self._start is None) or abs((start or 0.0) - (self._start or 0.0)) > _START_SECONDS
        if told == self._told and not moved:
            return False
        self._told, self._start = told, start
        return True


def _start(waiting: queue_pb2.Waiting | None, now: float) -> float | None:
    """When the task is expected to begin, by the monotonic clock."""
    if waiting is None or not waiting.HasField("start"):
        return None
    return now + waiting.start.remaining.ToMilliseconds() / 1000


def _progress(attempt: int, place: int, waiting: queue_pb2.Waiting | None) -> task_pb2.TaskProgress:
    progress = task_pb2.TaskProgress(
        attempt=attempt,
        phase=task_pb2.TaskProgress.PHASE_WAITING,
        queue_position=place,
        update_time=timestamp(time.time()),
        waiting=waiting,
    )
    if waiting is not None and waiting.HasField("end"):
        progress.eta.CopyFrom(waiting.end.remaining)
    return progress
