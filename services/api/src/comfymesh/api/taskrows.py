"""How the read model keeps a task: a row, and one for each label."""

from __future__ import annotations

from comfymesh.bus.tasklog import Stored
from comfymesh.tasks.codec import ending_of
from comfymesh.tasks.moments import seconds
from comfymesh.tasks.usage import charged_seconds
from comfymesh.v1 import task_pb2

SCHEMA = """
CREATE TABLE tasks (
    number INTEGER PRIMARY KEY, tenant TEXT NOT NULL, task_id TEXT NOT NULL, sequence INTEGER NOT NULL,
    state INTEGER NOT NULL, priority INTEGER NOT NULL, created REAL NOT NULL, updated REAL NOT NULL,
    task_group TEXT NOT NULL,
    workflow TEXT NOT NULL, workflow_version TEXT NOT NULL,
    digest TEXT NOT NULL, reason INTEGER NOT NULL, unresolved INTEGER NOT NULL, record BLOB NOT NULL,
    gpu_seconds REAL NOT NULL, artifact_bytes INTEGER NOT NULL, task_at INTEGER NOT NULL, task_size INTEGER NOT NULL,
    UNIQUE (tenant, task_id)
);
CREATE TABLE labels (
    tenant TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (tenant, key, value, number)
) WITHOUT ROWID;
"""

INDEXES = """
CREATE INDEX by_age ON tasks (tenant, created DESC, task_id);
CREATE INDEX by_state ON tasks (tenant, state, created DESC, task_id);
CREATE INDEX dead_letters ON tasks (tenant, created DESC, task_id) WHERE unresolved;
CREATE INDEX spending ON tasks (tenant, updated, gpu_seconds) WHERE gpu_seconds > 0;
CREATE INDEX keeping ON tasks (tenant, artifact_bytes) WHERE artifact_bytes > 0;
CREATE INDEX by_digest ON tasks (tenant, digest, created DESC, task_id);
CREATE INDEX by_workflow ON tasks (tenant, workflow, created DESC, task_id) WHERE workflow != '';
CREATE INDEX by_group ON tasks (tenant, task_group, created DESC, task_id) WHERE task_group != '';
CREATE INDEX of_group ON tasks (tenant, task_group, state, sequence, created, updated) WHERE task_group != '';
CREATE INDEX in_line ON tasks (tenant, task_id, priority, created) WHERE state = 1;
"""
"""Made once all that the log held is there, which takes a fraction of keeping them up to date meanwhile."""

LAYOUT = SCHEMA + INDEXES

UPDATE = """
UPDATE tasks SET sequence = ?, state = ?, updated = ?, reason = ?, unresolved = ?, record = ?,
    gpu_seconds = ?, artifact_bytes = ?, task_at = ?, task_size = ?
WHERE tenant = ? AND task_id = ? AND sequence < ?
"""

INSERT = """
INSERT INTO tasks (
    tenant, task_id, priority, created, task_group, workflow, workflow_version, digest,
    sequence, state, updated, reason, unresolved, record, gpu_seconds, artifact_bytes, task_at, task_size
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""

LABEL = "INSERT INTO labels VALUES (?, ?, ?, ?)"

UNLABEL = "DELETE FROM labels WHERE tenant = ? AND key = ? AND value = ? AND number = ?"

TASK_DATA = "substr(record, task_at + 1, task_size), iif(task_size, NULL, record)"
"""The task's own bytes within its record; where that is written in another way than ours, the record instead."""

_MOST_BYTES = 2**63 - 1


def labels(stored: Stored, number: int) -> list[tuple[str, str, str, int]]:
    """What `LABEL` and `UNLABEL` take for the task in row `number`, each label once."""
    return [(stored.key.tenant, key, value, number) for key, value in stored.task.labels.items()]


def row(stored: Stored) -> tuple[object, ...]:
    """What `INSERT` takes."""
    task, key = stored.task, stored.key
    named = (task.group, task.workflow, task.workflow_version, task.graph_digest)
    return (key.tenant, key.task_id, task.priority, seconds(task.create_time), *named, *_changing(stored))


def change(stored: Stored) -> tuple[object, ...]:
    """What `UPDATE` takes."""
    return (*_changing(stored), stored.key.tenant, stored.key.task_id, stored.sequence)


def _changing(stored: Stored) -> tuple[object, ...]:
    task = stored.task
    standing = (stored.sequence, task.state, _updated(task), task.error.reason, _is_unresolved(task), stored.data)
    return (*standing, *_spent(stored), *_place_of_task(stored))


def _spent(stored: Stored) -> tuple[float, int]:
    """GPU-seconds that the tenant is charged with, once the task has ended, and bytes that are kept."""
    spent = _charged(stored) if stored.task.HasField("end_time") else 0.0
    # Nodes write what they like, and the database takes 64 bits.
    kept = sum(artifact.size_bytes for artifact in stored.task.artifacts)
    return spent, min(max(0, kept), _MOST_BYTES)


def _charged(stored: Stored) -> float:
    try:
        return charged_seconds(ending_of(stored.message))
    except (LookupError, ValueError):
        return 0.0  # A later version has written what this one can't read.


def _place_of_task(stored: Stored) -> tuple[int, int]:
    """Where in the record the very bytes are that callers are told of the task, and how many; 0, 0 where nowhere.

    They are looked for, and not cut out by their field's number: a record may hold a field in parts.
    """
    at = stored.data.find(stored.task_data)
    return (at, len(stored.task_data)) if at >= 0 else (0, 0)


def _updated(task: task_pb2.Task) -> float:
    """When the state changed last; the resolution of a dead letter changes none."""
    return seconds(task.end_time if task.HasField("end_time") else task.update_time)


def _is_unresolved(task: task_pb2.Task) -> bool:
    unresolved = task_pb2.Task.DEAD_LETTER_RESOLUTION_UNSPECIFIED
    return task.state == task_pb2.Task.STATE_FAILED and task.dead_letter_resolution == unresolved
