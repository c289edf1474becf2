"""Counts in a window that slides: bounded, however much happens."""

from __future__ import annotations

from dataclasses import dataclass, field

_PARTS = 30


@dataclass(slots=True)
class Rate:
    """Ends and failures of the last `window` seconds, to a thirtieth of it. `parts` are `[number, ended, failed]`."""

    window: float
    parts: list[list[int]] = field(default_factory=list)

    def add(self, now: float, *, failed: bool) -> None:
        """Something has ended."""
        number = self._number(now)
        if not self.parts or self.parts[-1][0] < number:
            self.parts.append([number, 0, 0])
        self.parts[-1][1] += 1
        self.parts[-1][2] += failed
        self._forget(now)

    def counts(self, now: float) -> tuple[int, int]:
        """How many have ended, and how many of them failed."""
        self._forget(now)
        return sum(part[1] for part in self.parts), sum(part[2] for part in self.parts)

    def _number(self, now: float) -> int:
        return int(now * _PARTS // self.window)

    def _forget(self, now: float) -> None:
        oldest = self._number(now) - _PARTS
        self.parts = [part for part in self.parts if part[0] > oldest]
