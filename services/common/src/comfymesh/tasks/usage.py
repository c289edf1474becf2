"""What an attempt has used of an instance, and to whom that is charged: the one truth for metrics, quotas and bills.

All of it follows from the record that ended the attempt. So whoever reads the log comes to the same sums, as often as
it is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from comfymesh.tasks.failures import FailureClass

if TYPE_CHECKING:
    from comfymesh.tasks.record import Failure, ModelFile, State, TaskRecord, Timing

SUCCEEDED = "SUCCEEDED"
CANCELLED = "CANCELLED"
RELEASED = "RELEASED"

ENDS: Mapping[str, str] = {"Succeeded": SUCCEEDED, "AttemptFailed": "", "Released": RELEASED, "Cancelled": CANCELLED}
"""Events that end an attempt, and what that comes to; empty where the failure says it."""

UNCHARGED = frozenset(
    {
        RELEASED,
        FailureClass.DEVICE_FAULT,
        FailureClass.INSTANCE_LOST,
        FailureClass.NODE_LOST,
        FailureClass.STALLED,
        FailureClass.OUTPUT_LOST,
        FailureClass.PREEMPTED,
        FailureClass.MISSING_DEPENDENCY,
        FailureClass.INTERNAL,
    }
)
"""Outcomes that hosts or the mesh have brought about: the mesh bears what such an attempt took. What the graph or its
caller brought about, a cancelled task included, is charged to the tenant."""


MOST_SECONDS = 31 * 24 * 3600.0
"""What an agent may say that an attempt loaded, or ran."""


class Ending(NamedTuple):
    """What all of this follows from, of a record of which no whole value was made. Fields as in TaskRecord."""

    event: str
    state: State
    attempt: int
    node: str
    instance: str
    failures: Sequence[Failure]
    start_time: float | None
    timing: Timing | None
    update_time: float


@dataclass(frozen=True, slots=True)
class AttemptUsage:
    """What one attempt took of one instance.

    Attributes:
        attempt: Its number.
        node: On which node.
        instance: On which of its instances.
        outcome: SUCCEEDED, CANCELLED, RELEASED, or the class of its failure.
        load_seconds: Time in which it loaded models.
        run_seconds: The other time in which it executed. Where no agent told, all of it.
        gpu_class: Class of the GPU; empty where it is not known.
    """

    attempt: int
    node: str
    instance: str
    outcome: str
    load_seconds: float = 0.0
    run_seconds: float = 0.0
    gpu_class: str = ""

    @property
    def seconds(self) -> float:
        """For how long the instance was busy with it."""
        return self.load_seconds + self.run_seconds

    @property
    def charged(self) -> bool:
        """Whether its tenant pays for it."""
        return self.outcome not in UNCHARGED


def of_record(record: TaskRecord | Ending) -> AttemptUsage | None:
    """What the attempt took that this record has ended; None where it ends none."""
    if record.event not in ENDS or not record.attempt:
        return None
    outcome = CANCELLED if record.state == CANCELLED else ENDS[record.event] or str(record.failures[-1].failure)
    load, run = executed(record.start_time, record.timing, record.update_time, handed_back=outcome == RELEASED)
    gpu_class = record.timing.gpu_class if record.timing else ""
    return AttemptUsage(record.attempt, record.node, record.instance, outcome, load, run, gpu_class)


def executed(
    start: float | None, timing: Timing | None, end: float, *, handed_back: bool = False
) -> tuple[float, float]:
    """Seconds in which an attempt loaded and ran.

    Where its agent could not tell, it ran from `start` until the log says that it has ended, both seconds since the
    epoch. One that was handed back has executed nothing. Agents are believed up to `MOST_SECONDS`, so that no sum can
    overflow.
    """
    if handed_back:
        return 0.0, 0.0
    if timing is not None:
        return _bounded(timing.load_seconds), _bounded(timing.run_seconds)
    return 0.0, max(end - start, 0.0) if start is not None else 0.0


def _bounded(seconds: float) -> float:
    return min(max(0.0, seconds), MOST_SECONDS)  # In this order it is 0 where it is no number.


def charged_seconds(record: TaskRecord | Ending) -> float:
    """What a task was charged with up to this record: all its attempts that have ended, each within bounds."""
    failed = sum(_bounded(failure.seconds) for failure in record.failures if failure.failure not in UNCHARGED)
    last = of_record(record)
    if last is None or not last.charged or _is_noted(record):
        return failed
    return failed + last.seconds


def _is_noted(record: TaskRecord | Ending) -> bool:
    """Whether the attempt that has ended is among the failures."""
    return bool(record.failures) and record.failures[-1].attempt == record.attempt


def is_patched_in(model: ModelFile) -> bool:
    """Whether a model file is patched into others for one task, such as a LoRA, and not kept for itself."""
    return "lora" in model.node_class.lower()


def model_set(record: TaskRecord) -> tuple[str, ...]:
    """Model files that a task needs in memory, sorted, without those that are patched in."""
    return tuple(sorted({model.name for model in record.definition.requirements.models if not is_patched_in(model)}))
