"""Several processes of one service on one port: started, watched over, started again, stopped together.

The parent is to its workers what systemd is to a service, by the same protocol (`supervisor.py`): they tell it that
their event loops turn, and one that falls silent is killed. The kernel gives each new connection to one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from comfymesh.runtime.errors import EXIT_CONFIGURATION, ServiceFailedError

logger = logging.getLogger(__name__)

_FIRST_WAIT = 0.2
_LONGEST_WAIT = 5.0
_PARENT_SECONDS = 1.0
_LARGEST_WORD = 4096


class WorkerMisconfiguredError(ServiceFailedError):
    """A worker refuses its settings, and would again."""

    reason = "WORKER_MISCONFIGURED"
    exit_code = EXIT_CONFIGURATION


@dataclass(frozen=True, slots=True)
class Crew:
    """What to run.

    Attributes:
        command: Program and arguments of a worker.
        environments: For each worker, what is added to the variables of this process.
        grace: How long one may take to end after SIGTERM, in seconds.
        silence: One that has said nothing for so long is killed, in seconds. While it starts it says so too.
    """

    command: Sequence[str]
    environments: Sequence[Mapping[str, str]]
    grace: float
    silence: float = 60.0


async def keep(crew: Crew, stop: asyncio.Event) -> None:
    """Run a crew until `stop` is set and all have ended.

    Raises:
        WorkerMisconfiguredError: one can't be used as it is configured; the others have been stopped.
    """
    keepers = [asyncio.create_task(_keep(crew, number, stop)) for number in range(len(crew.environments))]
    try:
        await asyncio.gather(*keepers)
    finally:
        stop.set()
        await asyncio.gather(*keepers, return_exceptions=True)


@contextmanager
def sharing(listen: str) -> Iterator[str]:
    """Hold an address that workers can share, and nobody else's processes have; answers it with the port's number.

    Raises:
        ServiceFailedError: it can't be used.
    """
    host, _, port = listen.rpartition(":")
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]") or None, int(port), type=socket.SOCK_STREAM)[0]
        # Sharing does not ask whether those who share are of one family. So at first it must be ours alone.
        _bound(family, address, shared=False).close()
        holder = _bound(family, address, shared=True)
    except (OSError, ValueError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "another process has it" if taken else str(error)
        raise ServiceFailedError(f"can't listen on {listen}: {why}") from error
    with holder:
        yield f"{host}:{holder.getsockname()[1]}"


async def until_orphaned(parent: int) -> None:
    """Ends when a process that is our parent has gone, whatever ended it."""
    while os.getppid() == parent:  # noqa: ASYNC110  # the kernel tells this to nobody who asks politely
        await asyncio.sleep(_PARENT_SECONDS)


def _bound(family: int, address: tuple[object, ...], *, shared: bool) -> socket.socket:
    holder = socket.socket(family, socket.SOCK_STREAM)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(address)
    except OSError:
        holder.close()
        raise
    return holder


async def _keep(crew: Crew, number: int, stop: asyncio.Event) -> None:
    """Run one worker, and start it again whenever it has ended, waiting longer each time."""
    wait, loop = _FIRST_WAIT, asyncio.get_running_loop()
    while not stop.is_set():
        began = loop.time()
        code = await _run(crew, number, stop)
        if stop.is_set():
            return
        if code == EXIT_CONFIGURATION:
            stop.set()
            raise WorkerMisconfiguredError("a worker refuses its settings, see above")
        wait = _FIRST_WAIT if loop.time() - began > crew.silence else min(2 * wait, _LONGEST_WAIT)
        fields = {"action": "worker_restart", "worker": number, "exit_code": code}
        logger.warning("worker %d ended with %s, it is started again", number, code, extra=fields)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await stop.wait()


async def _run(crew: Crew, number: int, stop: asyncio.Event) -> int:
    """One life of a worker; answers its exit status."""
    async with _listening() as (place, heard):
        process = await asyncio.create_subprocess_exec(
            *crew.command,
            env={
                **os.environ,
                **crew.environments[number],
                "NOTIFY_SOCKET": place,
                "WATCHDOG_USEC": str(round(crew.silence * 1e6)),
            },
            # A Ctrl-C on the terminal is for the parent alone, which stops its workers.
            start_new_session=True,
        )
        ended, stopping = asyncio.ensure_future(process.wait()), asyncio.ensure_future(stop.wait())
        watching = asyncio.ensure_future(_silence(heard, crew.silence))
        try:
            await asyncio.wait({ended, stopping, watching}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done() and not ended.done():
                fields = {"action": "worker_silent", "worker": number}
                logger.error("worker %d has been silent for %g s, it is killed", number, crew.silence, extra=fields)
                process.kill()
            return await (_end(process, crew.grace) if stop.is_set() else ended)
        finally:
            for task in (ended, stopping, watching):
                task.cancel()
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _end(process: asyncio.subprocess.Process, grace: float) -> int:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(grace):
            return await process.wait()
    except TimeoutError:
        process.kill()
        return await process.wait()


async def _silence(heard: Callable[[], float], limit: float) -> None:
    """Ends when nothing has been heard for `limit` seconds."""
    loop = asyncio.get_running_loop()
    while (left := heard() + limit - loop.time()) > 0:  # noqa: ASYNC110  # a timer for each word costs more
        await asyncio.sleep(left)


@contextlib.asynccontextmanager
async def _listening() -> AsyncIterator[tuple[str, Callable[[], float]]]:
    """A socket for what one worker says: its address, and when something was heard last."""
    loop = asyncio.get_running_loop()
    last = loop.time()

    def hear() -> None:
        nonlocal last
        with contextlib.suppress(BlockingIOError):
            while ear.recv(_LARGEST_WORD):
                last = loop.time()

    name = f"comfymesh-{uuid4().hex}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as ear:
        ear.bind(f"\0{name}")
        loop.add_reader(ear, hear)
        try:
            yield f"@{name}", lambda: last
        finally:
            loop.remove_reader(ear)
