"""Runs processes that belong together: starts them in order, starts again what dies, stops them in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

logger = logging.getLogger(__name__)

_FIRST_WAIT = 0.2
_LONGEST_WAIT = 5.0
_STABLE_SECONDS = 10.0
_MISCONFIGURED = 78
"""EX_CONFIG of sysexits.h: a program that ends with it would again, until somebody changes something."""
_MOST_WORDS = 4000
_TIE = ("setpriv", "--pdeathsig", "TERM", "--")
"""Has the system end a program when whoever started it is gone, however that came about (PR_SET_PDEATHSIG)."""


@dataclass(frozen=True, slots=True)
class Program:
    """A process to run.

    Attributes:
        name: What it is called.
        command: Program and arguments.
        environment: Added to the variables of this process.
        grace: How long it may take to end after SIGTERM, in seconds.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    grace: float = 15.0


class MisconfiguredError(Exception):
    """A program does not run with its settings; the message is what it said."""

    def __init__(self, name: str, said: str) -> None:
        super().__init__(f"{name} can't run with its settings: {said}")


class Processes:
    """Runs programs until it is left. On Linux they end too when this process is killed.

    Args:
        programs: What to run. Later ones may need earlier ones.
        logs: Folder for their output, one file each.
        keep_open: File descriptors that they inherit.
    """

    def __init__(self, programs: Sequence[Program], logs: Path, keep_open: Sequence[int] = ()) -> None:
        self._keep_open = keep_open
        self._programs = programs
        self._logs = logs
        self._tie = _TIE if shutil.which(_TIE[0]) else ()
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._begins: dict[str, int] = {}
        self._refused: asyncio.Future[MisconfiguredError] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        try:
            for program in self._programs:
                await self._start(program)
                self._keepers.append(asyncio.create_task(self._keep(program), name=program.name))
        except BaseException:
            await self._stop_all()  # Nobody else will: what was never entered is never left.
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_all()

    async def _stop_all(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for program in reversed(self._programs):
            if program.name in self._running:
                await self._stop(program)

    def pid(self, name: str) -> int:
        """The process id of a program."""
        return self._running[name].pid

    def log(self, name: str) -> Path:
        """The file that takes a program's output."""
        return self._logs / f"{name}.log"

    async def refused(self) -> None:
        """Wait until a program says that it can't run with its settings.

        Raises:
            MisconfiguredError: it does. It is not started again; the others run on.
        """
        raise await asyncio.shield(self._refused)

    async def _start(self, program: Program) -> None:
        with self.log(program.name).open("ab") as output:
            self._begins[program.name] = output.tell()
            self._running[program.name] = await asyncio.create_subprocess_exec(
                *self._tie,
                *program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **program.environment},
                # A Ctrl-C on the terminal is for us alone: we stop the programs, in order.
                start_new_session=True,
                pass_fds=self._keep_open,
            )

    async def _keep(self, program: Program) -> None:
        """Start a program again whenever it has ended, waiting longer each time."""
        wait = _FIRST_WAIT
        while True:
            began = time.monotonic()
            code = await self._running[program.name].wait()
            if code == _MISCONFIGURED:
                self._tell_refusal(program)
                return
            wait = _FIRST_WAIT if time.monotonic() - began > _STABLE_SECONDS else min(2 * wait, _LONGEST_WAIT)
            logger.warning(
                "%s ended with %s, it is started again; %s says why",
                *(program.name, code, self.log(program.name)),
                extra={"action": "restart"},
            )
            await asyncio.sleep(wait)
            await self._start(program)

    def _tell_refusal(self, program: Program) -> None:
        if not self._refused.done():
            with self.log(program.name).open("rb") as log:
                log.seek(self._begins[program.name])
                written = log.read().decode(errors="replace")
            self._refused.set_result(MisconfiguredError(program.name, _words(written)))

    async def _stop(self, program: Program) -> None:
        process = self._running[program.name]
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(program.grace):
                await process.wait()
        except TimeoutError:
            logger.warning("%s did not end within %g s, it is killed", program.name, program.grace)
            process.kill()
            await process.wait()


def _words(written: str) -> str:
    """What a program has written last: the message of a line of JSON, or plain lines."""
    lines = written.strip().splitlines()
    try:
        return str(json.loads(lines[-1])["message"])
    except (LookupError, TypeError, ValueError):
        return "\n".join(line for line in lines if not line.startswith("{"))[-_MOST_WORDS:]
