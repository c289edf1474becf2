"""What the core is told."""

from __future__ import annotations

from dataclasses import dataclass

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain.fleet import Report
from comfymesh.tasks.record import Key, TaskRecord


@dataclass(frozen=True, slots=True)
class TaskChanged:
    """The log has a record of a task, at `sequence`."""

    record: TaskRecord
    sequence: int


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """The log has a record of a task, at `sequence`, behind which it has ended. However that was, it needs no more."""

    key: Key
    sequence: int


@dataclass(frozen=True, slots=True)
class LogRead:
    """Everything that the log held when we began to read it has been told."""


@dataclass(frozen=True, slots=True)
class Leading:
    """Whether this scheduler is the one that decides. A standby follows everything, to be ready at once."""

    leading: bool


@dataclass(frozen=True, slots=True)
class NodeReported:
    """A node's report arrived."""

    report: Report


@dataclass(frozen=True, slots=True)
class CatalogRead:
    """A catalog that was asked for with ReadCatalog."""

    digest: str
    catalog: Catalog


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


@dataclass(frozen=True, slots=True)
class Deaf:
    """The bus does not answer: nodes that are not heard now may well be talking."""


Event = TaskChanged | TaskEnded | LogRead | Leading | NodeReported | CatalogRead | Tick | Deaf
