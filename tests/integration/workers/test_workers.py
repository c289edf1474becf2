"""Workers are started again when they end, killed when they hang, and stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from comfymesh.runtime import workers
from comfymesh.runtime.errors import EXIT_CONFIGURATION, ServiceFailedError
from comfymesh.runtime.workers import Crew, WorkerMisconfiguredError
from comfymesh.testkit.waiting import until

NOTES_ITS_PID = """
import asyncio, os, pathlib, sys
from comfymesh.runtime import supervisor
pathlib.Path(sys.argv[1], str(os.getpid())).touch()
"""
WORKS = NOTES_ITS_PID + "asyncio.run(supervisor.pulse())"
HANGS = NOTES_ITS_PID + "import time; time.sleep(3600)"
STUBBORN = (
    NOTES_ITS_PID + "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); asyncio.run(supervisor.pulse())"
)
MISCONFIGURED = f"import sys; sys.exit({EXIT_CONFIGURATION})"


def crew(script: str, folder: Path, *, count: int = 2, silence: float = 60.0, grace: float = 10.0) -> Crew:
    return Crew((sys.executable, "-c", script, str(folder)), [{}] * count, grace, silence)


@asynccontextmanager
async def kept(crew: Crew) -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    keeping = asyncio.ensure_future(workers.keep(crew, stop))
    try:
        yield stop
    finally:
        stop.set()
        await keeping


def pids(folder: Path) -> set[int]:
    return {int(path.name) for path in folder.iterdir()}


def alive(folder: Path) -> set[int]:
    return {pid for pid in pids(folder) if Path(f"/proc/{pid}").exists()}


async def until_started(folder: Path, count: int) -> set[int]:
    async def look() -> set[int] | None:
        return found if len(found := pids(folder)) >= count else None

    return await until(look, f"{count} workers that have begun")


async def test_one_that_ends_is_started_again_and_all_end_together(tmp_path: Path) -> None:
    async with kept(crew(WORKS, tmp_path)):
        first, *_ = await until_started(tmp_path, 2)
        os.kill(first, signal.SIGKILL)
        await until_started(tmp_path, 3)
        assert len(alive(tmp_path)) == 2
    assert not alive(tmp_path)


async def test_one_that_hangs_is_killed_and_started_again(tmp_path: Path) -> None:
    async with kept(crew(HANGS, tmp_path, count=1, silence=2.0)):
        (first,) = await until_started(tmp_path, 1)
        await until_started(tmp_path, 2)
        assert first not in alive(tmp_path)


async def test_one_that_will_not_end_is_killed(tmp_path: Path) -> None:
    async with kept(crew(STUBBORN, tmp_path, count=1, grace=0.2)):
        await until_started(tmp_path, 1)
    assert not alive(tmp_path)


async def test_settings_that_are_refused_end_all(tmp_path: Path) -> None:
    with pytest.raises(WorkerMisconfiguredError) as told:
        await workers.keep(crew(MISCONFIGURED, tmp_path), asyncio.Event())
    assert told.value.exit_code == EXIT_CONFIGURATION


async def test_a_keeper_that_is_cancelled_leaves_nobody_behind(tmp_path: Path) -> None:
    keeping = asyncio.ensure_future(workers.keep(crew(WORKS, tmp_path), asyncio.Event()))
    await until_started(tmp_path, 2)
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping
    assert not alive(tmp_path)


def test_an_address_can_be_shared_by_workers_and_nobody_else() -> None:
    with workers.sharing("127.0.0.1:0") as listen:
        host, _, port = listen.rpartition(":")
        with socket.socket() as worker:
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            worker.bind((host, int(port)))
            worker.listen()
            with pytest.raises(ServiceFailedError, match="another process has it"), workers.sharing(listen):
                pass
    with pytest.raises(ServiceFailedError, match="can't listen on nowhere"), workers.sharing("nowhere"):
        pass
