"""What can happen to a task after its creation."""

from __future__ import annotations

from dataclasses import dataclass

from comfymesh.tasks.record import Artifact, Resolution, TaskError, Timing


@dataclass(frozen=True, slots=True)
class Assigned:
    """A node has taken the task for one of its instances; begins a new attempt."""

    node: str
    instance: str


@dataclass(frozen=True, slots=True)
class Started:
    """ComfyUI executes the attempt since `began` (seconds since the epoch; None for the time of the record)."""

    began: float | None = None


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The run ended well and every artifact is stored.

    `began` as in Started, for attempts that ended before anybody was told that they had begun. `timing` tells where
    its time went, None where nobody saw. `note` says what was unusual, for people.
    """

    artifacts: tuple[Artifact, ...]
    began: float | None = None
    timing: Timing | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """The attempt ended badly; the policy of its failure class says what follows. `timing` as in Succeeded."""

    error: TaskError
    timing: Timing | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """The attempt was handed back before it executed anything: it is no failure.

    How often that happens in a row is counted, but for an attempt that has given way to a task of higher priority.
    """

    reason: str
    counts: bool = True


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody wants the task stopped."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The attempt of a task that is being cancelled has stopped. `timing` as in Succeeded."""

    timing: Timing | None = None


@dataclass(frozen=True, slots=True)
class Expired:
    """The time by which the first attempt should have begun has passed."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Somebody has seen to a dead letter. Only noted: the task stays as it ended.

    `requeued_as` is the id of the task that was made of it, empty where it was dropped.
    """

    resolution: Resolution
    requeued_as: str = ""


Event = Assigned | Started | Succeeded | AttemptFailed | Released | CancelRequested | Cancelled | Expired | Resolved
