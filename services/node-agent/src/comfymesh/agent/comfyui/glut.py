"""Which messages need not be read, so that a large graph can't keep an agent busy.

After each graph node ComfyUI tells the state of all that have run: with thousands of quick ones that is more than can
be read in the time that they take. Each such message tells all that the one before did, so some can be left out. Pure.
"""

from __future__ import annotations

LARGE = 65_536
"""Characters from which on a message counts: the states of some 400 graph nodes. Usual graphs have fewer."""

_WHOLE_STATES = ('{"type": "progress_state"', '{"type":"progress_state"')
_SHARE = 0.1
"""Part of the time that may be spent on them."""


class Glut:
    """Leaves out large messages of states as long as reading them takes too much of the time."""

    def __init__(self) -> None:
        self._free_at = 0.0

    def leaves_out(self, message: str | bytes, now: float) -> bool:
        """Whether a message need not be read at `now`, in seconds of any clock. A later one, or the end, tells more."""
        return is_large_state(message) and now < self._free_at

    def took(self, message: str | bytes, began: float, now: float) -> None:
        """A message was read from `began` to `now`."""
        if is_large_state(message):
            self._free_at = now + (now - began) * (1 / _SHARE - 1)


def is_large_state(message: str | bytes) -> bool:
    """Whether a message tells the states of very many graph nodes."""
    return len(message) >= LARGE and isinstance(message, str) and message.startswith(_WHOLE_STATES)
