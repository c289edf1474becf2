"""What rules an instance out for a task: small units with a name, which is what whoever asks is told.

Units that look at what an instance *is* are asked once for each kind of instances (`kinds.py`). Those that look at what
it does now are asked of each instance, or take it out of those with room (`Seat.has_room`) so that nobody asks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from comfymesh.scheduler.domain.fleet import InstanceState
from comfymesh.scheduler.domain.kinds import Fit, Kind, Kinds
from comfymesh.scheduler.domain.lanes import Group
from comfymesh.scheduler.domain.placement import Feasibility, lacking_classes, lacking_models
from comfymesh.scheduler.domain.seats import Seat
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
    """All of them, as the queue asks: often."""

    def __init__(self, kinds: Kinds, feasibility: Feasibility) -> None:
        self._kinds = kinds
        self._feasibility = feasibility

    def fit(self, group: Group) -> Fit:
        """The kinds of instances that can run a group's tasks."""
        fit = group.fit
        if fit is None or not fit.holds:
            fit = group.fit = Fit(group.requirements, self._kinds, self._feasibility)
        return fit

    def passes(self, group: Group, seat: Seat) -> bool:
        """Whether an instance can run a group's tasks, when it has room."""
        return seat.kind is not None and seat.kind in self.fit(group)

    def why_not(self, requirements: Requirements, kind: Kind) -> str:
        """The first unit that rules out instances of this kind; empty where none does."""
        return next((f.name for f in KIND_FILTERS if f.rules_out(requirements, kind, self._feasibility)), "")


def why_not_now(seat: Seat) -> str:
    """The first unit that rules an instance out because of what it does now; empty where none does."""
    return next((f.name for f in SEAT_FILTERS if f.rules_out(seat)), "")
