"""What the core wants done."""

from __future__ import annotations

from dataclasses import dataclass

from comfymesh.scheduler.domain.fleet import Place
from comfymesh.tasks import events
from comfymesh.tasks.record import Key, TaskRecord


@dataclass(frozen=True, slots=True)
class Change:
    """Append what `event` makes of `record` to the log, if `sequence` is still the task's last."""

    record: TaskRecord
    sequence: int
    event: events.Event


@dataclass(frozen=True, slots=True)
class OfferWork:
    """Offer the task that waits with `record`, which the log has at `sequence`, to an instance."""

    record: TaskRecord
    sequence: int
    place: Place


@dataclass(frozen=True, slots=True)
class SendWork:
    """Tell a node again of the attempt that `record`, which the log has at `sequence`, gives to it."""

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
class TakeBack:
    """Tell a node to hand back an attempt for a task of higher priority; one that has begun only if `running`."""

    record: TaskRecord
    reason: str
    running: bool


@dataclass(frozen=True, slots=True)
class ReadCatalog:
    """Read a catalog and tell it with CatalogRead."""

    digest: str


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """Read a task's record, if the log still has it at `sequence`, and tell it with RecordRead."""

    key: Key
    sequence: int


Decision = Change | OfferWork | SendWork | StopWork | TakeBack | ReadCatalog | ReadRecord
