"""How an attempt can fail, and what each kind of failure entitles a task to: the policies, as data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class FailureClass(StrEnum):
    """Why an attempt, or a task before any attempt, came to a bad end. Values match `comfymesh.v1.ErrorReason`."""

    INVALID_WORKFLOW = "INVALID_WORKFLOW"
    PARTIAL_OUTPUTS = "PARTIAL_OUTPUTS"
    INPUT_INVALID = "INPUT_INVALID"
    INPUT_UNAVAILABLE = "INPUT_UNAVAILABLE"
    MISSING_DEPENDENCY = "MISSING_DEPENDENCY"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    DEVICE_FAULT = "DEVICE_FAULT"
    INSTANCE_LOST = "INSTANCE_LOST"
    NODE_LOST = "NODE_LOST"
    STALLED = "STALLED"
    NODE_EXCEPTION = "NODE_EXCEPTION"
    TIMEOUT = "TIMEOUT"
    EXPIRED = "EXPIRED"
    OUTPUT_LOST = "OUTPUT_LOST"
    OUTPUT_REFUSED = "OUTPUT_REFUSED"
    CANCELLED = "CANCELLED"
    PREEMPTED = "PREEMPTED"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class Policy:
    """What follows a failure of one class.

    Attributes:
        max_failures: How many failures of this class end the task; 1 means that it is never retried, 0 that it
            always is.
        elsewhere: Whether the next attempt should avoid the instance that failed.
        back_off: Shortest wait before the second attempt; doubled for each further one.
        caller_decides: Whether the caller's retry policy may allow more attempts than `max_failures`.
    """

    max_failures: int
    elsewhere: bool = False
    back_off: timedelta = timedelta(0)
    caller_decides: bool = False


_FINAL = Policy(max_failures=1)

POLICIES: dict[FailureClass, Policy] = {
    FailureClass.INVALID_WORKFLOW: _FINAL,
    FailureClass.PARTIAL_OUTPUTS: _FINAL,
    FailureClass.INPUT_INVALID: _FINAL,
    FailureClass.INPUT_UNAVAILABLE: Policy(max_failures=3, elsewhere=True, back_off=timedelta(seconds=2)),
    FailureClass.MISSING_DEPENDENCY: Policy(max_failures=3, elsewhere=True),
    FailureClass.OUT_OF_MEMORY: Policy(max_failures=3, back_off=timedelta(seconds=1)),
    # The task is not to blame for these, but a graph that takes three instances down with it is poison.
    FailureClass.DEVICE_FAULT: Policy(max_failures=3, elsewhere=True, back_off=timedelta(seconds=1)),
    FailureClass.INSTANCE_LOST: Policy(max_failures=3, elsewhere=True, back_off=timedelta(seconds=1)),
    FailureClass.NODE_LOST: Policy(max_failures=3, elsewhere=True),
    FailureClass.STALLED: Policy(max_failures=3, elsewhere=True, back_off=timedelta(seconds=1)),
    FailureClass.NODE_EXCEPTION: Policy(max_failures=1, caller_decides=True, back_off=timedelta(seconds=2)),
    FailureClass.TIMEOUT: _FINAL,
    FailureClass.EXPIRED: _FINAL,
    FailureClass.OUTPUT_LOST: Policy(max_failures=2),
    FailureClass.OUTPUT_REFUSED: _FINAL,
    FailureClass.CANCELLED: _FINAL,
    FailureClass.PREEMPTED: Policy(max_failures=0),
    FailureClass.INTERNAL: Policy(max_failures=3, back_off=timedelta(seconds=1)),
}

WRITTEN_AS: dict[FailureClass, FailureClass] = {FailureClass.OUTPUT_REFUSED: FailureClass.INVALID_WORKFLOW}
"""Classes that this version reads and the last one does not: what is written for them, until the next one (ADR 47)."""

MAX_BACK_OFF = timedelta(minutes=5)
"""No task waits longer than this between two attempts."""
