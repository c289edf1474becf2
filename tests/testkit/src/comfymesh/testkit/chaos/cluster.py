"""Three machines that carry a mesh together, and two GPU hosts: any machine may lose its power or its network.

Every way between two machines, and from a client to a machine, leads through a line of its own; what is on one machine
reaches each other without. So a machine that is cut off goes on with what it has, as it would.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aiohttp

from comfymesh.stack import processes
from comfymesh.stack.mesh import free_port, nats_program
from comfymesh.stack.processes import Processes, Program
from comfymesh.testkit import holding
from comfymesh.testkit.chaos import mesh as pair
from comfymesh.testkit.chaos.proxy import Line, Proxy
from comfymesh.testkit.waiting import until

MACHINES: Mapping[str, Sequence[str]] = {
    "m0": ("nats-0", "api-0", "scheduler-0"),
    "m1": ("nats-1", "api-1"),
    "m2": ("nats-2", "scheduler-1", "notifier-0"),
}
"""What runs where. The agents have hosts of their own, `agent-0` and `agent-1`."""

AGENTS = ("agent-0", "agent-1")
_CLIENTS = "clients"
_ALL = tuple(process for processes_there in MACHINES.values() for process in processes_there)
_SERVERS = tuple(name for name in _ALL if name.startswith("nats"))
_APIS = tuple(name for name in _ALL if name.startswith("api"))
IN_TURN = (*_SERVERS, *(name for name in _ALL if name not in _SERVERS), *AGENTS)
"""Every process of the mesh, in an order in which they can be restarted."""

# As the servers learn each other's addresses, they would find ways around the lines.
_HIDDEN = "cluster {\n  no_advertise: true\n  advertise: 127.0.0.1:1\n"
_START_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class ClusterMesh:
    """A mesh that runs.

    Attributes:
        directory: Its data and logs.
        nats_url: All three servers, without any line between.
        targets: Its APIs, as clients reach them.
        processes: Everything that runs, by name.
        lines: The ways, by the two ends.
        monitors: Where each NATS server tells how it is, by name.
    """

    directory: Path
    nats_url: str
    targets: Sequence[str]
    processes: Processes
    lines: Mapping[tuple[str, str], Sequence[Proxy]]
    monitors: Mapping[str, str]

    def outputs(self) -> list[Path]:
        """Every picture that any ComfyUI has made."""
        return [path for path in self.directory.rglob("*.png") if "comfymesh" in path.parts]

    async def lose_power(self, machine: str) -> None:
        """Everything on a machine is gone at once, until its power is back."""
        await asyncio.gather(*(holding.hold(self.processes, name) for name in MACHINES[machine]))

    async def power_is_back(self, machine: str) -> None:
        """What runs on a machine is started again; nobody waits for it."""
        for name in MACHINES[machine]:
            await holding.release(self.processes, name)

    async def network(self, machine: str, line: Line) -> None:
        """From now on every way to and from a machine is so."""
        ways = (proxy for ends, proxies in self.lines.items() if machine in ends for proxy in proxies)
        await asyncio.gather(*(way.become(line) for way in ways))

    async def restart(self, name: str) -> None:
        """End a process in order; answers once the next life of it does its work."""
        before = self.processes.pid(name)
        await holding.terminate(self.processes, name)
        await until(lambda: self.processes.pid(name) != before, f"a new {name}", _START_SECONDS)
        if name in _SERVERS:
            await until(lambda: self._is_current(name), f"a {name} that has caught up", _START_SECONDS)
        elif name in _APIS:
            target = self.targets[_APIS.index(name)]
            await until(lambda: pair.serves(target), f"two instances at {target}", _START_SECONDS)
        elif name in AGENTS:
            await until(lambda: pair.serves(self.targets[0]), "two instances", _START_SECONDS)
        else:
            await until(lambda: holding.heeds_sigterm(self.processes, name), f"a {name} that runs", _START_SECONDS)

    async def healthy(self) -> None:
        """Wait until every server has caught up, and both APIs see both instances."""
        for name in _SERVERS:
            await until(lambda name=name: self._is_current(name), f"a {name} that has caught up", _START_SECONDS)  # type: ignore[misc]  # mypy can't infer such a lambda
        for target in self.targets:
            await until(lambda target=target: pair.serves(target), f"two instances at {target}", _START_SECONDS)  # type: ignore[misc]

    async def _is_current(self, name: str) -> bool:
        """Whether a server says that all it keeps is up to date: what is to be waited for before the next one goes."""
        status, _ = await self._monitored(name, "healthz")
        return status == 200

    async def is_alone(self, machine: str) -> bool:
        """Whether the server of a machine reaches no other."""
        (name,) = (name for name in MACHINES[machine] if name in _SERVERS)
        _, answer = await self._monitored(name, "routez")
        return answer.get("num_routes") == 0

    async def _monitored(self, name: str, what: str) -> tuple[int, dict[str, Any]]:
        """What a server tells of itself; status 0 where it does not."""
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{self.monitors[name]}/{what}") as answer:
                return answer.status, await answer.json(content_type=None)
        except aiohttp.ClientError:
            return 0, {}


@asynccontextmanager
async def cluster_mesh(directory: Path, configuration: Path) -> AsyncIterator[ClusterMesh]:
    """Run one, with a configuration of NATS for three; entered once every instance serves at every API."""
    hidden = _hidden(directory, configuration)
    async with AsyncExitStack() as stack:
        stack.enter_context(patch.object(processes, "_LONGEST_WAIT", 0.5))
        wiring = Wiring(stack)
        servers = await _servers(directory, hidden, wiring)
        comfyui_port = free_port()
        services = [
            await _service(name, machine, directory, comfyui_port, wiring)
            for machine, names in (*MACHINES.items(), *((agent, (agent,)) for agent in AGENTS))
            for name in names
            if name not in _SERVERS
        ]
        programs = [*servers, pair.comfyui(directory, comfyui_port), *services]
        running = await stack.enter_async_context(Processes(programs, directory / "logs"))
        targets = [
            await wiring.way(_CLIENTS, machine, wiring.ports[name])
            for machine, names in MACHINES.items()
            for name in names
            if name in _APIS
        ]
        mesh = ClusterMesh(
            directory,
            ",".join(f"nats://127.0.0.1:{wiring.ports[name]}" for name in _SERVERS),
            [f"127.0.0.1:{port}" for port in targets],
            running,
            wiring.lines,
            {program.name: f"http://{program.environment['NATS_MONITOR']}" for program in servers},
        )
        await mesh.healthy()
        yield mesh


def _hidden(directory: Path, configuration: Path) -> Path:
    path = directory / "cluster.conf"
    path.write_text(configuration.read_text().replace("cluster {\n", _HIDDEN))
    return path


class Wiring:
    """Makes the ways between machines.

    Attributes:
        ports: Where each process listens for clients.
        lines: The ways that were made, by their ends.
    """

    def __init__(self, stack: AsyncExitStack) -> None:
        self.ports = {name: free_port() for name in (*_SERVERS, *_APIS)}
        self.lines: dict[tuple[str, str], list[Proxy]] = {}
        self._stack = stack

    async def way(self, start: str, end: str, port: int) -> int:
        """The port by which a machine reaches a port of another, or of itself."""
        if start == end:
            return port
        proxy = await self._stack.enter_async_context(Proxy(port))
        self.lines.setdefault((start, end), []).append(proxy)
        return proxy.port

    async def nats_url(self, machine: str) -> str:
        """All servers as a machine reaches them."""
        ways = [await self.way(machine, _home(name), self.ports[name]) for name in _SERVERS]
        return ",".join(f"nats://127.0.0.1:{way}" for way in ways)


def _home(name: str) -> str:
    return next(machine for machine, names in MACHINES.items() if name in names)


async def _servers(directory: Path, configuration: Path, wiring: Wiring) -> list[Program]:
    inside = {name: free_port() for name in _SERVERS}
    made = []
    for name in _SERVERS:
        routes = [await wiring.way(_home(name), _home(other), inside[other]) for other in _SERVERS if other != name]
        program = nats_program(directory, f"127.0.0.1:{wiring.ports[name]}", name, configuration)
        own = {
            "NATS_NAME": name,
            "NATS_CLUSTER": f"127.0.0.1:{inside[name]}",
            "NATS_ROUTES": json.dumps([f"nats://127.0.0.1:{port}" for port in routes]),
        }
        made.append(replace(program, environment={**program.environment, **own}))
    return made


async def _service(name: str, machine: str, directory: Path, comfyui_port: int, wiring: Wiring) -> Program:
    listen = {name: f"127.0.0.1:{wiring.ports[name]}"} if name in _APIS else {}
    program = pair.service(name, directory, 0, comfyui_port, listen)
    own = {
        "COMFYMESH_NATS_URL": await wiring.nats_url(machine),
        "COMFYMESH_NATS_REPLICAS": "3",
        "COMFYMESH_CHECKPOINT_DIR": str(directory / machine / "kept"),
    }
    return replace(program, environment={**program.environment, **own})
