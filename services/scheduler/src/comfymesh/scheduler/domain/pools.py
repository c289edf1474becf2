"""How many instances of each pool take work: breakers may not bar most of one (`breaker.py`)."""

from __future__ import annotations

from collections import Counter

from comfymesh.scheduler.domain.seat import Seat


class Pools:
    """How many instances of each pool serve, and how many of those are barred.

    Attributes:
        version: Changes when they do.
        crowded: Pools of which more than half are barred.
    """

    def __init__(self) -> None:
        self.version = 0
        self.crowded: dict[str, None] = {}
        self._serving: Counter[str] = Counter()
        self._barred: Counter[str] = Counter()

    def count(self, seat: Seat) -> None:
        """Count an instance as what it is now."""
        now = (seat.kind.site.pool, seat.allowed <= 0) if seat.serves and seat.kind is not None else None
        if now == seat.counted:
            return
        for counted, difference in ((seat.counted, -1), (now, 1)):
            if counted is not None:
                self._add(*counted, difference)
        seat.counted = now
        self.version += 1

    def has_room(self, pool: str) -> bool:
        """Whether one more of a pool may be barred, and no more than half are."""
        return 2 * (self._barred[pool] + 1) <= self._serving[pool]

    def _add(self, pool: str, barred: bool, difference: int) -> None:  # noqa: FBT001
        for counts in (self._serving, self._barred) if barred else (self._serving,):
            counts[pool] += difference
            if not counts[pool]:
                del counts[pool]
        if 2 * self._barred[pool] > self._serving[pool]:
            self.crowded[pool] = None
        else:
            self.crowded.pop(pool, None)
