"""By how much the host's clock differed from one that nobody sets, and since when. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

_STEP_SECONDS = 1.0
"""What clocks differ by less is no step: the wall clock is kept right in small ways all the time."""
_MOST = 16

Offset = tuple[float, float]
"""Since when, in seconds of the steady clock, and the wall clock minus the steady one from then on."""


def noted(offsets: Sequence[Offset], steady: float, wall: float) -> Sequence[Offset]:
    """The same, and what the clocks show now where that is something else; the earliest are forgotten."""
    if offsets and abs(wall - steady - offsets[-1][1]) < _STEP_SECONDS:
        return offsets
    return [*offsets, (steady, wall - steady)][-_MOST:]


def steady_time(offsets: Sequence[Offset], wall: float, now: float) -> float:
    """When the wall clock showed this, in seconds of the steady clock; the last time, if it did so more than once.

    What it can't have shown is put where it would be least wrong.

    Args:
        offsets: At least one.
        wall: Seconds since the epoch.
        now: Seconds of the steady clock.
    """
    ends = [*(since for since, _ in offsets[1:]), now]
    places = [
        (wall - offset, min(max(wall - offset, since), until))
        for (since, offset), until in zip(_from_the_first(offsets), ends, strict=True)
    ]
    _, nearest = min(reversed(places), key=lambda place: abs(place[0] - place[1]))
    return nearest


def _from_the_first(offsets: Sequence[Offset]) -> list[Offset]:
    """The first that is known is taken to have held before as well."""
    return [(-math.inf, offsets[0][1]), *offsets[1:]]
