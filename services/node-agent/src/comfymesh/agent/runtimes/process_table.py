"""Processes of this host, named so that a process number used again is never taken for the old process."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path

_STATE, _START_TICKS = 0, 19
"""Positions after the command name in /proc/PID/stat (proc(5): fields 3 and 22)."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, for as long as this kernel runs.

    Attributes:
        pid: Its number, which the kernel uses again.
        start_ticks: When it started, in clock ticks since boot: the same number with another start is another process.
        boot_id: Which boot of the host.
    """

    pid: int
    start_ticks: int
    boot_id: str


def identify(pid: int) -> ProcessIdentity | None:
    """Return who has this number now; None when nobody has. A dead child that nobody reaped still has its number."""
    fields = _stat(pid)
    if fields is None:
        return None
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ProcessIdentity(pid, int(fields[_START_TICKS]), boot_id)


def is_alive(process: ProcessIdentity) -> bool:
    """Whether exactly this process still executes: dead and unreaped is not alive."""
    fields = _stat(process.pid)
    return fields is not None and fields[_STATE] not in "ZX" and identify(process.pid) == process


def reap(process: ProcessIdentity) -> int | None:
    """Take the exit code of a dead child of ours, as a shell gives it; None when it lives or is no child of ours."""
    try:
        pid, wait_status = os.waitpid(process.pid, os.WNOHANG)
    except ChildProcessError:
        return None
    if pid == 0:
        return None
    code = os.waitstatus_to_exitcode(wait_status)
    return 128 - code if code < 0 else code


class ProcessHandle:
    """Signals one process and waits for its end; a later owner of its number is never touched."""

    def __init__(self, process: ProcessIdentity) -> None:
        """Open the process.

        Raises:
            ProcessLookupError: It is gone.
        """
        self._process = process
        self._descriptor = os.pidfd_open(process.pid)
        # The number may have changed hands before it was opened; from here on it cannot.
        if identify(process.pid) != process:
            self.close()
            raise ProcessLookupError(process.pid)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process alone; one that has ended is left in peace."""
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return

    def kill_group(self) -> None:
        """Kill the process with every process of its group."""
        if is_alive(self._process):  # its group keeps its number at least as long as it lives
            os.killpg(self._process.pid, signal.SIGKILL)

    async def wait(self, seconds: float) -> bool:
        """Wait for the end of the process; False when it did not come in time."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._descriptor, _resolve, ended)
        try:
            await asyncio.wait_for(ended, seconds)
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(self._descriptor)
        return True

    def close(self) -> None:
        """Let go of the process."""
        os.close(self._descriptor)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat that follow the command name, which may hold spaces and brackets itself."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def memory_bytes(pid: int) -> int | None:
    """Return what a process holds of the host's memory, without mapped files; None once it has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    parts = dict(line.split(":", 1) for line in lines if ":" in line)
    held = [parts[name].split()[0] for name in ("RssAnon", "RssShmem") if name in parts]
    return 1024 * sum(map(int, held)) if held else None
