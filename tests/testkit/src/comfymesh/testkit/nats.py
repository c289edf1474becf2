"""NATS servers of a test's own, which can be killed, held and started again on the same port and data."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from comfymesh.stack.mesh import free_port, nats_program
from comfymesh.testkit.holding import freeze
from comfymesh.testkit.waiting import until


class NatsServer:
    """Runs nats-server with the configuration that the mesh uses.

    Args:
        directory: Takes its data and its log.
        configuration: Another configuration file to use.
        name: Its name.
        environment: Further variables that the configuration uses.
        runner: Words of a command that runs the server.
    """

    def __init__(  # what a server is made of
        self,
        directory: Path,
        configuration: Path | None = None,
        name: str = "nats",
        environment: Mapping[str, str] | None = None,
        runner: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        program = nats_program(directory, f"127.0.0.1:{self.port}", name)
        own = program.command if configuration is None else (*program.command[:-1], str(configuration))
        variables = {**program.environment, **(environment or {}), "NATS_NAME": name}
        self._program = replace(program, command=(*runner, *own), environment=variables)
        self.monitor_url = f"http://{program.environment['NATS_MONITOR']}"
        self._log = directory / f"{name}.log"
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
        """Kill it, as a power cut would: one that is frozen does nothing any more."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None

    async def restart(self) -> None:
        """Kill it and start it again."""
        await self.kill()
        await self.start()

    def reload(self) -> None:
        """Have it read its configuration again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None

    def freeze(self) -> None:
        """Let it answer nothing, with its connections open, until it is killed."""
        assert self._process is not None
        freeze(self._process)

    def thaw(self) -> None:
        """Let it go on where it was frozen."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True


class NatsCluster:
    """Three servers that replicate to each other, with the configuration that the mesh ships for that.

    Args:
        directory: Takes their data and logs.
        configuration: The configuration file.
    """

    def __init__(self, directory: Path, configuration: Path) -> None:
        ports = [free_port() for _ in range(3)]
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
        self.servers = [
            NatsServer(
                directory,
                configuration,
                f"n{number}",
                {"NATS_CLUSTER": f"127.0.0.1:{port}", "NATS_ROUTES": f"[{routes}]"},
            )
            for number, port in enumerate(ports)
        ]
        self.url = ",".join(server.url for server in self.servers)
        self.monitor_urls = ",".join(server.monitor_url for server in self.servers)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for server in self.servers:
            await self._stack.enter_async_context(server)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def named(self, name: str) -> NatsServer:
        """The server of that name."""
        return next(server for server in self.servers if server.name == name)
