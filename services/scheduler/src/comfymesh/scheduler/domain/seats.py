"""All instances as the queue sees them: who has room, and who holds which models."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Place, Report, site_of
from comfymesh.scheduler.domain.gpus import Gpu
from comfymesh.scheduler.domain.kinds import Kind, Kinds
from comfymesh.scheduler.domain.lanes import Family
from comfymesh.scheduler.domain.pools import Pools
from comfymesh.scheduler.domain.residents import Holders, Residents
from comfymesh.scheduler.domain.seat import Seat
from comfymesh.tasks.placing import Site

_UNKNOWN_SECONDS = 3600.0
"""An attempt that began under another scheduler may take any time."""


class Seats:
    """Every instance, by what it holds and whether it has room.

    Attributes:
        kinds: Of which kinds there are some.
        idle: Those with nothing to do.
        ahead: Those that are busy and have room for more.
        changed: Those that got room and have not been looked at since.
        left: Families that may have waited for one that is not to be had any more, and have not been looked at since.
        busy: How many of them have anything to do.
        idle_kinds: How many of each kind idle.
        idle_kinds_version: Changes when one idles of a kind of which none did.
    """

    def __init__(self) -> None:
        self._seats: dict[Place, Seat] = {}
        self._numbers = itertools.count(1)
        self._residents = Residents()
        self._on_node: dict[str, dict[str, Seat]] = {}
        self._families: dict[str, dict[Family, None]] = {}
        self._holders: dict[Family, Holders] = {}
        self.kinds = Kinds()
        self.pools = Pools()
        self._gpus: dict[tuple[str, str], Gpu[Seat]] = {}
        self.idle: dict[Seat, None] = {}
        self.ahead: dict[Seat, None] = {}
        self.changed: dict[Seat, None] = {}
        self.left: dict[Family, None] = {}
        self.busy = 0
        self.idle_kinds: dict[Kind, int] = {}
        self.idle_kinds_version = 0
        self._idle_as: dict[Seat, Kind] = {}

    def __len__(self) -> int:
        return len(self._seats)

    def __iter__(self) -> Iterator[Seat]:
        return iter(self._seats.values())

    def __getitem__(self, place: Place) -> Seat:
        seat = self._seats.get(place)
        if seat is None:
            seat = self._seats[place] = Seat(place, next(self._numbers))
            self._on_node.setdefault(place.node, {})[place.instance] = seat
        return seat

    def report(self, report: Report) -> bool:
        """A node reports. Answers whether instances came or went."""
        seats = self._on_node.get(report.node, {})
        before = {name: None for name, seat in seats.items() if seat.instance is not None}
        for name in [name for name in before if name not in report.instances]:
            self._lose(seats[name])
        for name, instance in report.instances.items():
            seat = self[Place(report.node, name)]
            kind, resident, homes = seat.kind, seat.resident, seat.homes
            self._sort(seat, site_of(report, instance), instance.catalog)
            self._seat_on_gpu(seat, instance)
            seat.report, seat.instance = report, instance
            seat.serves = report.open and instance.serving
            if instance.resident or instance.state is InstanceState.STOPPED:
                self.holds(seat, instance.resident)
            self.place(seat, again=kind is not seat.kind or resident != seat.resident)
            self._leave(homes, seat.homes if kind is seat.kind else ())
        return before.keys() != report.instances.keys()

    def _sort(self, seat: Seat, site: Site, catalog: str) -> None:
        """It is of the kind that has this site and catalog."""
        kind = seat.kind
        if kind is None or kind.catalog != catalog or kind.site != site:
            seat.kind = self.kinds.join(site, catalog)
            if kind is not None:
                self.kinds.leave(kind)

    def _seat_on_gpu(self, seat: Seat, instance: Instance) -> None:
        """It runs on this GPU; on one of its own, where that is not known."""
        name = (seat.place.node, f"GPU {instance.gpu}" if instance.gpu else instance.name)
        gpu = self._gpus.get(name)
        if gpu is None:
            gpu = self._gpus[name] = Gpu(name)
        if seat.gpu is not gpu:
            self._leave_gpu(seat)
            seat.gpu = gpu
        gpu.join(seat, instance.vram_bytes)

    def _leave_gpu(self, seat: Seat) -> None:
        gpu, seat.gpu = seat.gpu, None
        if gpu is not None:
            gpu.leave(seat)
            if not any(True for _ in gpu):
                del self._gpus[gpu.name]

    def allow(self, place: Place, attempts: float, until: float = 0.0) -> None:
        """An instance may have so many attempts at most, and that is so `until` then, if not for good."""
        if (seat := self._seats.get(place)) is not None and seat.allowed != attempts:
            homes = seat.homes
            seat.allowed, seat.barred_until = attempts, until
            self.place(seat)
            self._leave(homes, seat.homes)

    def lose(self, node: str) -> None:
        """A node is gone."""
        for seat in list(self._on_node.get(node, {}).values()):
            self._lose(seat)

    def _leave(self, homes: tuple[Family, ...], stay: tuple[Family, ...]) -> None:
        """Families that waited for an instance have to look for another, but for those that `stay`."""
        if homes != stay:
            self.left.update((family, None) for family in homes if family.count and family not in stay)

    def _lose(self, seat: Seat) -> None:
        self._leave(seat.homes, ())
        seat.report = seat.instance = None
        seat.serves = False
        self._leave_gpu(seat)
        if seat.kind is not None:
            self.kinds.leave(seat.kind)
            seat.kind = None
        self.holds(seat, ())
        self.place(seat)
        if not seat.taken:
            del self._seats[seat.place]
            del self._on_node[seat.place.node][seat.place.instance]

    def take(self, seat: Seat, seconds: float, now: float) -> None:
        """One of its slots is taken, for so long."""
        self.busy += not seat.taken
        seat.taken += 1
        seat.seconds += seconds or _UNKNOWN_SECONDS
        self._busy_until(seat, max(seat.until, now) + seconds)
        self.place(seat)

    def free(self, seat: Seat, seconds: float) -> None:
        """One of its slots, taken for so long, is free again."""
        seat.taken -= 1
        self.busy -= not seat.taken
        seat.seconds = seat.seconds - (seconds or _UNKNOWN_SECONDS) if seat.taken else 0.0
        self._busy_until(seat, seat.until - seconds if seat.taken else 0.0)
        self.place(seat)
        if seat.instance is None and not seat.taken:
            self._lose(seat)

    def load(self, seat: Seat, models: tuple[str, ...]) -> None:
        """It is about to load these model files, as far as they are not there."""
        self.holds(seat, (*(model for model in seat.resident if model not in models), *models))

    def _busy_until(self, seat: Seat, moment: float) -> None:
        for family in seat.families:
            self._holders[family].until += moment - seat.until
        seat.until = moment

    def known(self, place: Place) -> Seat | None:
        """An instance, if it is known."""
        return self._seats.get(place)

    def place(self, seat: Seat, *, again: bool = False) -> None:
        """Put an instance where it belongs: among those with nothing to do, with room to look ahead, or neither.

        It is looked at `again` though it may have been there before.
        """
        self.pools.count(seat)
        where = None
        if seat.has_room:
            where = self.ahead if seat.taken else self.idle
        for kept in (self.idle, self.ahead):
            if kept is where:
                if again or seat not in kept:
                    kept[seat] = None
                    self.changed[seat] = None
            else:
                kept.pop(seat, None)
        self._count_idle(seat, seat.kind if where is self.idle else None)
        for family in seat.families:
            holders = self._holders[family]
            if where is self.idle:
                holders.free[seat] = None
            else:
                holders.free.pop(seat, None)

    def _count_idle(self, seat: Seat, kind: Kind | None) -> None:
        """It idles as one of this kind; not at all, if of none."""
        before = self._idle_as.pop(seat, None)
        if kind is not None:
            self._idle_as[seat] = kind
        if before is kind:
            return
        if before is not None:
            self.idle_kinds[before] -= 1
            if not self.idle_kinds[before]:
                del self.idle_kinds[before]
        if kind is not None:
            self.idle_kinds_version += kind not in self.idle_kinds
            self.idle_kinds[kind] = self.idle_kinds.get(kind, 0) + 1

    def holds(self, seat: Seat, resident: tuple[str, ...]) -> None:
        """Its memory holds these model files."""
        if resident == seat.resident:
            return
        touched = self._residents.change(seat, resident)
        held = set(resident)
        for family in [family for model in sorted(touched) for family in self._families.get(model, ())]:
            if held.issuperset(family.models):
                self._add(family, seat)
            else:
                self._remove(family, seat)

    def meet(self, family: Family) -> None:
        """Tasks of this family may come: know who holds its models."""
        if family in self._holders:
            return
        self._holders[family] = Holders()
        for model in family.models:
            self._families.setdefault(model, {})[family] = None
        if family.models:
            for seat in self._residents.holding(family.models):
                self._add(family, seat)

    def forget(self, family: Family) -> None:
        """No task of this family is known any more."""
        self.left.pop(family, None)
        if (holders := self._holders.pop(family, None)) is None:
            return
        for seat in holders.all:
            del seat.families[family]
        for model in family.models:
            del self._families[model][family]
            if not self._families[model]:
                del self._families[model]

    def holders(self, family: Family) -> Holders:
        """Who holds a family's models; nobody, as far as is known, of one that has not been met."""
        return self._holders.get(family) or Holders()

    def _add(self, family: Family, seat: Seat) -> None:
        if seat not in self._holders[family].all:
            holders = self._holders[family]
            holders.all[seat] = None
            holders.until += seat.until
            seat.families[family] = None
            if seat in self.idle:
                holders.free[seat] = None

    def _remove(self, family: Family, seat: Seat) -> None:
        holders = self._holders[family]
        if seat in holders.all:
            del holders.all[seat]
            holders.until -= seat.until
            holders.free.pop(seat, None)
            seat.families.pop(family, None)
