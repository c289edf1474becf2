"""The tasks of the mesh in a form that can be searched. Built from the log by each replica, which may keep it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from comfymesh.api import taskrows
from comfymesh.api.line import Line, Turn
from comfymesh.api.query import Query
from comfymesh.bus.checkpoints import Kept, temporary
from comfymesh.bus.tasklog import Dropped, Stored, Unreadable
from comfymesh.tasks.moments import seconds
from comfymesh.tasks.record import Key
from comfymesh.v1 import task_pb2

_GROUP = """
SELECT state, count(*), max(sequence), min(created), max(updated) FROM tasks
WHERE tenant = ? AND task_group = ? AND task_group != '' GROUP BY state
"""

_OF_WORKFLOW = """SELECT 1 FROM tasks WHERE tenant = ? AND workflow = ? AND workflow != ''
    AND (workflow_version = ? OR ? = '') LIMIT 1"""

_WAITING = "SELECT tenant, task_id, priority, created FROM tasks WHERE state = 1"

_COUNT = "SELECT count(*) FROM (SELECT 1 FROM tasks WHERE tenant = ? AND state = ? LIMIT ?)"

_GPU_SECONDS = "SELECT total(gpu_seconds) FROM tasks WHERE tenant = ? AND updated >= ? AND gpu_seconds > 0"

_ARTIFACT_BYTES = "SELECT total(artifact_bytes) FROM tasks WHERE tenant = ? AND artifact_bytes > 0"

_RECORDS = "SELECT number, tenant, task_id, sequence, record FROM tasks WHERE number > ? ORDER BY number LIMIT ?"

_BATCH = 256
"""Records that may wait to be taken in: a burst of them costs one transaction, and a task that runs through one row."""

_LOAD_BATCH = 10_000
"""The same while the log is read, when nobody asks."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended. The next one goes on behind it, whatever has come or changed meanwhile."""

    created: float
    task_id: str


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """What the tasks of a group have come to.

    Attributes:
        counts: How many tasks are in each state, by the state's number.
        sequence: The last change of any of them.
        created: When the first was created, seconds since the epoch.
        updated: When the state of one changed last, seconds since the epoch.
    """

    counts: Mapping[int, int]
    sequence: int
    created: float
    updated: float


