"""What this host has: GPUs, memory, disk."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from comfymesh.agent.nvml import Gpu

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
_KEPT_SECONDS = 60.0
"""A GPU that does not answer is shown as it was seen last for so long: drivers stutter."""
_NO_WORD = re.compile(r"[^a-z0-9]+")
_MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Room:
    """What a host has left, in bytes. 0: not known.

    Attributes:
        memory_bytes: Its memory.
        memory_available_bytes: What could be used without swapping.
        disk_bytes: Size of the file system that holds the agent's state.
        disk_free_bytes: What is free there for the agent.
    """

    memory_bytes: int = 0
    memory_available_bytes: int = 0
    disk_bytes: int = 0
    disk_free_bytes: int = 0


class Host:
    """Looks at the host now and then, on a thread: neither a driver nor a disk that hangs holds up the agent.

    Args:
        read_gpus: Reads the GPUs; may block.
        state_directory: Where the agent keeps its state.
        meminfo: What the kernel says of memory.

    Attributes:
        gpus: The GPUs as they were seen last.
        room: Memory and disk as they were seen last.
    """

    def __init__(
        self, read_gpus: Callable[[], tuple[Gpu, ...]], state_directory: Path, meminfo: Path = _MEMINFO
    ) -> None:
        self.gpus: tuple[Gpu, ...] = ()
        self._answered: dict[str, float] = {}
        self.room = Room()
        self._read_gpus = read_gpus
        self._state_directory = state_directory
        self._meminfo = meminfo

    def gpu(self, uuid: str | None) -> Gpu | None:
        """The GPU of this UUID; where none is named, the only one there is."""
        if uuid is None:
            return self.gpus[0] if len(self.gpus) == 1 else None
        return next((gpu for gpu in self.gpus if gpu.uuid == uuid), None)

    def gpu_class(self, uuid: str | None) -> str:
        """The class of that GPU, as `nvidia-l40s`; empty where it is not known."""
        gpu = self.gpu(uuid)
        return "" if gpu is None else _NO_WORD.sub("-", gpu.model.lower()).strip("-")

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Look once."""
        self.room = await asyncio.to_thread(read_room, self._state_directory, self._meminfo)
        try:
            seen = await asyncio.to_thread(self._read_gpus)
        except Exception:  # whatever a driver's library does must not end the agent
            logger.exception("the GPUs can't be looked at", extra={"action": "gpus_defect"})
            seen = ()
        self._take_in(seen, time.monotonic())

    def _take_in(self, seen: tuple[Gpu, ...], now: float) -> None:
        """Show what is there, and what was a moment ago, in its place."""
        self._answered |= {gpu.uuid: now for gpu in seen}
        new = {gpu.uuid: gpu for gpu in seen}
        kept = [gpu for gpu in self.gpus if gpu.uuid in new or now - self._answered.get(gpu.uuid, now) < _KEPT_SECONDS]
        known = {gpu.uuid for gpu in kept}
        self.gpus = (*(new.get(gpu.uuid, gpu) for gpu in kept), *(gpu for gpu in seen if gpu.uuid not in known))
        self._answered = {gpu.uuid: self._answered.get(gpu.uuid, now) for gpu in self.gpus}


def read_room(directory: Path, meminfo: Path = _MEMINFO) -> Room:
    """The host's memory, and the disk of a directory or of the nearest one above it that exists."""
    memory = _memory(meminfo)
    total, _, free = _disk(directory)
    return Room(memory.get("MemTotal", 0), memory.get("MemAvailable", 0), total, free)


def _memory(meminfo: Path) -> dict[str, int]:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError as error:
        logger.debug("the host's memory can't be read: %s", error)
        return {}
    pairs = (line.split(":", 1) for line in lines if line.endswith(" kB") and ":" in line)
    return {name: 1024 * int(value.split()[0]) for name, value in pairs}


def _disk(directory: Path) -> tuple[int, int, int]:
    for place in (directory, *directory.absolute().parents):
        try:
            return shutil.disk_usage(place)
        except FileNotFoundError:
            continue
        except OSError as error:
            logger.debug("the disk of %s can't be looked at: %s", place, error)
            break
    return 0, 0, 0
