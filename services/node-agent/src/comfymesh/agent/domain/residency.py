"""Which model files an instance has in its memory, as far as can be seen from outside. Pure.

ComfyUI does not tell, but each prompt does: what it had to load was not there, and what it used without loading was. So
how many files stay is learned. It begins as many, since a file that is wrongly believed to be there costs one load and
is corrected by it, while one that is wrongly believed to be away is avoided for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

_FIRST_LIMIT = 32
_REMEMBERED = 256


class Residency:
    """Files of one life of an instance.

    Args:
        changed: Called whenever something else is there.
        gpu_class: Class of the GPU whose memory it is; empty where it is not known.
    """

    def __init__(self, changed: Callable[[], None] = lambda: None, gpu_class: str = "") -> None:
        self.gpu_class = gpu_class
        self._changed = changed
        self._used: dict[str, None] = {}
        self._before: dict[str, int] = {}
        self._limit = _FIRST_LIMIT

    def begin(self, names: Sequence[str]) -> None:
        """A prompt begins that uses these files: they are there in a moment, and tasks that need them may come."""
        self._before = self._newer()
        with self._telling():
            self._use(names)

    def ran(self, used: Sequence[str], loaded: Collection[str]) -> None:
        """It has ended: it has used these files, in this order, and loaded some of them first."""
        with self._telling():
            self._learn({name: name in loaded for name in used})
            self._use(used)

    def clear(self) -> None:
        """Everything was unloaded, or may have been."""
        with self._telling():
            self._used.clear()

    def resident(self) -> tuple[str, ...]:
        """What is there, the file unused for longest first."""
        return tuple(self._used)[-self._limit :]

    def _use(self, names: Sequence[str]) -> None:
        for name in names:
            self._used.pop(name, None)
            self._used[name] = None
        while len(self._used) > _REMEMBERED:
            del self._used[next(iter(self._used))]

    def _newer(self) -> dict[str, int]:
        """How many files were used after each."""
        return {name: place for place, name in enumerate(reversed(self._used))}

    def _learn(self, used: Mapping[str, bool]) -> None:
        """A file that was loaded again had been dropped after as many others; one that was not had stayed."""
        newer = self._before
        dropped = [newer[name] for name, loaded in used.items() if loaded and name in newer]
        stayed = [newer[name] + 1 for name, loaded in used.items() if not loaded and name in newer]
        # Whatever else was loaded once more, for reasons of its own: what stayed was there, and what ran has room.
        self._limit = max(min([self._limit, *dropped]), *stayed, len(used), 1)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        before = self.resident()
        yield
        if self.resident() != before:
            self._changed()
