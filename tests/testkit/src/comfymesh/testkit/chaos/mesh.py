"""A mesh to be broken: two of everything that there can be two of, each behind a line of its own to NATS."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from unittest.mock import patch

from comfymesh.client import AsyncClient, ComfyMeshError, InstanceState
from comfymesh.runtime import faultpoints
from comfymesh.stack import processes
from comfymesh.stack.mesh import emulated, free_port, module, nats_program
from comfymesh.stack.processes import Processes, Program
from comfymesh.testkit.chaos.proxy import Proxy
from comfymesh.testkit.waiting import until

_SERVING = {InstanceState.READY, InstanceState.BUSY}
_TTL_SECONDS = 3.0
_START_SECONDS = 90.0
_NONE: Mapping[str, str] = MappingProxyType({})
_PACE = ("--step-seconds", "0.01", "--load-seconds", "0.01")


@dataclass(frozen=True, slots=True)
class ChaosMesh:
    """A mesh that runs.

    Attributes:
        directory: Its data and logs.
        nats_url: Where NATS is, without any proxy between.
        targets: Its APIs.
        processes: Everything that runs, by name.
        lines: The way of each service to NATS.
    """

    directory: Path
    nats_url: str
    targets: Sequence[str]
    processes: Processes
    lines: Mapping[str, Proxy]

    @property
    def names(self) -> list[str]:
        """Every process that runs."""
        return [*self.lines, "nats", "comfyui-0"]

    def pid(self, name: str) -> int:
        """The process that runs now under a name; 0 while there is none. `comfyui-1` is its agent's."""
        if name != "comfyui-1":
            return self.processes.pid(name)
        path = self.directory / "agent-1" / "instances" / name / "process.json"
        try:
            return int(json.loads(path.read_text())["process"]["pid"])
        except (FileNotFoundError, ValueError):
            return 0

    @property
    def points(self) -> Path:
        """Where fault points are armed."""
        return _points(self.directory)

    def outputs(self) -> list[Path]:
        """Every picture that any ComfyUI has made."""
        return [path for path in self.directory.rglob("*.png") if "comfymesh" in path.parts]


@asynccontextmanager
async def chaos_mesh(directory: Path, pythons: Mapping[str, str] = _NONE) -> AsyncIterator[ChaosMesh]:
    """Run one; entered once every instance serves. `pythons` are the interpreters of services of another version."""
    nats_port, comfyui_port = free_port(), free_port()
    names = [f"{service}-{number}" for service in ("scheduler", "agent", "api") for number in range(2)]
    async with AsyncExitStack() as stack:
        stack.enter_context(patch.object(processes, "_LONGEST_WAIT", 0.5))
        lines = {name: await stack.enter_async_context(Proxy(nats_port)) for name in names}
        listen = {name: f"127.0.0.1:{free_port()}" for name in names if name.startswith("api")}
        programs = [
            nats_program(directory, f"127.0.0.1:{nats_port}"),
            comfyui(directory, comfyui_port),
            *(
                _of(pythons.get(name, sys.executable), service(name, directory, lines[name].port, comfyui_port, listen))
                for name in names
            ),
        ]
        running = await stack.enter_async_context(Processes(programs, directory / "logs"))
        mesh = ChaosMesh(directory, f"nats://127.0.0.1:{nats_port}", [*listen.values()], running, lines)
        for target in mesh.targets:
            await until(lambda target=target: serves(target), f"two instances at {target}", _START_SECONDS)  # type: ignore[misc]  # mypy can't infer such a lambda
        yield mesh


def _of(python: str, program: Program) -> Program:
    """The program as another interpreter runs it, with what is installed there."""
    return replace(program, command=(python, *program.command[1:]))


def comfyui(directory: Path, port: int) -> Program:
    """The emulator that is attached."""
    command = [sys.executable, "-m", "comfymesh.emulator", *_PACE, "--port", str(port)]
    return Program("comfyui-0", [*command, "--base-directory", str(directory / "comfyui-0")])


def service(name: str, directory: Path, nats_port: int, comfyui_port: int, listen: Mapping[str, str]) -> Program:
    """A service of a mesh to be broken; `listen` says where each API listens."""
    kind, _, number = name.partition("-")
    attached = {"name": "comfyui-0", "runtime": "attach", "url": f"http://127.0.0.1:{comfyui_port}"}
    instance = attached if number == "0" else emulated(*_PACE, name="comfyui-1")
    environment = {
        faultpoints.VARIABLE: str(_points(directory)),
        "COMFYMESH_CHECKPOINT_DIR": str(directory / "kept"),
        "COMFYMESH_NATS_URL": f"nats://127.0.0.1:{nats_port}",
        "COMFYMESH_SCHEDULER_REPORT_TTL": str(_TTL_SECONDS),
        "COMFYMESH_AGENT_NODE": name,
        "COMFYMESH_AGENT_REPORT_SECONDS": "0.5",
        "COMFYMESH_AGENT_INSTANCES": json.dumps([instance]),
        "COMFYMESH_AGENT_STATE_DIRECTORY": str(directory / name),
        "COMFYMESH_AGENT_STOP_INSTANCES": "true",
        "COMFYMESH_AGENT_DRAIN_SECONDS": "2",
        "COMFYMESH_API_AUTH": "open",
        "COMFYMESH_API_LISTEN": listen.get(name, ""),
    }
    return Program(name, module(f"comfymesh.{kind}.main"), environment)


def _points(directory: Path) -> Path:
    folder = directory / "points"
    folder.mkdir(exist_ok=True)
    return folder


async def serves(target: str) -> bool:
    """Whether an API answers and sees two instances that serve."""
    async with AsyncClient(target) as client:
        try:
            nodes = await client.nodes()
        except ComfyMeshError:
            return False
    return sum(instance.state in _SERVING for node in nodes for instance in node.instances) >= 2
