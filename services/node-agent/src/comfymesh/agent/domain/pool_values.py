"""Pools, their instances, what waits for them and what the host has. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto


class Phase(Enum):
    """What becomes of an instance."""

    STOPPED = auto()
    """Does not run, and may be started."""
    STARTING = auto()
    """On its way, or between two lives; it is left alone."""
    SERVING = auto()
    """Takes work."""
    BROKEN = auto()
    """Meant to run, and does not."""
    STOPPING = auto()
    """Meant to stop, and does not yet."""


@dataclass(frozen=True, slots=True)
class Pool:
    """What is wanted of a pool.

    Attributes:
        name: Its name.
        min: So many of its instances run, whatever waits.
        max: No more of them run.
        idle: An instance beyond `min` is stopped once it has been idle for so long, in seconds.
        queue: How long tasks may wait for instances that run before another is started, in seconds.
        memory_bytes: What an instance takes of the host's memory; 0 where that is not known.
        known: Whether it is known what its instances offer. One is started to find out.
        shared: Whether its instances may run on a GPU beside those of other pools that are shared as well.
    """

    name: str
    min: int
    max: int
    idle: float = 600.0
    queue: float = 60.0
    memory_bytes: int = 0
    known: bool = True
    shared: bool = False

    @property
    def floor(self) -> int:
        """So many are meant to run even if nothing waits."""
        return max(self.min, 0 if self.known else 1)


@dataclass(frozen=True, slots=True)
class Member:
    """An instance of a pool.

    Attributes:
        name: Its name.
        pool: Its pool.
        phase: What becomes of it.
        busy: Whether it has an attempt, or is about to have one.
        since: Since when it has been idle; means nothing for one that is busy, or not serving nor broken.
        rests_until: Before that it is not started because something waits.
        gpu: Names the GPU that it is bound to; empty for none.
    """

    name: str
    pool: str
    phase: Phase
    busy: bool = False
    since: float = 0.0
    rests_until: float = float("-inf")
    gpu: str = ""


@dataclass(frozen=True, slots=True)
class Demand:
    """What waits for a pool, as the scheduler told it.

    Attributes:
        count: How many tasks.
        seconds: How long they are expected to run, one after the other.
        oldest: For how many seconds the first of them has waited.
        served: Whether instances that run, here or elsewhere, could take them all in time.
    """

    count: int = 0
    seconds: float = 0.0
    oldest: float = 0.0
    served: bool = True

    def without(self, taken: int) -> Demand:
        """What waits of it still, when so many tasks were taken since it was told: they may be among these."""
        left = max(self.count - taken, 0)
        return replace(self, count=left, seconds=self.seconds * left / self.count) if left else Demand()


@dataclass(frozen=True, slots=True)
class Memory:
    """The host's memory, in bytes.

    Attributes:
        available: What could be used without swapping; None where that is not known.
        reserve: What is to stay free of it.
    """

    available: int | None = None
    reserve: int = 0
