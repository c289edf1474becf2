"""What rules an instance out for a task: small units with a name, which is what whoever asks is told.

Units that look at what an instance *is* are asked once for each kind of instances (`kinds.py`). Those that look at what
it does now are asked of each instance, or take it out of those with room (`Seat.has_room`) so that nobody asks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from comfymesh.scheduler.domain.fleet import InstanceState
from comfymesh.scheduler.domain.kinds import Fit, Kind, Kinds
from comfymesh.scheduler.domain.lanes import Group
from comfymesh.scheduler.domain.placement import Feasibility, lacking_classes, lacking_models
from comfymesh.scheduler.domain.seat import Seat
from comfymesh.scheduler.domain.vram import Needs, make_of
from comfymesh.tasks.placing import Wish, unmet
from comfymesh.tasks.record import Requirements


@dataclass(frozen=True, slots=True)
class KindFilter:
    """A unit that looks at what an instance is. `rules_out` answers whether it can never run graphs that need this."""

    name: str
    rules_out: Callable[[Requirements, Kind, Feasibility], bool]


@dataclass(frozen=True, slots=True)
class SeatFilter:
    """A unit that looks at what an instance does. `rules_out` answers whether it can't take a task now."""

    name: str
    rules_out: Callable[[Seat], bool]


def _catalog(_: Requirements, kind: Kind, known: Feasibility) -> bool:
    return known.catalog(kind.catalog) is None


def _node_classes(needed: Requirements, kind: Kind, known: Feasibility) -> bool:
    catalog = known.catalog(kind.catalog)
    return catalog is not None and next(lacking_classes(catalog, needed), None) is not None


def _model_files(needed: Requirements, kind: Kind, known: Feasibility) -> bool:
    catalog = known.catalog(kind.catalog)
    return catalog is not None and next(lacking_models(catalog, needed), None) is not None


def _wish(wish: Wish) -> KindFilter:
    def rules_out(needed: Requirements, kind: Kind, _: Feasibility) -> bool:
        return any(missed is wish for missed, _ in unmet(needed.placement, kind.site))

    return KindFilter(wish.value, rules_out)


def _cordoned(seat: Seat) -> bool:
    return seat.report is None or not seat.report.open


def _not_serving(seat: Seat) -> bool:
    return seat.instance is None or not (seat.instance.serving or _stopped(seat))


def _stopped(seat: Seat) -> bool:
    return seat.instance is not None and seat.instance.state is InstanceState.STOPPED


def _breaker(seat: Seat) -> bool:
    return seat.allowed <= 0


def _busy(seat: Seat) -> bool:
    return not seat.has_room


BUSY = "busy"
STOPPED = "stopped"
BREAKER = "breaker"
VRAM_LEARNED = "vram_learned"
"""Its GPU has no more memory than such graphs have run out of before (`vram.py`)."""
VRAM_IN_USE = "vram_in_use"
"""What others run on its GPU leaves too little, or it is kept for tasks that need much (`memory.py`)."""
TENANT_CAP = "tenant_cap"
"""The one unit that looks at no instance: tasks of tenants that may have no more under way are parked (`parked.py`)."""
KIND_FILTERS = (
    KindFilter("catalog", _catalog),
    KindFilter("node_classes", _node_classes),
    KindFilter("model_files", _model_files),
    *map(_wish, Wish),
)
"""Units that look at what an instance is: its catalog, and whether that is known, then each wish of the caller."""
SEAT_FILTERS = (
    SeatFilter("cordoned", _cordoned),
    SeatFilter("not_serving", _not_serving),
    SeatFilter(BREAKER, _breaker),
    SeatFilter(STOPPED, _stopped),
    SeatFilter(BUSY, _busy),
)
"""Units that look at what it does. The last two pass by themselves, sooner or later."""


class Filters:
    """All of them, as the queue asks: often.

    Attributes:
        needs: What is learned of the memory that graphs need.
    """

    def __init__(self, kinds: Kinds, feasibility: Feasibility) -> None:
        self.needs = Needs()
        self._kinds = kinds
        self._feasibility = feasibility
        self._large: dict[Group, None] = {}

    def fit(self, group: Group) -> Fit:
        """The kinds of instances that can run a group's tasks."""
        fit = group.fit
        if fit is None or not fit.holds:
            fit = group.fit = self.asked(group.requirements)
            if fit.large:
                self._large[group] = None
        return fit

    def asked(self, requirements: Requirements) -> Fit:
        """The kinds of instances that can run graphs that need this."""
        return Fit(requirements, self._kinds, self._feasibility, self.needs)

    def suits(self, group: Group, seat: Seat) -> bool:
        """Whether an instance is of a kind that can run a group's tasks, whatever it or its GPU does now."""
        return seat.kind is not None and seat.kind in self.fit(group)

    def passes(self, group: Group, seat: Seat) -> bool:
        """Whether an instance can run a group's tasks, when it has room."""
        if not self.suits(group, seat):
            return False
        if seat.gpu is None or seat.gpu.open:
            return True
        admitted = seat.gpu.admits(group, seat, self.need(group.requirements, seat))
        if not admitted and seat.gpu.reserved_for is None:
            self._large[group] = None
        return admitted

    def forget(self, group: Group) -> None:
        """No task of this group is known any more."""
        self._large.pop(group, None)

    def need(self, requirements: Requirements, seat: Seat) -> int:
        """How much memory such tasks need at an instance, in bytes; 0 where nobody knows."""
        peak = self.needs.peak(make_of(requirements), seat.gpu_class)
        return max(requirements.placement.min_vram_bytes, peak)

    def large(self, count: int) -> list[Group]:
        """Groups with tasks that wait and need much memory: so many of them at most, all in turn."""
        looked_at = list(islice(self._large, count))
        for group in looked_at:
            del self._large[group]
            if group.known:
                self._large[group] = None
            else:
                group.fit = None  # Should more of its tasks come, they are noticed again.
        return [group for group in looked_at if group.known]

    def why_not(self, fit: Fit, kind: Kind) -> str:
        """The first unit that rules out instances of this kind; empty where none does."""
        unit = next((f.name for f in KIND_FILTERS if f.rules_out(fit.requirements, kind, self._feasibility)), "")
        return unit or ("" if fit.has_memory(kind) else VRAM_LEARNED)

    def why_not_now(self, fit: Fit, seat: Seat) -> str:
        """The first unit that rules an instance out because of what it, or its GPU, does now; empty where none does."""
        unit = next((f.name for f in SEAT_FILTERS if f.rules_out(seat)), "")
        if unit or seat.gpu is None or seat.gpu.open:
            return unit
        return "" if seat.gpu.admits(None, seat, self.need(fit.requirements, seat)) else VRAM_IN_USE
