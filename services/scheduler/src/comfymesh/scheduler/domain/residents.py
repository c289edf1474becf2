"""Which instances hold which model files, and who holds all that a family needs."""

from __future__ import annotations

from collections.abc import Iterable

from comfymesh.scheduler.domain.seat import Seat


class Holders:
    """Instances that hold a family's models."""

    __slots__ = ("all", "free", "until")

    def __init__(self) -> None:
        self.all: dict[Seat, None] = {}
        self.free: dict[Seat, None] = {}
        self.until = 0.0


class Residents:
    """Instances by what is in their memory: a family that is met, or met again, costs no look at the whole fleet."""

    def __init__(self) -> None:
        self._with: dict[str, dict[Seat, None]] = {}

    def change(self, seat: Seat, resident: tuple[str, ...]) -> set[str]:
        """Its memory holds these model files from now on. Answers those that came or went."""
        touched = set(resident) ^ set(seat.resident)
        for model in touched:
            if model in resident:
                self._with.setdefault(model, {})[seat] = None
                continue
            seats = self._with[model]
            del seats[seat]
            if not seats:
                del self._with[model]
        seat.resident = resident
        return touched

    def holding(self, models: Iterable[str]) -> list[Seat]:
        """Instances that hold all of these, of which there is at least one; the one known for longest first."""
        rarest, *others = sorted((self._with.get(model, {}) for model in models), key=len)
        return sorted((seat for seat in rarest if all(seat in each for each in others)), key=lambda seat: seat.number)
