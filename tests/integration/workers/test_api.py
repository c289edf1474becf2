"""Two workers of the API on one port: both are reached, either may die, and none outlives the process that has them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from comfymesh.stack.mesh import free_port, module, nats_program
from comfymesh.stack.processes import Processes
from comfymesh.testkit.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONNECTIONS = 40
"""Enough that each of two workers has some of them: the kernel chooses."""

_ESTABLISHED = "01"


@dataclass
class Api:
    """An API with two workers: its process, its address, and the file that takes what all of them write."""

    process: asyncio.subprocess.Process
    target: str
    log: Path

    def children(self) -> set[int]:
        """The processes that it has started."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return set(map(int, path.read_text().split())) if path.exists() else set()

    async def until_listening(self, count: int) -> None:
        """Wait until so many workers have said that they listen, since the beginning."""
        await until(lambda: self.log.read_text().count('"action": "listening"') >= count, f"{count} that listen")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nats_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    folder, address = tmp_path_factory.mktemp("nats"), f"127.0.0.1:{free_port()}"
    async with Processes([nats_program(folder, address)], folder / "logs"):
        yield f"nats://{address}"


@pytest_asyncio.fixture(loop_scope="module")
async def api(nats_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    target, log = f"127.0.0.1:{free_port()}", tmp_path / "api.log"
    environment = {
        **os.environ,
        "COMFYMESH_NATS_URL": nats_url,
        "COMFYMESH_API_LISTEN": target,
        "COMFYMESH_API_AUTH": "open",
        "COMFYMESH_API_WORKERS": "2",
    }
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *module("comfymesh.api.main"), stdout=output, stderr=output, env=environment
        )
    up = Api(process, target, log)
    try:
        await up.until_listening(2)
        yield up
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def connect(target: str, count: int, stack: AsyncExitStack) -> None:
    """Open connections, each of which has been answered."""
    for _ in range(count):
        channel = grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)])
        await stack.enter_async_context(channel)
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def connections(pid: int, target: str) -> int:
    """How many connections to an address a process has taken."""
    port = f":{int(target.rpartition(':')[2]):04X}"
    lines = "".join(Path(f"/proc/net/{table}").read_text() for table in ("tcp", "tcp6")).splitlines()
    rows = [line.split() for line in lines if port in line]
    taken = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(port) and row[3] == _ESTABLISHED}
    return sum(str(path.readlink()) in taken for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink())


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


async def test_callers_are_spread_over_both_and_one_that_dies_is_replaced(api: Api) -> None:
    first, second = workers = api.children()
    async with AsyncExitStack() as stack:
        await connect(api.target, CONNECTIONS, stack)
        counts = {pid: connections(pid, api.target) for pid in workers}
        assert sum(counts.values()) == CONNECTIONS
        assert all(counts.values())
    os.kill(first, signal.SIGKILL)
    await api.until_listening(3)
    assert second in api.children()
    assert len(api.children()) == 2
    async with AsyncExitStack() as stack:
        await connect(api.target, CONNECTIONS, stack)


async def test_all_end_in_order_when_it_is_asked_to(api: Api) -> None:
    workers = api.children()
    api.process.terminate()
    async with asyncio.timeout(20):
        assert await api.process.wait() == 0
    assert not alive(workers)
    assert "Traceback" not in api.log.read_text()
    assert api.log.read_text().count("api has stopped") == 3


async def test_none_outlives_it(api: Api) -> None:
    workers = api.children()
    api.process.kill()
    await until(lambda: not alive(workers), "the end of the workers")
