"""A NATS server of a test's own, which can be killed, held and started again on the same port and data."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

from comfymesh.stack.mesh import free_port, nats_program
from comfymesh.testkit.waiting import until


class NatsServer:
    """Runs nats-server with the configuration that the mesh uses.

    Args:
        directory: Takes its data and its log.
    """

    def __init__(self, directory: Path) -> None:
        self._port = free_port()
        self.url = f"nats://127.0.0.1:{self._port}"
        self._program = nats_program(directory, f"127.0.0.1:{self._port}")
        self._log = directory / "nats.log"
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start it; answers once it takes connections."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._program.command, stdout=log, stderr=log, env={**os.environ, **self._program.environment}
            )
        await until(self._listens, "a NATS server that listens")

    async def kill(self) -> None:
        """Kill it, as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            await self._process.wait()
            self._process = None

    async def restart(self) -> None:
        """Kill it and start it again."""
        await self.kill()
        await self.start()

    def freeze(self) -> None:
        """Let it answer nothing, with its connections open, until it is killed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        return True
