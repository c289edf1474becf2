"""What the core wants done."""

from __future__ import annotations

from dataclasses import dataclass

from comfymesh.tasks import events
from comfymesh.tasks.record import Key, TaskRecord


@dataclass(frozen=True, slots=True)
class Change:
    """Append what `event` makes of `record` to the log, if `sequence` is still the task's last."""

    record: TaskRecord
    sequence: int
    event: events.Event


@dataclass(frozen=True, slots=True)
class SendWork:
    """Hand the attempt in `record`, which the log has at `sequence`, to its node."""

    record: TaskRecord
    sequence: int


@dataclass(frozen=True, slots=True)
class StopWork:
    """Tell a node that an attempt is no longer wanted."""

    node: str
    key: Key
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReadCatalog:
    """Read a catalog and tell it with CatalogRead."""

    digest: str


Decision = Change | SendWork | StopWork | ReadCatalog
