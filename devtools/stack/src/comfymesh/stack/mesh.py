"""The programs of a whole mesh on one machine, and how to tell that it is ready."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import sysconfig
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from comfymesh.client import AsyncClient, ComfyMeshError, Instance, InstanceState
from comfymesh.stack.ownership import MeshNotReadyError, require_free, sole_user
from comfymesh.stack.processes import MisconfiguredError, Processes, Program

_READY_SECONDS = 120.0
_LENIENT = (sys.executable, "-m", "comfymesh.runtime.timer_slack")
_LOOK_SECONDS = 0.05
_SERVING = frozenset({InstanceState.READY, InstanceState.BUSY})


@dataclass(frozen=True, slots=True)
class MeshPlan:
    """What to run.

    Attributes:
        directory: Takes data and logs.
        instances: The agent's instances, as in COMFYMESH_AGENT_INSTANCES.
        listen: Where the API listens, host:port.
        environment: Further settings of the services.
        agents: Number of agents, each with the same instances. More than one only where they can share them.
        notifier: Whether to run a notifier too. Its settings are in `environment`, or in this process's.
        nats_configuration: In place of the NATS server's own; it is given the same variables.
        gateway: Where a gateway for clients of ComfyUI listens, host:port; none runs where empty.
        metrics: Whether each service shows its metrics, on a free port of loopback.
    """

    directory: Path
    instances: Sequence[dict[str, Any]]
    listen: str = "127.0.0.1:7700"
    environment: dict[str, str] = field(default_factory=dict)
    agents: int = 1
    notifier: bool = False
    nats_configuration: Path | None = None
    metrics: bool = False
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class Mesh:
    """A mesh that runs.

    Attributes:
        target: Address of its API, host:port.
        nats_url: Address of its NATS server.
        processes: Its processes.
        metrics: Where each service shows its metrics, host:port by name.
        gateway: Where its gateway listens, host:port; empty where it has none.
        unheeded: Settings in the environment of this process that are without effect, for the mesh has its own.
    """

    target: str
    nats_url: str
    processes: Processes
    metrics: Mapping[str, str] = field(default_factory=dict)
    gateway: str = ""
    unheeded: Sequence[str] = ()


@asynccontextmanager
async def running(plan: MeshPlan) -> AsyncIterator[Mesh]:
    """Run a mesh; entered once a node with an instance that serves is there.

    Raises:
        MeshNotReadyError: that took too long, or another mesh has its folder or its address.
    """
    with sole_user(plan.directory) as lock:
        require_free(plan.listen)
        if plan.gateway:
            require_free(plan.gateway, "--gateway")
        async with _running(plan, lock) as mesh:
            yield mesh


@asynccontextmanager
async def _running(plan: MeshPlan, lock: int) -> AsyncIterator[Mesh]:
    nats_port = free_port()
    nats_url = f"nats://127.0.0.1:{nats_port}"
    listen = plan.listen if not plan.listen.endswith(":0") else f"127.0.0.1:{free_port()}"
    gateway = plan.gateway if not plan.gateway.endswith(":0") else f"127.0.0.1:{free_port()}"
    nats = nats_program(plan.directory, f"127.0.0.1:{nats_port}", configuration=plan.nats_configuration)
    settings = {
        "COMFYMESH_NATS_URL": nats_url,
        "COMFYMESH_NATS_MONITOR_URL": f"http://{nats.environment['NATS_MONITOR']}",
        "COMFYMESH_CHECKPOINT_DIR": str(plan.directory / "checkpoints"),
        "COMFYMESH_API_AUTH": "open",  # the api refuses that anywhere but on loopback
        **plan.environment,
        "COMFYMESH_API_LISTEN": listen,
    }
    programs = [
        nats,
        Program("scheduler", module("comfymesh.scheduler.main"), settings),
        *(_agent(plan, number, settings) for number in range(plan.agents)),
        Program("api", module("comfymesh.api.main"), settings),
        *([_gateway(gateway, listen, settings)] if gateway else []),
        *([Program("notifier", module("comfymesh.notifier.main"), settings)] if plan.notifier else []),
    ]
    shown = {program.name: f"127.0.0.1:{free_port()}" for program in programs[1:]} if plan.metrics else {}
    programs = [_showing(program, shown.get(program.name, "")) for program in programs]
    # The programs hold the lock too: what is left of a mesh whose keeper was killed still owns the folder.
    async with Processes(programs, plan.directory / "logs", keep_open=(lock,)) as processes:
        mesh = Mesh(listen, nats_url, processes, shown, gateway, _unheeded(programs, os.environ))
        await unless_refused(processes, _until_ready(mesh, plan))
        yield mesh


async def unless_refused(processes: Processes, work: Coroutine[Any, Any, None]) -> None:
    """Do something unless a program says, before that is done, that it can't run with its settings.

    Raises:
        MeshNotReadyError: one does; the message is what it says.
    """
    working, refused = asyncio.ensure_future(work), asyncio.ensure_future(processes.refused())
    try:
        await asyncio.wait({working, refused}, return_when=asyncio.FIRST_COMPLETED)
        await (refused if refused.done() else working)
    except MisconfiguredError as error:
        raise MeshNotReadyError(str(error)) from None
    finally:
        for task in (working, refused):
            task.cancel()
        await asyncio.gather(working, refused, return_exceptions=True)


def _unheeded(programs: Sequence[Program], environment: Mapping[str, str]) -> list[str]:
    """Settings in the environment that programs are given in place of, with another value."""
    own = {name: value for program in programs for name, value in program.environment.items()}
    ours = (name for name in own if name.startswith("COMFYMESH_"))
    return sorted(name for name in ours if environment.get(name, own[name]) != own[name])


def _showing(program: Program, listen: str) -> Program:
    """A service that shows its metrics there."""
    if not listen:
        return program
    return replace(program, environment={**program.environment, "COMFYMESH_METRICS_LISTEN": listen})


def emulated(*arguments: str, name: str = "comfyui-0") -> dict[str, Any]:
    """An instance that is an emulator of ComfyUI."""
    command = [sys.executable, "-m", "comfymesh.emulator"]
    return {"name": name, "runtime": "process", "command": command, "arguments": list(arguments)}


def comfyui(directory: Path, name: str = "comfyui-0", agent: int = 0) -> tuple[int, str]:
    """Process id and URL of an instance of the process runtime; 0 and nothing while it is being started.

    Args:
        directory: That of the mesh.
        name: Which instance ...
        agent: ... of which agent.
    """
    path = directory / f"agent-{agent}" / "instances" / name / "process.json"
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        return 0, ""
    return int(record["process"]["pid"]), f"http://127.0.0.1:{record['port']}"


def free_port() -> int:
    """A port of the loopback interface that nobody uses, and that the system gives to nobody else for a minute.

    Whoever was given it may take long to begin to use it, and other processes look for ports too. So a connection to it
    is left in TIME_WAIT: a server may listen there all the same, as servers set SO_REUSEADDR.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address):
            server.accept()[0].close()  # Who closes first is left in TIME_WAIT.
    return int(address[1])


