"""What processes cost, as the kernel counts it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_NANO = 1e9
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time used so far, in seconds, and resident memory, in bytes."""

    cpu_seconds: float
    resident_bytes: int


def usage(pid: int) -> Usage:
    """What a process and its workers have used. Of this one only itself: what it runs counts for itself."""
    family = [pid] if pid == os.getpid() else [pid, *_children(pid)]
    used = [_own(each) for each in family]
    return Usage(sum(each.cpu_seconds for each in used), sum(each.resident_bytes for each in used))


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _own(pid: int) -> Usage:
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage((int(stat[11]) + int(stat[12])) / _TICK, pages * _PAGE)


@dataclass(frozen=True, slots=True)
class Runs:
    """What the kernel's scheduler gave so far, in seconds.

    Attributes:
        ran: On a core.
        waited: Ready to run, while every core that it may use had something else to do.
    """

    ran: float
    waited: float

    def __sub__(self, before: Runs) -> Runs:
        return Runs(self.ran - before.ran, self.waited - before.waited)


def runs(pid: int) -> Runs:
    """Of all threads of a process and its workers that live (Documentation/scheduler/sched-stats.rst of the kernel)."""
    family = [pid] if pid == os.getpid() else [pid, *_children(pid)]
    threads = [thread for each in family for thread in Path(f"/proc/{each}/task").iterdir()]
    each = [thread.joinpath("schedstat").read_text().split() for thread in threads]
    return Runs(sum(int(ran) for ran, *_ in each) / _NANO, sum(int(waited) for _, waited, _ in each) / _NANO)


def machine_busy() -> float:
    """Seconds that all cores together were not idle since the machine was started."""
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = Path("/proc/stat").read_text().split()[1:11]
    return sum(map(int, (user, nice, system, irq, softirq, steal))) / _TICK


def usages(pids: Mapping[str, int]) -> dict[str, Usage]:
    """What several processes have used, by name."""
    return {name: usage(pid) for name, pid in pids.items()}


def cpu_ms_each(before: Mapping[str, Usage], after: Mapping[str, Usage], tasks: int) -> dict[str, float]:
    """CPU time per task between two readings, in milliseconds, by process."""
    return {name: (after[name].cpu_seconds - before[name].cpu_seconds) * 1000 / tasks for name in before}
