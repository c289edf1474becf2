"""What the notifier hears. Everything that comes from ComfyUI or callers is hostile text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """How an attempt, or a task, ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETRIED = "retried"
    """The attempt failed; the task is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTold:
    """The log tells how an attempt ended.

    Attributes:
        sequence: Of the record.
        outcome: How.
        facts: `tenant`, `task`, `class`, `message`, `exception_type`, `node`, ...; what is unknown is left out.
        labels: The task's.
        detail: Traceback, to be searched and never shown.
    """

    sequence: int
    outcome: Outcome
    facts: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LogPassed:
    """Records up to `sequence` were read, which hold nothing to tell of."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as its node reports it; None for what it does not. Memory as a share, temperature in degrees Celsius."""

    uuid: str
    memory_used: float | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class NodeReported:
    """A node has reported.

    Attributes:
        node: Its id.
        leaving: Whether it was told to take no more work; its silence is no surprise then.
        down: Its instances, and whether each is down.
        gpus: Its GPUs.
        free_disk: Bytes that are free on its disk, None for unknown.
    """

    node: str
    leaving: bool
    down: Mapping[str, bool]
    gpus: tuple[Gpu, ...] = ()
    free_disk: float | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """A process in a role, such as `scheduler`, has shown that it lives."""

    role: str


@dataclass(frozen=True, slots=True)
class Measured:
    """How the queue stands.

    Attributes:
        waiting: Tasks that wait.
        oldest: For how long the oldest of them has waited, in seconds.
        stalled: Tasks that run, by id, with the seconds since they told anything and facts; only the longest.
    """

    waiting: int
    oldest: float
    quiet: Mapping[str, tuple[float, Mapping[str, str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed, and the bus could be heard meanwhile."""


@dataclass(frozen=True, slots=True)
class Deaf:
    """Time has passed, and the bus could not be heard: silence of others means nothing."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Somebody sees to an alert."""

    alert_id: str
    by: str


Event = TaskTold | LogPassed | NodeReported | Heard | Measured | Tick | Deaf | Acknowledged