def nats_program(directory: Path, listen: str, name: str = "nats", configuration: Path | None = None) -> Program:
    """A NATS server that keeps its streams below `directory`."""
    server = Path(sysconfig.get_path("scripts")) / "nats-server"
    configured = configuration or files("comfymesh.stack") / "nats.conf"
    environment = {
        "NATS_LISTEN": listen,
        "NATS_MONITOR": f"127.0.0.1:{free_port()}",
        "NATS_STORE": str(directory / name),
        # It shares the machine with the whole mesh. With a thread for each core it spends a fifth more time on it.
        "GOMAXPROCS": str(max(1, (os.cpu_count() or 1) // 2)),
    }
    return Program(name, (*_LENIENT, str(server), "-c", str(configured)), environment)


def _agent(plan: MeshPlan, number: int, settings: dict[str, str]) -> Program:
    own = {
        "COMFYMESH_AGENT_NODE": f"local-{number}",
        "COMFYMESH_AGENT_INSTANCES": json.dumps(plan.instances),
        "COMFYMESH_AGENT_STATE_DIRECTORY": str(plan.directory / f"agent-{number}"),
        "COMFYMESH_AGENT_STOP_INSTANCES": "true",
        "COMFYMESH_AGENT_DRAIN_SECONDS": "5",
    }
    name = "agent" if plan.agents == 1 else f"agent-{number}"
    return Program(name, module("comfymesh.agent.entry"), {**own, **settings})


def _gateway(listen: str, api: str, settings: Mapping[str, str]) -> Program:
    own = {"COMFYMESH_GATEWAY_LISTEN": listen, "COMFYMESH_GATEWAY_TARGET": api}
    return Program("gateway", module("comfymesh.gateway.main"), {**settings, **own})


def module(name: str) -> tuple[str, ...]:
    """The command that runs the `main` of a module."""
    return (sys.executable, "-c", f"from {name} import main; main()")


async def _until_ready(mesh: Mesh, plan: MeshPlan) -> None:
    try:
        async with asyncio.timeout(_READY_SECONDS), AsyncClient(mesh.target) as client:
            while not (await _serves(client) and await _listens(mesh.gateway)):  # noqa: ASYNC110  # other processes
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        told, logs = await _troubles(mesh), plan.directory / "logs"
        raise MeshNotReadyError(
            f"no instance serves after {_READY_SECONDS:g} s{told}; see the logs in {logs}"
        ) from None


async def _serves(client: AsyncClient) -> bool:
    return any(ready(instance) for instance in await _instances(client))


def ready(instance: Instance) -> bool:
    """Whether tasks for it are taken, and run: those of a pool that is stopped too, once it is known what it offers."""
    stopped = instance.state == InstanceState.STOPPED and instance.node_class_count > 0
    return stopped or instance.state in _SERVING


async def _listens(address: str) -> bool:
    """Whether somebody listens there; true where nobody is meant to."""
    if not address:
        return True
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


async def _troubles(mesh: Mesh) -> str:
    """What the instances say of themselves."""
    async with AsyncClient(mesh.target) as client:
        found = await _instances(client)
    return "".join(f"; {instance.name} is {instance.state}: {instance.state_reason}" for instance in found)


async def _instances(client: AsyncClient) -> list[Instance]:
    try:
        return [instance for node in await client.nodes() for instance in node.instances]
    except ComfyMeshError:
        return []
