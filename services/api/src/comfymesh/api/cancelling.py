"""Asks for tasks to be stopped."""

from __future__ import annotations

import time
from dataclasses import dataclass

from comfymesh import names
from comfymesh.api.errors import RefusedError, not_found
from comfymesh.bus import records
from comfymesh.bus.tasklog import StaleRecordError, Stored, TaskLog
from comfymesh.runtime.faultpoints import FaultPoint, reached
from comfymesh.tasks.events import CancelRequested
from comfymesh.tasks.record import State

_TRIES = 10


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What became of the wish to cancel a task.

    Attributes:
        task: The task now: cancelled, being cancelled, or ended otherwise.
        changed: Whether it was this call that has changed it.
    """

    task: Stored
    changed: bool


async def cancel(log: TaskLog, stored: Stored, reason: str) -> Cancelled:
    """Cancel a task, whatever it is doing meanwhile. One that has ended is left as it is.

    Raises:
        RefusedError: the task is gone, or does not hold still.
        UnreadableRecordError: its record can't be read.
    """
    records.check_value(stored)
    name = names.task(stored.key.task_id)
    for _ in range(_TRIES):
        if stored.record.is_final or stored.record.state is State.CANCELLING:
            return Cancelled(stored, changed=False)
        try:
            changed = await log.change(stored, CancelRequested(reason), time.time())
        except StaleRecordError as error:
            if error.last is None:
                raise not_found("task", name) from error
            stored = error.last
        else:
            reached(FaultPoint.CANCEL_STORED)
            return Cancelled(changed, changed=True)
    message = f"{name} changed {_TRIES} times while it was being cancelled; try again"
    raise RefusedError("BUS_UNAVAILABLE", message, retry_after=0.1)
