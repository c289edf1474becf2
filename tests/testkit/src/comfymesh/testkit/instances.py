"""Instances of every runtime for tests, with what may happen to them that nobody tells the agent of."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from comfymesh.agent.runtimes import process_record
from comfymesh.agent.runtimes.docker_client import remove_network
from comfymesh.agent.runtimes.factory import build
from comfymesh.agent.runtimes.process_table import ProcessHandle, is_alive, reap
from comfymesh.agent.runtimes.specs import AttachSpec, DockerSpec, ProcessSpec
from comfymesh.stack.mesh import free_port
from comfymesh.testkit import stand_in

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

    from comfymesh.agent.runtimes.contract import Runtime
    from comfymesh.agent.runtimes.process_record import ProcessRecord

STAND_IN = Path(stand_in.__file__)
LOOK_SECONDS = 0.05


async def ask(base_url: str, path: str = "/") -> str:
    """Return what the server answers, for a stand-in its token; wait until it answers."""
    host, _, port = base_url.removeprefix("http://").partition(":")
    while True:
        answer = b""
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, int(port))
            with contextlib.closing(writer):
                writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                answer = await reader.read()
        if answer:
            return answer.partition(b"\r\n\r\n")[2].decode()
        await asyncio.sleep(LOOK_SECONDS)


async def until_status(runtime: Runtime, kind: type) -> Any:
    """Poll until the status is of this kind, and return it."""
    while True:
        if isinstance(status := await runtime.poll(), kind):
            return status
        await asyncio.sleep(LOOK_SECONDS)


class World(Protocol):
    """Makes handles of one instance, and meddles with it."""

    async def runtime(self, **changes: Any) -> Runtime:
        """Return a new handle, as an agent does that was just started; `changes` are of the spec."""

    async def kill(self) -> None:
        """Kill the instance."""

    async def remove(self) -> None:
        """Make that nothing is left of the instance."""

    async def close(self) -> None:
        """Leave nothing behind."""


class _Handles:
    """The handles that were given out, to be closed at the end."""

    def __init__(self, node: str, state_directory: Path) -> None:
        self._node = node
        self._state_directory = state_directory
        self._runtimes: list[Runtime] = []

    def add(self, spec: AttachSpec | ProcessSpec | DockerSpec) -> Runtime:
        self._runtimes.append(build(spec, node=self._node, state_directory=self._state_directory))
        return self._runtimes[-1]

    async def close(self) -> None:
        for runtime in self._runtimes:
            await runtime.close()


class AttachWorld:
    """Someone else's server, started by the first handle that is asked for."""

    def __init__(self, state_directory: Path) -> None:
        self._handles = _Handles("here", state_directory)
        self._port = free_port()
        self._server: asyncio.subprocess.Process | None = None

    async def serve(self) -> None:
        """Start the server."""
        flags = ["--listen", "127.0.0.1", "--port", str(self._port)]
        self._server = await asyncio.create_subprocess_exec(
            sys.executable, str(STAND_IN), *flags, stdout=asyncio.subprocess.DEVNULL
        )

    async def runtime(self, **changes: Any) -> Runtime:
        """Return a new handle."""
        url = f"http://127.0.0.1:{self._port}"
        return self._handles.add(AttachSpec.model_validate({"name": "one", "url": url} | changes))

    async def kill(self) -> None:
        """Kill the server."""
        if self._server is not None:
            self._server.kill()
            await self._server.wait()
            self._server = None

    async def remove(self) -> None:
        """Kill the server: there is nothing else to remove."""
        await self.kill()

    async def close(self) -> None:
        """End the server."""
        await self.kill()
        await self._handles.close()


class ProcessWorld:
    """A stand-in as a process of this host."""

    def __init__(self, state_directory: Path) -> None:
        self._handles = _Handles("here", state_directory)
        self.home = state_directory / "instances" / "one"

    async def runtime(self, **changes: Any) -> Runtime:
        """Return a new handle."""
        spec = {"name": "one", "command": (sys.executable, str(STAND_IN))} | changes
        return self._handles.add(ProcessSpec.model_validate(spec))

    def record(self) -> ProcessRecord:
        """Return what is written of the process."""
        record = process_record.read(self.home / "process.json")
        assert record is not None
        return record

    async def kill(self) -> None:
        """Kill the process."""
        with contextlib.closing(ProcessHandle(self.record().process)) as handle:
            handle.send(signal.SIGKILL)
            assert await handle.wait(10)

    async def remove(self) -> None:
        """Kill the process and lose its record."""
        process = self.record().process
        await self.kill()
        reap(process)
        (self.home / "process.json").unlink()

    async def close(self) -> None:
        """Kill what still runs."""
        if (self.home / "process.json").exists() and is_alive(self.record().process):
            await self.remove()
        await self._handles.close()


class DockerWorld:
    """A stand-in in a container. Everything is labelled with a node of this world alone."""

    def __init__(self, engine: DockerClient, image: str, state_directory: Path) -> None:
        self.engine = engine
        self.node = f"test-{uuid.uuid4().hex[:8]}"
        self._handles = _Handles(self.node, state_directory)
        self._spec = {"name": "one", "image": image, "pull": False, "command": ("python3", "-c", STAND_IN.read_text())}

    @property
    def name(self) -> str:
        """Name of the container, its volume and its network."""
        return f"comfymesh-{self.node}-one"

    async def runtime(self, **changes: Any) -> Runtime:
        """Return a new handle."""
        return self._handles.add(DockerSpec.model_validate(self._spec | changes))

    async def container(self) -> Container:
        """Return the container."""
        return await asyncio.to_thread(self.engine.containers.get, self.name)

    async def kill(self) -> None:
        """Kill the container."""
        container = await self.container()
        await asyncio.to_thread(container.kill)
        await asyncio.to_thread(container.wait)

    async def remove(self) -> None:
        """Remove the container."""
        container = await self.container()
        await asyncio.to_thread(lambda: container.remove(force=True))

    async def close(self) -> None:
        """Remove everything that carries the label of this world's node."""
        await self._handles.close()
        await asyncio.to_thread(self._remove_all)

    def _remove_all(self) -> None:
        label: dict[str, str | list[str] | bool] = {"label": f"comfymesh.node={self.node}"}
        for container in self.engine.containers.list(all=True, filters=label):
            container.remove(force=True, v=True)
        for volume in self.engine.volumes.list(filters=label):
            volume.remove()
        for network in self.engine.networks.list(filters=label):
            remove_network(network)
