"""What the core is told."""

from __future__ import annotations

from dataclasses import dataclass

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain.fleet import Place, Report
from comfymesh.scheduler.domain.vram import Make
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.policy import PolicySettings
from comfymesh.tasks.record import Key, TaskRecord, Timing


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
class RecordRead:
    """A record that was asked for with ReadRecord."""

    record: TaskRecord
    sequence: int


@dataclass(frozen=True, slots=True)
class Run:
    """An attempt that has ended.

    Attributes:
        key: Its task.
        shape: What its graph has in common with others.
        units: How large it is among those.
        models: Model files that its graph names.
        place: Where it ran.
        timing: Where its time went, and on which class of GPU; None where it did not run, or nobody saw.
        succeeded: Whether it came to a good end.
        failure: How it failed; None where it did not, or was stopped.
        time: When it ended, seconds since the epoch.
        make: What the graph is, as far as memory goes.
    """

    key: Key
    shape: str
    units: float
    models: tuple[str, ...]
    place: Place
    timing: Timing | None
    succeeded: bool
    failure: FailureClass | None = None
    time: float = 0.0
    make: Make = ((), ())


@dataclass(frozen=True, slots=True)
class TaskRan:
    """The log tells how an attempt ended, and how long it took; at the start, before LogRead, of the newest ones."""

    run: Run


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """An operator has changed the policy. It holds from now on; until one is told, the defaults do."""

    settings: PolicySettings


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


@dataclass(frozen=True, slots=True)
class Deaf:
    """The bus does not answer: nodes that are not heard now may well be talking."""


Event = (
    TaskChanged
    | TaskEnded
    | TaskRan
    | LogRead
    | Leading
    | NodeReported
    | CatalogRead
    | RecordRead
    | PolicyChanged
    | Tick
    | Deaf
)
