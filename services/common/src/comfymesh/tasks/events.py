"""What can happen to a task after its creation."""

from __future__ import annotations

from dataclasses import dataclass

from comfymesh.tasks.record import Artifact, TaskError


@dataclass(frozen=True, slots=True)
class Assigned:
    """The scheduler gave the task to an instance; begins a new attempt."""

    node: str
    instance: str


@dataclass(frozen=True, slots=True)
class Started:
    """The agent submitted the attempt to ComfyUI."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The run ended well and every artifact is stored."""

    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """The attempt ended badly; the policy of its failure class says what follows."""

    error: TaskError


@dataclass(frozen=True, slots=True)
class Released:
    """The attempt was handed back before it executed anything: it counts for nothing."""

    reason: str


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody wants the task stopped."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The attempt of a task that is being cancelled has stopped."""


Event = Assigned | Started | Succeeded | AttemptFailed | Released | CancelRequested | Cancelled
