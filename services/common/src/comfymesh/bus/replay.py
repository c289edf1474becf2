"""Every message of the task log from some place on, each once: for those who count what happens."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusError, CaughtUp, Message
from comfymesh.bus.streams import TASKS
from comfymesh.runtime.patience import patiently

_PAGE = 256


async def every(bus: Bus, position: int) -> AsyncGenerator[Message]:
    """Every message of a task after `position`, in order, without end. 0 for all that the log still has."""
    if position == 0:
        for message in await _first(bus):
            yield message
            position = message.sequence
    async for item in bus.tail(TASKS, subjects.ALL_TASKS, position):
        if not isinstance(item, CaughtUp):
            yield item


async def _first(bus: Bus) -> Sequence[Message]:
    """The first messages of the log, once there are some. A tail from 0 passes over all but the last of each task."""
    tail = bus.tail(TASKS, subjects.ALL_TASKS)
    async with aclosing(tail) as messages:  # type: ignore[type-var]  # all of them are generators
        async for _ in messages:
            found = await patiently(
                lambda: bus.after(TASKS, subjects.ALL_TASKS, 0, _PAGE), BusError, what="read the log"
            )
            if found:
                return found
    return []
