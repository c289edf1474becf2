"""A clock that does not step back, and says so when it steps ahead.

All that the scheduler knows of silence, repetition and waiting are differences of two times. An operator, NTP or a
virtual machine that is resumed may set the machine's clock between them.
"""

from __future__ import annotations

from collections.abc import Callable

JUMP_SECONDS = 2.0
"""What the machine's clock is ahead by that is caught up with at once. Less than any time after which we give up on
others, and more than clocks drift."""
MOST_BEHIND_SECONDS = 600.0
"""What it is behind by at most. At half speed that is made up for in twice the time."""
_SLEW = 0.5
"""How much faster or slower we go until both agree."""


class ClockSetBackError(Exception):
    """The machine's clock went back so far that what is known belongs to a time that will not come for long."""

    def __init__(self, behind: float) -> None:
        super().__init__(
            f"the machine's clock was set back by {behind:.0f} s, more than {MOST_BEHIND_SECONDS:.0f} s: "
            "the scheduler has to start again, by the new time"
        )


class SteadyClock:
    """Seconds since the epoch: the machine's clock at the start, and what has passed since by one that nobody sets.

    Args:
        wall: The machine's clock, seconds since the epoch.
        monotonic: Seconds since any moment, never set.
    """

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._since = monotonic()
        self._then = wall()
        self._lacks = 0.0

    def __call__(self) -> float:
        """The time. It never goes back."""
        passed = self._monotonic() - self._since
        slewed = min(abs(self._lacks), _SLEW * passed)
        return self._then + passed + (slewed if self._lacks > 0 else -slewed)

    def follow(self) -> bool:
        """Compare with the machine's clock, and go after it. Call this often.

        Answers whether we have jumped ahead: then nobody was silent for as long as it seems.

        Raises:
            ClockSetBackError: it was set back too far to wait for it.
        """
        now, wall = self(), self._wall()
        if wall < now - MOST_BEHIND_SECONDS:
            raise ClockSetBackError(now - wall)
        jumps = wall > now + JUMP_SECONDS
        self._since, self._then = self._monotonic(), wall if jumps else now
        self._lacks = 0.0 if jumps else wall - now
        return jumps
