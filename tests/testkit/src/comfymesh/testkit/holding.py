"""Takes single processes of a mesh away and gives them back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from comfymesh.stack.processes import Processes
from comfymesh.testkit.waiting import DEADLINE, until


async def hold(home: Processes, name: str) -> None:
    """Kill a process, or what is left of it, and keep it away until `release`."""
    (keeper,) = (task for task in home._keepers if task.get_name() == name)
    home._keepers.remove(keeper)
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    process = home._running[name]
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def release(home: Processes, name: str) -> None:
    """Start a process again that is held, and keep it alive from now on."""
    (program,) = (program for program in home._programs if program.name == name)
    await home._start(program)
    home._keepers.append(asyncio.create_task(home._keep(program), name=name))


def freeze(process: asyncio.subprocess.Process) -> None:
    """Let a process stand still, with its connections open; answers once it does."""
    process.send_signal(signal.SIGSTOP)
    # The signal takes a moment to stop every thread.
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)


async def terminate(home: Processes, name: str) -> int:
    """Ask a process to end; answers its exit code. It is started again."""
    await until(lambda: heeds_sigterm(home, name), f"a {name} that heeds signals")
    process = home._running[name]
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(DEADLINE):
        return await process.wait()


def heeds_sigterm(home: Processes, name: str) -> bool:
    """Whether a process runs and has a handler for SIGTERM, which Python programs have after their start only."""
    process = home._running[name]
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return False
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), "0")
    return process.returncode is None and bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)
