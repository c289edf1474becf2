"""Memory of GPUs: what is left beside what others run on them, and GPUs that are kept free for tasks that need much.

Instances may share a GPU. A task is let in where what the others there run, by what was learned of it, leaves enough.
Small tasks could so keep a large one out for ever, as could those on an instance that alone is large enough. So a large
task that is later than it would be under FIFO, and has waited for `reserve_after`, has a GPU kept for it: the one that
is done first. Others get in there only beside it, until it has begun or `reserve_seconds` have passed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from comfymesh.scheduler.domain.events import Run
from comfymesh.scheduler.domain.filters import Filters
from comfymesh.scheduler.domain.fleet import Place, Report
from comfymesh.scheduler.domain.gpus import Gpu
from comfymesh.scheduler.domain.lanes import Group, Waiting
from comfymesh.scheduler.domain.seat import Seat
from comfymesh.scheduler.domain.seats import Seats
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.policy import PolicySettings
from comfymesh.tasks.record import Key, Requirements

_LOOKED_AT = 32
"""Kinds of large tasks that are looked at each time, in turn."""
_SEATS_LOOKED_AT = 20_000
_PART = 4
"""No more than one in so many instances has its GPU reserved, but one always may."""


@dataclass(frozen=True, slots=True)
class _Reservation:
    group: Group
    seat: Seat
    gpu: Gpu[Seat]
    until: float


@dataclass(slots=True)
class _Holding:
    """What a task takes up: nothing that is known of until its instance has reported."""

    seat: Seat
    requirements: Requirements
    gpu: Gpu[Seat] | None = None


class Memory:
    """Keeps account of the memory of GPUs, and keeps some of them free."""

    def __init__(self, seats: Seats, filters: Filters) -> None:
        self._seats = seats
        self._filters = filters
        self._settings = PolicySettings()
        self._taken: dict[Key, _Holding] = {}
        self._at: defaultdict[Place, set[Key]] = defaultdict(set)
        self._reserved: dict[Group, _Reservation] = {}
        self._rests: dict[Group, float] = {}

    def set(self, settings: PolicySettings) -> None:
        """Other settings hold."""
        self._settings = settings

    def occupy(self, key: Key, requirements: Requirements, seat: Seat) -> None:
        """A task takes up memory at an instance, or will in a moment."""
        self._taken[key] = _Holding(seat, requirements)
        self._at[seat.place].add(key)
        self._account(key)

    def vacate(self, key: Key) -> None:
        """It does so no more: others on the same GPU may have room now."""
        holding = self._taken.pop(key, None)
        if holding is None:
            return
        self._at[holding.seat.place].discard(key)
        if not self._at[holding.seat.place]:
            del self._at[holding.seat.place]
        if holding.gpu is not None:
            holding.gpu.release(holding.seat, key)
            for other in holding.gpu.shared_with(holding.seat):
                self._seats.place(other, again=True)

    def reported(self, report: Report) -> None:
        """Instances may run on a GPU, or on another one, of which nothing was known when their tasks began."""
        for name in report.instances:
            for key in self._at.get(Place(report.node, name), ()):
                self._account(key)

    def _account(self, key: Key) -> None:
        holding = self._taken[key]
        seat = holding.seat
        if seat.gpu is not None and (seat.gpu is not holding.gpu or not seat.gpu.has(seat, key)):
            holding.gpu = seat.gpu
            seat.gpu.hold(seat, key, self._filters.need(holding.requirements, seat))

    def ended(self, run: Run) -> None:
        """An attempt tells how much memory it needed, or that there was too little.

        The log tells so of instances that have not reported yet: it says what was in use, but not what there was.
        """
        seat, needs = self._seats.known(run.place), self._filters.needs
        site = seat.kind.site if seat is not None and seat.kind is not None else None
        gpu = seat.gpu if seat is not None else None
        available = gpu.free_for(seat) if gpu and seat else site.vram_bytes if site else 0
        if run.succeeded:
            peak = _believed(run.timing.peak_vram_bytes if run.timing else 0, site.vram_bytes if site else 0)
            gpu_class = site.gpu_class if site else run.timing.gpu_class if run.timing else ""
            changed = needs.ran(run.make, gpu_class, available, peak)
        else:
            changed = run.failure is FailureClass.OUT_OF_MEMORY and needs.ran_out(run.make, available)
        if changed:
            self._seats.kinds.changed()

    def review(self, now: float) -> None:
        """Drop reservations that are over, and make one where a large task has waited too long."""
        for group, reservation in list(self._reserved.items()):
            if now >= reservation.until or not group.known or not _stands(reservation):
                self._drop(group)
                self._rests[group] = now + self._settings.reserve_after
        self._rests = {group: until for group, until in self._rests.items() if until > now and group.known}
        if not self._settings.reserve_after or len(self._reserved) * _PART >= max(len(self._seats), _PART):
            return
        for group in self._filters.large(_LOOKED_AT):
            if group not in self._reserved and group not in self._rests and self._is_late(group, now):
                self._reserve(group, now)
                return

    def ready(self) -> Iterator[tuple[Waiting, Seat]]:
        """Tasks for which a GPU was kept that has room for them now."""
        for group, reservation in list(self._reserved.items()):
            seat = reservation.seat
            task = _oldest(group)
            if task is not None and _stands(reservation) and seat.has_room and self._filters.passes(group, seat):
                self._drop(group)
                yield task, seat

    def _is_late(self, group: Group, now: float) -> bool:
        task = _oldest(group)
        if task is None or now - task.created < self._settings.reserve_after:
            return False
        return not math.isfinite(task.fifo) or now > task.fifo - task.run

    def _reserve(self, group: Group, now: float) -> None:
        fit = self._filters.fit(group)
        seats = (seat for seat in islice(self._seats, _SEATS_LOOKED_AT) if seat.takes_work)
        able = (s for s in seats if s.gpu and not s.gpu.reserved_for and s.kind is not None and s.kind in fit)
        seat = min(able, key=_free_at, default=None)
        if seat is not None and seat.gpu is not None:
            seat.gpu.reserve(group, seat, self._filters.need(group.requirements, seat))
            self._reserved[group] = _Reservation(group, seat, seat.gpu, now + self._settings.reserve_seconds)

    def _drop(self, group: Group) -> None:
        reservation = self._reserved.pop(group)
        reservation.gpu.unreserve(group)
        for seat in reservation.gpu:
            self._seats.place(seat, again=True)


def _believed(peak: int, size: int) -> int:
    """What was in use, as a node says, on a GPU of this size (0: unknown): no more than there is."""
    return min(peak, size) if size else peak


def _stands(reservation: _Reservation) -> bool:
    """Whether its instance still takes work, on the GPU that is kept for it."""
    seat, gpu = reservation.seat, reservation.gpu
    return seat.takes_work and seat.gpu is gpu and gpu.reserved_for is reservation.group


def _free_at(seat: Seat) -> tuple[float, str, str]:
    """When everything on its GPU will have been done, as far as we can tell."""
    until = max((other.until for other in seat.gpu if other.taken), default=0.0) if seat.gpu else math.inf
    return (until, seat.place.node, seat.place.instance)


def _oldest(group: Group) -> Waiting | None:
    heads = (lane.head() for lane in group.lanes.values())
    return min((head for head in heads if head is not None), key=lambda head: head.age, default=None)
