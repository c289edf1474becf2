"""Whether a service works: each of its parts says so again and again, and a file shows it to whoever asks.

A part that falls silent makes the service unwell, be it that NATS does not answer, that the part hangs, or that it was
never reached. Where the event loop itself hangs, the file grows old. `comfymesh-health` reads it (health_check.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

WRITE_SECONDS = 2.0
OLD_SECONDS = 5 * WRITE_SECONDS
"""A file that is older was left behind, or its writer hangs."""


class Health:
    """When each part has last said that it works.

    Args:
        clock: Answers seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard: dict[str, float] = {}

    def well(self, part: str) -> None:
        """A part works: it has just done what it is for."""
        self._heard[part] = self._clock()

    def troubles(self, parts: Mapping[str, float]) -> Iterator[str]:
        """What is wrong with `parts`, which are allowed so many seconds of silence."""
        now = self._clock()
        for part, allowed in parts.items():
            if (heard := self._heard.get(part)) is None:
                yield f"{part}: has not worked yet"
            elif now - heard > allowed:
                yield f"{part}: has not worked for {now - heard:.0f} s"


HEALTH = Health()
"""How this process is."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a file says: when it was written, by the host's monotonic clock, and what was wrong then."""

    written: float
    troubles: tuple[str, ...]

    def verdict(self, now: float) -> tuple[str, ...]:
        """What is wrong now; nothing where the service works."""
        age = now - self.written
        if not 0 <= age <= OLD_SECONDS:
            return (f"the service has not said how it is for {age:.0f} s",) if age > 0 else ("another boot wrote it",)
        return self.troubles


def write(path: Path, shown: Shown) -> None:
    """Replace the file as a whole: no reader sees half of it.

    Raises:
        OSError: it can't be written.
    """
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(json.dumps({"written": shown.written, "troubles": shown.troubles}))
    beside.replace(path)


def read(path: Path) -> Shown:
    """What a file says.

    Raises:
        OSError: it can't be read.
        ValueError: it is another kind of file.
    """
    told = json.loads(path.read_text())
    try:
        return Shown(float(told["written"]), tuple(map(str, told["troubles"])))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no health file: {error!r}") from error
