"""Which model files an instance has in its memory, as far as can be seen from outside. Pure.

ComfyUI does not tell, but each prompt does: what it had to load was not there, and what it used without loading was. So
how many files stay is learned. It begins as many, since a file that is wrongly believed to be there costs one load and
is corrected by it, while one that is wrongly believed to be away is avoided for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

_FIRST_LIMIT = 32
_REMEMBERED = 256


class Residency:
    """Files of one life of an instance."""

    def __init__(self) -> None:
        self._used: dict[str, None] = {}
        self._limit = _FIRST_LIMIT

    def ran(self, used: Sequence[str], loaded: Collection[str]) -> None:
        """A prompt has used these files, in this order, and loaded some of them first."""
        self._learn({name: name in loaded for name in used})
        for name in used:
            self._used.pop(name, None)
            self._used[name] = None
        while len(self._used) > _REMEMBERED:
            del self._used[next(iter(self._used))]

    def clear(self) -> None:
        """Everything was unloaded, or may have been."""
        self._used.clear()

    def resident(self) -> tuple[str, ...]:
        """What is there, the file unused for longest first."""
        return tuple(self._used)[-self._limit :]

    def _learn(self, used: Mapping[str, bool]) -> None:
        """A file that was loaded again had been dropped after as many others; one that was not had stayed."""
        newer = {name: place for place, name in enumerate(reversed(self._used))}
        dropped = [newer[name] for name, loaded in used.items() if loaded and name in newer]
        stayed = [newer[name] + 1 for name, loaded in used.items() if not loaded and name in newer]
        # Whatever else was loaded once more, for reasons of its own: what stayed was there, and what ran has room.
        self._limit = max(min([self._limit, *dropped]), *stayed, len(used), 1)
