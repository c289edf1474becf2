"""When a webhook is tried, when it is given up, and when an endpoint is left alone for a while."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

_MINUTE, _HOUR = 60.0, 3600.0

PAUSES = (5.0, _MINUTE, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR)
"""Seconds after each failed try but the last: about eighteen hours in all."""

_SPREAD = 0.2
_LONGEST_WISH = 2 * _HOUR
_GONE = 410
_TOLERATED = 5
_FIRST_OPEN, _LONGEST_OPEN = 30.0, 600.0


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has taken it."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """It is not tried any more."""


@dataclass(frozen=True, slots=True)
class Again:
    """It is tried again then, seconds since the epoch."""

    at: float


Verdict = Delivered | GivenUp | Again


def judge(delivery_id: str, attempt: int, status: int, now: float, wish: float = 0.0) -> Verdict:
    """What follows a try.

    Args:
        delivery_id: Which one; spreads tries of many.
        attempt: Which try this was, counted from 1.
        status: What the receiver answered, 0 for nothing.
        now: When.
        wish: After how many seconds the receiver wants to be asked again (Retry-After).
    """
    if 200 <= status < 300:
        return Delivered()
    if status == _GONE or attempt > len(PAUSES):
        return GivenUp()
    pause = PAUSES[attempt - 1] * (1 + _SPREAD * _chance(delivery_id, attempt))
    return Again(now + max(pause, min(wish, _LONGEST_WISH)))


def _chance(delivery_id: str, attempt: int) -> float:
    """0 to 1, the same each time."""
    return hashlib.sha256(f"{delivery_id}/{attempt}".encode()).digest()[0] / 255


@dataclass(slots=True)
class Breaker:
    """Leaves an endpoint alone that fails again and again.

    It opens after five failures in a row, for half a minute, and twice as long after each further one, up to ten
    minutes. When that time is over one try goes through, and its outcome decides.
    """

    failures: int = 0
    opens_until: float = 0.0
    probing: bool = False

    def admits(self, now: float) -> bool:
        """Whether a try may begin now. Each that is admitted must be answered by `told`."""
        if self.failures < _TOLERATED:
            return True
        if self.probing or now < self.opens_until:
            return False
        self.probing = True
        return True

    def told(self, now: float, *, works: bool) -> None:
        """How a try has ended."""
        self.probing = False
        self.failures = 0 if works else self.failures + 1
        if self.failures >= _TOLERATED:
            doublings = min(self.failures - _TOLERATED, 10)
            self.opens_until = now + min(_LONGEST_OPEN, _FIRST_OPEN * 2.0**doublings)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to remember."""
        return self.failures == 0 and not self.probing
