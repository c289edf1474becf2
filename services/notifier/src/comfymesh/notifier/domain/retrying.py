"""How long to wait before something is tried again."""

from __future__ import annotations

_FIRST = 2.0
_LONGEST = 300.0


def pause_before(attempt: int) -> float:
    """Seconds before the n-th try at telling a channel, counted from 1: 2, 4, 8, ... up to five minutes."""
    return min(_LONGEST, _FIRST * 2.0 ** min(attempt - 2, 16)) if attempt > 1 else 0.0
