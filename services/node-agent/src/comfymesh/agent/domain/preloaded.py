"""What an instance was to load ahead of work in one of its lives, and how that went. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from comfymesh.tasks.record import ModelFile

_FIRST_SECONDS = 10.0
_MOST_TRIES = 8
"""The last is 21 minutes after the first. A file that is not there by then is somebody's mistake."""


class Preloaded:
    """Files that have been tried, each with the words why it was not loaded, empty where it was.

    What has failed is tried again, each time after twice as long, and in the end no more.
    """

    def __init__(self) -> None:
        self.words: dict[ModelFile, str] = {}
        self._tries: dict[ModelFile, int] = {}
        self._due: dict[ModelFile, float] = {}

    def note(self, words: Mapping[ModelFile, str], now: float) -> None:
        """These were tried."""
        for file, why in words.items():
            tries = self._tries[file] = self._tries.get(file, 0) + 1
            self._due[file] = now + _FIRST_SECONDS * 2 ** (tries - 1)
            self.words[file] = why

    def due(self, wanted: Iterable[ModelFile], now: float) -> list[ModelFile]:
        """Those of the files wanted that are to be tried now."""
        return [file for file in wanted if self._is_due(file, now)]

    def forget_failures(self) -> None:
        """What has failed is tried anew, if it is still wanted; if it is not, it is no failure."""
        for file in [file for file, why in self.words.items() if why]:
            for kept in (self.words, self._tries, self._due):
                kept.pop(file, None)

    def _is_due(self, file: ModelFile, now: float) -> bool:
        if file not in self.words:
            return True
        return bool(self.words[file]) and self._tries[file] < _MOST_TRIES and now >= self._due[file]