class ReadModel:
    """All tasks, as the log has them.

    Args:
        kept: What the last life of the replica has made of the log; by default this begins with nothing.

    Attributes:
        position: How far the log had been read then.
    """

    def __init__(self, kept: Kept | None = None) -> None:
        kept = kept or temporary(taskrows.LAYOUT)
        self._database = kept.database
        self._reading = kept.reading
        self._complete = False
        self._fresh: dict[Key, Stored] = {}
        self._turns: dict[Key, Turn] = {}
        self._line = Line()
        self.position = kept.reading.start.sequence if kept.reading.start else 0
        if kept.reading.start is None:
            self._database.script(taskrows.SCHEMA)
        for tenant, task_id, priority, created in self._database.rows(_WAITING):
            self._turns[Key(tenant, task_id)] = turn = (-priority, created)
            self._line.add(turn)

    def close(self) -> None:
        """Leave everything to the next life, or drop it."""
        self._take_in()
        self._database.close()

    def complete(self) -> None:
        """Everything that the log held has been put."""
        self._take_in()
        if self._reading.start is None:
            self._database.script(taskrows.INDEXES)
        self._complete = True
        with self._database.transaction(self._reading.note()):
            """From now on it is worth keeping."""

    def pass_over(self, item: Unreadable) -> None:
        """The last record of a task can't be read."""
        self._reading.take(item)

    def put(self, stored: Stored) -> None:
        """Take in a record."""
        self._reading.take(stored)
        known = self._fresh.get(stored.key)
        if known is None or known.sequence < stored.sequence:
            self._fresh[stored.key] = stored
        self._line_up(stored)
        if len(self._fresh) >= (_BATCH if self._complete else _LOAD_BATCH):
            self._take_in()

    def ahead(self, task: task_pb2.Task) -> int:
        """How many waiting tasks come before this one."""
        return self._line.before(_turn(task))

    def _take_in(self) -> None:
        """Everything that was put since the last time."""
        if not self._fresh:
            return
        with self._database.transaction(self._reading.note() if self._complete else ""):
            for stored in self._fresh.values():
                if not self._update(stored):
                    self._insert(stored)
        self._fresh.clear()

    def _update(self, stored: Stored) -> bool:
        return self._database.execute(taskrows.UPDATE, taskrows.change(stored)).rowcount > 0

    def _insert(self, stored: Stored) -> None:
        cursor = self._database.execute(taskrows.INSERT, taskrows.row(stored))
        # Without an effect, the record is older than what is known.
        if cursor.rowcount and cursor.lastrowid is not None:
            self._database.execute_many(taskrows.LABEL, taskrows.labels(stored, cursor.lastrowid))

    def _line_up(self, stored: Stored) -> None:
        if (known := self._turns.pop(stored.key, None)) is not None:
            self._line.remove(known)
        if stored.task.state == task_pb2.Task.STATE_QUEUED:
            self._turns[stored.key] = turn = _turn(stored.task)
            self._line.add(turn)

    def group(self, tenant: str, name: str) -> GroupSummary | None:
        """What a group has come to; None where none of its tasks is known."""
        self._take_in()
        rows = self._database.rows(_GROUP, (tenant, name))
        if not rows:
            return None
        states, counts, sequences, created, updated = zip(*rows, strict=True)
        return GroupSummary(dict(zip(states, counts, strict=True)), max(sequences), min(created), max(updated))

    def count(self, tenant: str, state: int, most: int = -1) -> int:
        """How many tasks of a tenant are in a state; at most `most` are counted, -1 for all."""
        self._take_in()
        (found,) = self._database.execute(_COUNT, (tenant, state, most)).fetchone()
        return int(found)

    def has_tasks_of(self, tenant: str, workflow: str) -> bool:
        """Whether any task of a tenant was made of a workflow, or of one version where the name is a version's."""
        self._take_in()
        name, _, number = workflow.partition("/versions/")
        version = workflow if number else ""
        return bool(self._database.rows(_OF_WORKFLOW, (tenant, name, version, version)))

    def gpu_seconds(self, tenant: str, since: float) -> float:
        """GPU-seconds that a tenant was charged with for tasks that have ended since then."""
        self._take_in()
        (total,) = self._database.execute(_GPU_SECONDS, (tenant, since)).fetchone()
        return float(total)

    def artifact_bytes(self, tenant: str) -> int:
        """Bytes of all artifacts of a tenant."""
        self._take_in()
        (total,) = self._database.execute(_ARTIFACT_BYTES, (tenant,)).fetchone()
        return int(total)

    @property
    def unreadable(self) -> frozenset[Key]:
        """Tasks whose last record can't be read, so that nobody knows what is in it."""
        return self._reading.unreadable

    def records(self, after: int, limit: int) -> tuple[list[Stored], int]:
        """Some tasks of all tenants, and where to go on; `after` once there are no more. For those who need every one.

        What changes meanwhile is told as it was or as it is; no task is left out that was there all the time.
        """
        self._take_in()
        rows = self._database.rows(_RECORDS, (after, limit))
        found = [Stored(Key(tenant, task_id), sequence, record) for _, tenant, task_id, sequence, record in rows]
        return found, rows[-1][0] if rows else after

    def page(
        self, query: Query, size: int, after: Place | None, up_to: int | None = None
    ) -> tuple[list[Stored], Place | None]:
        """At most `size` tasks behind `after`, and where the page ended; None when nothing follows.

        With `up_to`, only tasks that have not changed since that position of the log.
        """
        rows, place = self._page("sequence, record", query, size, after, up_to)
        found = [Stored(Key(query.tenant, task_id), sequence, record) for _, task_id, sequence, record in rows]
        return found, place

    def page_of_data(self, query: Query, size: int, after: Place | None) -> tuple[list[bytes], Place | None]:
        """As `page`, each task as callers see it and encoded: none of them is read for that."""
        rows, place = self._page(taskrows.TASK_DATA, query, size, after)
        return [
            data or Stored(Key(query.tenant, task_id), 0, whole).task_data for _, task_id, data, whole in rows
        ], place

    def _page(
        self, columns: str, query: Query, size: int, after: Place | None, up_to: int | None = None
    ) -> tuple[list[tuple[Any, ...]], Place | None]:
        """Rows of when a task was created, its id, and `columns`; and where they ended, as `page`."""
        self._take_in()
        conditions, values = _conditions(query, after)
        if up_to is not None:
            conditions.append("sequence <= ?")
            values.append(up_to)
        statement = (
            f"SELECT created, task_id, {columns} FROM tasks WHERE "  # noqa: S608  # only our own text
            f"{' AND '.join(conditions)} ORDER BY created DESC, task_id LIMIT ?"
        )
        rows = self._database.rows(statement, [*values, size + 1])
        return rows[:size], Place(*rows[size - 1][:2]) if len(rows) > size else None

    def drop(self, gone: Dropped) -> None:
        """Forget a task that has left the log."""
        key = gone.key
        self._reading.take(gone)
        self._fresh.pop(key, None)
        if (turn := self._turns.pop(key, None)) is not None:
            self._line.remove(turn)
        chosen = "SELECT number, sequence, record FROM tasks WHERE tenant = ? AND task_id = ?"
        for number, sequence, record in self._database.rows(chosen, (key.tenant, key.task_id)):
            with self._database.transaction():
                # SQLite gives the number to another task: a label that stayed would become that one's.
                self._database.execute_many(taskrows.UNLABEL, taskrows.labels(Stored(key, sequence, record), number))
                self._database.execute("DELETE FROM tasks WHERE number = ?", (number,))


