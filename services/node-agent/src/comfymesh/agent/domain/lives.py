"""How long an instance that has gone waits for its next life, and when it is set aside."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto


class Cause(Enum):
    """Why a life has ended."""

    UNAVAILABLE = auto()
    """It could not be started or reached; nothing is known to be wrong with itself."""
    CRASHED = auto()
    """It exited by itself."""
    FAULTY = auto()
    """The ladder had it started again."""
    RETIRED = auto()
    """It was due for a fresh start."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Wait for so many seconds; in quarantine, where nothing is offered to it."""

    seconds: float
    quarantined: bool = False


@dataclass(frozen=True, slots=True)
class Endurance:
    """What an instance may go through. Times are in seconds.

    Attributes:
        first: The first wait; doubled with each short life.
        last: The longest wait.
        stable: A life of this length was no short one.
        faults: So many crashes and faults within `window` set it aside.
        window: See `faults`.
        quarantine: The first quarantine; doubled with each that follows without a stable life in between.
        longest_quarantine: The longest.
    """

    first: float = 0.5
    last: float = 30.0
    stable: float = 60.0
    faults: int = 5
    window: float = 1800.0
    quarantine: float = 300.0
    longest_quarantine: float = 3600.0


class Lives:
    """The lives of one instance.

    Args:
        endurance: What it may go through. May be replaced.
        mendable: Whether the agent can start it again; one that it can't is set aside at its first fault.
    """

    def __init__(self, endurance: Endurance, *, mendable: bool) -> None:
        self.endurance = endurance
        self._mendable = mendable
        self._wait = endurance.first
        self._faults: deque[float] = deque()
        self._quarantines = 0

    def ended(self, cause: Cause, lasted: float, now: float) -> Rest:
        """A life has ended after `lasted` seconds, now, in seconds of a monotonic clock."""
        if cause is Cause.RETIRED:
            return Rest(0.0)
        if lasted > self.endurance.window:
            self._quarantines = 0
        self._wait = (
            self.endurance.first if lasted > self.endurance.stable else min(2 * self._wait, self.endurance.last)
        )
        if cause is not Cause.UNAVAILABLE:
            self._faults.append(now)
        while self._faults and now - self._faults[0] > self.endurance.window:
            self._faults.popleft()
        return self._quarantine() if len(self._faults) >= self._most() else Rest(self._wait)

    def _most(self) -> int:
        return self.endurance.faults if self._mendable else 1

    def _quarantine(self) -> Rest:
        self._faults.clear()
        seconds = self.endurance.quarantine * 2.0 ** min(self._quarantines, 16)
        self._quarantines += 1
        return Rest(min(seconds, self.endurance.longest_quarantine), quarantined=True)
