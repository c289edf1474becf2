"""Drops tasks from the log some time after their end.

Keeps nothing: the log is in order of time, so what is old is at its beginning, and each sweep begins there. What it
meets again each time are early records of tasks that live longer than the retention, which are few.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from comfymesh.bus import bulk
from comfymesh.bus.port import BusError
from comfymesh.bus.tasklog import StaleRecordError, Stored, TaskLog, UnreadableRecordError
from comfymesh.tasks.retention import Retention

logger = logging.getLogger(__name__)

_PAGE = 256


class Janitor:
    """Sweeps the log. One is enough; several do no harm, since every drop is guarded.

    Args:
        log: The log.
        retention: How long tasks are kept.
        clock: Answers seconds since the epoch.
        every: Seconds between two sweeps.
    """

    def __init__(self, log: TaskLog, retention: Retention, clock: Callable[[], float], every: float = 60.0) -> None:
        self._log = log
        self._retention = retention
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            try:
                await self.sweep()
            except BusError as error:
                logger.debug("the log can't be swept now: %s", error)
            await asyncio.sleep(self._every)

    async def sweep(self) -> int:
        """Drop every task whose time is over; answers how many.

        Raises:
            BusError: the bus can't be reached. The next sweep goes on where this one ended.
        """
        now, place, dropped = self._clock(), 0, 0
        while True:
            records, end = await self._log.page(place, _PAGE)
            old = [stored for stored in records if not self._retention.covers(stored.record.update_time, now)]
            # A dead letter and its resolution are two records of one task: the last counts.
            over = {stored.key: stored for stored in old if self._retention.is_over(stored.record, now)}
            dropped += await self._drop(list(over.values()))
            if end == place or len(old) < len(records):
                break
            place = end
        if dropped:
            logger.info("dropped %d tasks", dropped, extra={"action": "tasks_dropped", "count": dropped})
        return dropped

    async def _drop(self, ended: Sequence[Stored]) -> int:
        return sum(await bulk.each(ended, self._drop_one))

    async def _drop_one(self, stored: Stored) -> bool:
        try:
            await self._log.drop(stored)
        except StaleRecordError as error:
            # Behind the end there may be the resolution of a dead letter, which does not keep it any longer.
            last = error.last
            return last is not None and self._is_over(last) and await self._drop_one(last)
        except UnreadableRecordError as error:
            logger.debug("a task can't be dropped: %s", error)
            return False
        return True

    def _is_over(self, stored: Stored) -> bool:
        return self._retention.is_over(stored.record, self._clock())