def _turn(task: task_pb2.Task) -> Turn:
    return (-task.priority, seconds(task.create_time))


def _names(query: Query) -> Iterator[tuple[str, str]]:
    """What a task must belong to."""
    if query.group:
        yield "task_group = ? AND task_group != ''", query.group
    if query.workflow:
        workflow, _, number = query.workflow.partition("/versions/")
        yield "workflow = ? AND workflow != ''", workflow
        if number:
            yield "workflow_version = ?", query.workflow
    if query.graph_digest:
        yield "digest = ?", query.graph_digest


def _conditions(query: Query, after: Place | None) -> tuple[list[str], list[object]]:
    conditions, values = ["tenant = ?"], list[object]([query.tenant])
    if query.states:
        conditions.append(f"state IN ({', '.join('?' * len(query.states))})")
        values.extend(query.states)
    if query.unresolved:
        conditions.append("unresolved")
    if query.reasons:
        conditions.append(f"reason IN ({', '.join('?' * len(query.reasons))})")
        values.extend(query.reasons)
    for condition, wanted in _names(query):
        conditions.append(condition)
        values.append(wanted)
    for key, value in query.labels.items():
        conditions.append("number IN (SELECT number FROM labels WHERE tenant = ? AND key = ? AND value = ?)")
        values.extend((query.tenant, key, value))
    for condition, moment in (
        ("created >= ?", query.created_after),
        ("created < ?", query.created_before),
        ("updated >= ?", query.ended_after),
        ("updated < ?", query.ended_before),
    ):
        if moment is not None:
            conditions.append(condition)
            values.append(moment)
    if after is not None:
        conditions.append("(created < ? OR (created = ? AND task_id > ?))")
        values.extend((after.created, after.created, after.task_id))
    return conditions, values
