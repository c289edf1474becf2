"""How long ago something was that the log tells by the host's clock, whatever was done to that since."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

from comfymesh.agent.domain.offsets import Offset, noted, steady_time

logger = logging.getLogger(__name__)

_NAME = "clock.json"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LOOK_SECONDS = 5.0
_MOST_CHARACTERS = 64 << 10


class HostClock:
    """Notes for later lives of the agent when the wall clock is set. A start of the host makes all of it void.

    Args:
        state_directory: Where the agent keeps what must outlive it.
    """

    def __init__(self, state_directory: Path) -> None:
        self._path = state_directory / _NAME
        self._offsets: Sequence[Offset] = self._read()
        self.look()

    def passed(self, moment: float) -> float:
        """Seconds since `moment`, which this agent or an earlier life of it has told, in seconds since the epoch."""
        self.look()
        now = self._steady()
        return now - steady_time(self._offsets, moment, now)

    def look(self) -> None:
        """Note whether the clock was set."""
        offsets = noted(self._offsets, self._steady(), time.time())
        if offsets is not self._offsets:
            if self._offsets:
                seconds = offsets[-1][1] - self._offsets[-1][1]
                logger.warning("the host's clock was set by %+.1f s", seconds, extra={"action": "clock_set"})
            self._offsets = offsets
            self._write(offsets)

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def _steady(self) -> float:
        """Seconds since the host was started, those that it slept included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def _read(self) -> Sequence[Offset]:
        try:
            with self._path.open(encoding="utf-8") as file:
                kept = json.loads(file.read(_MOST_CHARACTERS))
            offsets = [(_finite(since), _finite(offset)) for since, offset in kept["offsets"]]
            return offsets if kept["boot_id"] == _boot_id() else []
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            logger.warning("%s can't be read, and is made anew: %s", self._path, error)
            return []

    def _write(self, offsets: Sequence[Offset]) -> None:
        draft = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps({"boot_id": _boot_id(), "offsets": offsets}))
            draft.replace(self._path)
        except OSError as error:
            logger.warning("%s can't be kept; a clock that is set can end attempts too early: %s", self._path, error)


def _finite(number: float) -> float:
    """A ComfyUI of the runtime `process` may write in our folder."""
    if not math.isfinite(number):
        raise ValueError(f"{number} is no time")
    return float(number)


def by_the_wall(moment: float) -> float:
    """Seconds since `moment`, in seconds since the epoch, as far as a clock can be believed that may be set."""
    return time.time() - moment


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()
