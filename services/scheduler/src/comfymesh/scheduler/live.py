"""What the scheduler's next life needs of the log: tasks that have not ended, and the newest runs, to learn from."""

from __future__ import annotations

from collections.abc import Iterator

from comfymesh.bus.checkpoints import Kept, LogEvent
from comfymesh.bus.tasklog import Stored, Unreadable
from comfymesh.tasks.record import Key

LAYOUT = """
CREATE TABLE tasks (
    tenant TEXT NOT NULL, task_id TEXT NOT NULL, sequence INTEGER NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (tenant, task_id)
) WITHOUT ROWID;
CREATE TABLE runs (sequence INTEGER PRIMARY KEY, tenant TEXT NOT NULL, task_id TEXT NOT NULL, record BLOB NOT NULL);
"""

_PUT = """
INSERT INTO tasks VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET sequence = excluded.sequence, record = excluded.record
WHERE excluded.sequence > sequence
"""
_END = "DELETE FROM tasks WHERE tenant = ? AND task_id = ?"
_ALL = "SELECT tenant, task_id, sequence, record FROM tasks ORDER BY sequence"
_RAN = "INSERT INTO runs (tenant, task_id, sequence, record) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_ALL_RAN = "SELECT tenant, task_id, sequence, record FROM runs ORDER BY sequence"
_FORGET = "DELETE FROM runs WHERE sequence <= (SELECT sequence FROM runs ORDER BY sequence DESC LIMIT 1 OFFSET ?)"

_MOST_FRESH = 10_000
_MOST_RUNS = 10_000
"""Attempts that ran, of which the next life is told again: the newest."""


class LiveTasks:
    """What a scheduler that starts needs to know of the log before its tail.

    Args:
        kept: What the last life has kept; what goes with the process is not even written.
    """

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._database = kept.database
        self._reading = kept.reading
        self._fresh: dict[Key, Stored | None] = {}
        self._ran: list[Stored] = []
        self._complete = False
        self.start = kept.reading.start
        self._position = self.start.sequence if self.start else 0
        if self.start is None:
            self._database.script(LAYOUT)

    def close(self) -> None:
        """Leave everything to the next life."""
        self.write()
        self._database.close()

    def all(self) -> Iterator[Stored]:
        """Every task that had not ended at the start, in the order of their last changes."""
        return self._stored(_ALL)

    def ran(self) -> Iterator[Stored]:
        """The newest records that told of the end of an attempt which ran, in order."""
        return self._stored(_ALL_RAN)

    async def tell(self) -> None:
        """Say now and then how far the log has been read, for as long as this runs."""
        await self._kept.tell(lambda: self._position)

    def complete(self) -> None:
        """Everything that the log held has been taken in: from now on it is worth keeping."""
        self._complete = True
        self.write()

    def take(self, event: LogEvent, *, ran: bool = False) -> None:
        """Something happened in the log. It is written in time; a task that comes and ends meanwhile costs little.

        Args:
            event: What happened.
            ran: Whether it is a record that tells of the end of an attempt which ran.
        """
        self._position = event.sequence
        if not self._database.kept:
            return
        self._reading.take(event)
        if isinstance(event, Unreadable):
            return  # What was known of the task is all that is known.
        self._fresh[event.key] = event if isinstance(event, Stored) and not event.is_final else None
        if ran and isinstance(event, Stored):
            self._ran.append(event)
        if len(self._fresh) >= _MOST_FRESH:
            self.write()

    def write(self) -> None:
        """Write down what has happened."""
        if not self._fresh:
            return
        live = [_row(stored) for stored in self._fresh.values() if stored is not None]
        ended = [(key.tenant, key.task_id) for key, stored in self._fresh.items() if stored is None]
        with self._database.transaction(self._reading.note() if self._complete else ""):
            self._database.execute_many(_END, ended)
            self._database.execute_many(_PUT, live)
            if self._ran:
                self._database.execute_many(_RAN, map(_row, self._ran[-_MOST_RUNS:]))
                self._database.execute(_FORGET, (_MOST_RUNS,))
        self._fresh.clear()
        self._ran.clear()

    def _stored(self, question: str) -> Iterator[Stored]:
        for tenant, task_id, sequence, record in self._database.execute(question):
            yield Stored(Key(tenant, task_id), sequence, record)


def _row(stored: Stored) -> tuple[str, str, int, bytes]:
    return stored.key.tenant, stored.key.task_id, stored.sequence, stored.data
