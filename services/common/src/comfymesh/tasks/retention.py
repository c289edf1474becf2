"""How long a task is kept. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from comfymesh.tasks.record import TaskRecord


@dataclass(frozen=True, slots=True)
class Retention:
    """Tasks are kept until `seconds` after their end; one that has not ended is kept, however old it is."""

    seconds: float

    def is_over(self, record: TaskRecord, now: float) -> bool:
        """Whether the task may be dropped at `now`, seconds since the epoch."""
        return record.is_final and not self.covers(record.end_time or record.update_time, now)

    def covers(self, moment: float, now: float) -> bool:
        """Whether what happened at `moment` is too recent for anything to be dropped for it."""
        return now - moment < self.seconds
