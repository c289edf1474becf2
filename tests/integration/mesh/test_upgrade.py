"""The last release and this version in one mesh: each part is upgraded, and goes back, while tasks run.

Its sources are kept in tests/data/released, so that no clone is too shallow for this. They run with this version's
dependencies.
"""

from __future__ import annotations

import json
import lzma
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from comfymesh.client import AsyncClient, Result, Unavailable
from comfymesh.stack import graphs, mesh
from comfymesh.stack.processes import Processes, Program
from comfymesh.testkit.waiting import until

ROOT = Path(__file__).parents[3]
RELEASES = sorted(
    (path.stem for path in (ROOT / "protos" / "released").glob("*.binpb")),
    key=lambda version: [int(number) for number in version.split(".")],
)
UPGRADE = ("agent", "scheduler", "api")
"""In this order, as docs/operations.md says; back in the opposite one."""


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The release's sources, as PYTHONPATH."""
    directory = tmp_path_factory.mktemp("released")
    archive = lzma.decompress((ROOT / "tests" / "data" / "released" / f"{RELEASES[-1]}.tar.xz").read_bytes())
    subprocess.run(("tar", "--extract", "--directory", directory), input=archive, check=True)
    sources = [directory / "protos" / "src", *sorted(directory.glob("services/*/src"))]
    return os.pathsep.join(map(str, sources))


class Parts:
    """The services of a mesh, each of which can be exchanged for that of another version."""

    def __init__(self, programs: list[Program], logs: Path) -> None:
        self._programs = {program.name: program for program in programs}
        self._logs = logs
        self._running: dict[str, AsyncExitStack] = {}

    async def run(self, name: str, python_path: str = "") -> None:
        """Have it run with these sources; what ran in its place is stopped first, as a supervisor would."""
        await self.stop(name)
        program = self._programs[name]
        program = replace(program, environment={**program.environment, "PYTHONPATH": python_path})
        self._running[name] = AsyncExitStack()
        await self._running[name].enter_async_context(Processes([program], self._logs))

    async def stop(self, name: str) -> None:
        """Stop it, if it runs."""
        if stack := self._running.pop(name, None):
            await stack.aclose()


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[tuple[Parts, str]]:
    nats, api, comfyui = (f"127.0.0.1:{mesh.free_port()}" for _ in range(3))
    settings = {
        "COMFYMESH_NATS_URL": f"nats://{nats}",
        "COMFYMESH_CHECKPOINT_DIR": str(directory / "checkpoints"),
        "COMFYMESH_API_LISTEN": api,
        "COMFYMESH_API_AUTH": "open",
        "COMFYMESH_AGENT_NODE": "local",
        "COMFYMESH_AGENT_STATE_DIRECTORY": str(directory / "agent"),
        "COMFYMESH_AGENT_INSTANCES": json.dumps([{"name": "comfyui", "runtime": "attach", "url": f"http://{comfyui}"}]),
    }
    options = ("--port", comfyui.rpartition(":")[2], "--base-directory", str(directory / "comfyui"))
    emulator = (*mesh.emulated()["command"], *options, "--load-seconds", "0", "--step-seconds", "0.1")
    around = [mesh.nats_program(directory, nats), Program("comfyui", emulator)]
    services = [Program(name, mesh.module(f"comfymesh.{name}.main"), settings) for name in UPGRADE]
    async with Processes(around, directory / "logs"):
        parts = Parts(services, directory / "logs")
        try:
            yield parts, api
        finally:
            for name in UPGRADE:
                await parts.stop(name)


def lasting(seed: int) -> graphs.Graph:
    """About a second of work."""
    return graphs.text_to_image("a lighthouse", seed, 10, prefix="upgrade")


@pytest.mark.timeout(180)
async def test_the_last_release_is_upgraded_and_comes_back_part_by_part_under_work(
    tmp_path: Path, released: str
) -> None:
    async with running(tmp_path) as (parts, target), AsyncClient(target) as client:
        for name in UPGRADE:
            await parts.run(name, released)
        await until(lambda: serves(client), "a node of the release")
        changes = [(name, "") for name in UPGRADE] + [(name, released) for name in reversed(UPGRADE)]
        ended = list[Result]()
        for number, (name, sources) in enumerate(changes):
            meanwhile = await client.create(lasting(number))
            await parts.run(name, sources)
            ended.append(await client.result(meanwhile))
        assert [len(result.artifacts) for result in ended] == [1] * len(changes)
        assert {task.name async for task in client.list()} == {result.task.name for result in ended}


async def serves(client: AsyncClient) -> bool:
    try:
        nodes = await client.nodes()
    except Unavailable:
        return False
    return any(mesh.ready(instance) for node in nodes for instance in node.instances)
