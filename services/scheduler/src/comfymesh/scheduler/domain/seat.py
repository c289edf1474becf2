"""One instance as the queue sees it: its slots, what it holds, and whether it has room."""

from __future__ import annotations

import math

from comfymesh.scheduler.domain.fleet import Instance, Place, Report
from comfymesh.scheduler.domain.gpus import Gpu
from comfymesh.scheduler.domain.kinds import Kind
from comfymesh.scheduler.domain.lanes import Family

_SHORT_SECONDS = 0.2
"""What an instance has in line is not enough if it is over sooner: the mesh needs some 20 ms to bring the next, and
several times that on a busy machine."""
_MOST_SHORT = 8


class Seat:
    """An instance with its slots.

    Attributes:
        place: Where it is.
        number: Counts instances in the order in which they became known.
        report: What its node reported last.
        instance: What that says of the instance.
        taken: Slots that are held or offered.
        seconds: For how long it runs what it was given, one after the other, as far as we can tell.
        until: When it will have done all that it was given, as far as we can tell; seconds since the epoch.
        resident: Model files in its memory, the one unused for longest first.
        families: Known families whose models it holds.
        gpu: Where it runs; None while it does not report.
        kind: Instances that are like it; None while it does not report.
        serves: Whether it answers, and its node is meant to take work.
        allowed: How many attempts it may have at most, whatever its slots.
        barred_until: Until when that is none, if it is.
        counted: Its pool, and whether it is barred; None while it does not serve.
    """

    __slots__ = (
        "allowed",
        "barred_until",
        "counted",
        "families",
        "gpu",
        "instance",
        "kind",
        "number",
        "place",
        "report",
        "resident",
        "seconds",
        "serves",
        "taken",
        "until",
    )

    def __init__(self, place: Place, number: int = 0) -> None:
        self.place = place
        self.number = number
        self.taken = 0
        self.until = 0.0
        self.seconds = 0.0
        self.resident: tuple[str, ...] = ()
        self.families: dict[Family, None] = {}
        self.report: Report | None = None
        self.instance: Instance | None = None
        self.kind: Kind | None = None
        self.gpu: Gpu[Seat] | None = None
        self.serves = False
        self.allowed: float = math.inf
        self.barred_until = 0.0
        self.counted: tuple[str, bool] | None = None

    @property
    def takes_work(self) -> bool:
        """Whether it is meant to run tasks, and does."""
        return self.serves and self.allowed > 0

    @property
    def homes(self) -> tuple[Family, ...]:
        """Families that may wait for it."""
        return tuple(self.families) if self.takes_work else ()

    @property
    def has_room(self) -> bool:
        """Whether it can be given another attempt now."""
        return self.serves and self.instance is not None and self.taken < min(self._slots(self.instance), self.allowed)

    def is_free_within(self, seconds: float, now: float) -> bool:
        """Whether it has nothing to do in so many seconds. What takes longer than predicted may take as long again."""
        return not self.taken or abs(self.until - now) <= seconds

    def _slots(self, instance: Instance) -> int:
        """How many attempts it may have: more where it looks ahead and what it has is over in a moment.

        One that waits would be over before the next could come. Whoever comes behind them waits no longer than that.
        """
        short = instance.slots > 1 and self.seconds < _SHORT_SECONDS
        return max(instance.slots, _MOST_SHORT) if short else instance.slots

    @property
    def gpu_class(self) -> str:
        """Class of its GPU."""
        return self.kind.site.gpu_class if self.kind else ""
