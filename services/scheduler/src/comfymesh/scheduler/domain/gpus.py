"""The memory of one GPU, which several instances may share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from comfymesh.scheduler.domain.lanes import Group
from comfymesh.tasks.record import Key

S = TypeVar("S")
"""An instance. Which one it is matters here, and nothing else of it."""


class Gpu(Generic[S]):
    """A GPU, as far as its memory goes. An instance of which it is not known where it runs has one for itself.

    Attributes:
        name: Its node, and its name there.
        size: Its memory in bytes; 0 where it is not known.
        reserved_for: For whose tasks it is kept; None for nobody's.
    """

    __slots__ = ("_before", "_held", "_kept_seat", "_reserved", "_seats", "name", "reserved_for", "size")

    def __init__(self, name: tuple[str, str]) -> None:
        self.name = name
        self.size = 0
        self.reserved_for: Group | None = None
        self._reserved = 0
        self._kept_seat: S | None = None
        self._before: frozenset[Key] = frozenset()
        self._seats: dict[S, None] = {}
        self._held: dict[S, dict[Key, int]] = {}

    def __iter__(self) -> Iterator[S]:
        return iter(self._seats)

    @property
    def open(self) -> bool:
        """Whether nothing but the instance itself decides what may run there."""
        return len(self._seats) == 1 and self.reserved_for is None

    def join(self, seat: S, size: int) -> None:
        """An instance runs there."""
        self._seats[seat] = None
        self.size = size

    def leave(self, seat: S) -> None:
        """It does no more. Nothing is kept at it any longer."""
        self._seats.pop(seat, None)
        self._held.pop(seat, None)
        if seat is self._kept_seat:
            self.unreserve(self.reserved_for)

    def hold(self, seat: S, key: Key, need: int) -> None:
        """A task needs so much there."""
        self._held.setdefault(seat, {})[key] = need

    def has(self, seat: S, key: Key) -> bool:
        """Whether it is known that a task needs something there."""
        return key in self._held.get(seat, ())

    def release(self, seat: S, key: Key) -> None:
        """It needs nothing any more."""
        held = self._held.get(seat)
        if held is not None:
            held.pop(key, None)
            if not held:
                del self._held[seat]

    def reserve(self, group: Group, seat: S, need: int) -> None:
        """Keep so much of it for a group's tasks at one of its instances."""
        self.reserved_for, self._kept_seat, self._reserved = group, seat, need
        self._before = frozenset(key for held in self._held.values() for key in held)

    def unreserve(self, group: Group | None) -> None:
        """Keep it for this group no more."""
        if group is self.reserved_for:
            self.reserved_for, self._kept_seat, self._reserved, self._before = None, None, 0, frozenset()

    def shared_with(self, seat: S) -> Iterator[S]:
        """The other instances there."""
        return (other for other in self._seats if other is not seat)

    def free_for(self, seat: S) -> int:
        """What others leave to an instance. Each runs one task at a time: the one that needs most counts."""
        others = sum(max(held.values()) for other, held in self._held.items() if other is not seat)
        return max(self.size - others, 0)

    def admits(self, group: Group | None, seat: S, need: int) -> bool:
        """Whether a task of a group that needs so much may run there now."""
        free = self.free_for(seat)
        if self.reserved_for is not None and self.reserved_for is not group:
            beside = seat is not self._kept_seat and 0 < need <= free
            return beside and need + self._came_since() + self._reserved <= self.size
        return not self.size or min(need, self.size) <= free

    def _came_since(self) -> int:
        """What tasks need that came beside a reservation: they may still be there when its task begins."""
        others = (held for seat, held in self._held.items() if seat is not self._kept_seat)
        return sum(need for held in others for key, need in held.items() if key not in self._before)
