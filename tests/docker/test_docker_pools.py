"""A pool of containers under an agent that is killed: while they start, serve and stop, and while they are renewed."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from comfymesh.client import Placement, Task
from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh, State, local_mesh
from comfymesh.testkit.waiting import until

if TYPE_CHECKING:
    import docker

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

NODE = f"test-{uuid.uuid4().hex[:8]}"
ANY = Placement(pool="big")
NAMES = {"big-0", "big-1"}


def pool(image: str, *arguments: str, **changes: Any) -> dict[str, str]:
    """Settings of the agent: a pool of two containers."""
    flags = ["--step-seconds", "0.01", "--load-seconds", "0.01", *arguments]
    instance = {"runtime": "docker", "image": image, "command": ["comfymesh-emulator"], "arguments": flags}
    spec = {"name": "big", "min": 0, "max": 2, "queue_seconds": 0, "idle_seconds": 2.0, "instance": instance, **changes}
    return {"COMFYMESH_AGENT_POOLS": json.dumps([spec])}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(image: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalMesh]:
    settings = {"AGENT_NODE": NODE, "AGENT_MEMORY_RESERVE_BYTES": "0", "AGENT_REPORT_SECONDS": "0.5"}
    environment = {f"COMFYMESH_{name}": value for name, value in settings.items()} | pool(image)
    async with local_mesh(tmp_path_factory.mktemp("mesh"), instances=[], environment=environment) as up:
        yield up


class Containers:
    """The containers of this node, as the engine has them."""

    def __init__(self, engine: docker.DockerClient) -> None:
        self._engine = engine

    def ids(self, *statuses: str) -> dict[str, str]:
        """Ids by the name of the instance, in these states or in any; no instance has two."""
        found: list[Any] = self._engine.api.containers(all=True, filters={"label": f"comfymesh.node={NODE}"})
        names = [each["Labels"]["comfymesh.instance"] for each in found]
        assert set(names) <= NAMES
        assert len(set(names)) == len(names)
        return {
            name: each["Id"]
            for name, each in zip(names, found, strict=True)
            if not statuses or each["State"] in statuses
        }

    async def become(self, names: set[str]) -> None:
        await until(lambda: self.ids().keys() == names, f"containers of {names}", deadline=60)


@pytest.fixture
def containers(engine: docker.DockerClient) -> Containers:
    return Containers(engine)


async def until_begun(mesh: LocalMesh, task: Task) -> None:
    """Wait until a task runs, or has run meanwhile."""
    await mesh.until_state(task.name, State.STATE_RUNNING, State.STATE_SUCCEEDED)


async def all_succeed(mesh: LocalMesh, tasks: list[Task]) -> None:
    """Each runs to its end where it runs: no container is taken away under it.

    On a machine that is so busy that the next agent comes too late, another attempt is made all the same.
    """
    for task in tasks:
        assert (await mesh.finished(task.name)).state == State.STATE_SUCCEEDED
    assert "INSTANCE_LOST" not in mesh.log("agent")


async def test_an_agent_that_is_killed_while_its_pool_grows_and_shrinks_leaks_and_doubles_nothing(
    mesh: LocalMesh, containers: Containers
) -> None:
    await containers.become(set())
    tasks = [await mesh.client.create(graphs.steps(100, 0.03), placement=ANY) for _ in range(2)]
    # While the first one starts.
    await until(containers.ids, "a container that is made", deadline=60)
    await mesh.kill("agent")
    await until_begun(mesh, tasks[0])
    # While a task runs.
    await mesh.kill("agent")
    await all_succeed(mesh, tasks)
    # While one stops, unless all have by now.
    stops = mesh.log("agent").count("is to stop: nothing waits")

    def stopping() -> bool:
        return mesh.log("agent").count("is to stop: nothing waits") > stops or not containers.ids()

    await until(stopping, "one that stops", deadline=60)
    await mesh.kill("agent")
    await containers.become(set())


async def test_an_agent_that_is_killed_while_it_renews_goes_on_one_by_one_and_costs_no_task(
    mesh: LocalMesh, containers: Containers, image: str
) -> None:
    mesh.configure("agent", pool(image, min=2))
    await mesh.kill("agent")
    await mesh.until_serving(2)
    old = containers.ids("running")
    tasks = [await mesh.client.create(graphs.steps(100, 0.03), placement=ANY) for _ in range(4)]
    for task in tasks[:2]:
        await until_begun(mesh, task)
    mesh.configure("agent", pool(image, "--preview-method", "none", min=2))
    # Settings that an agent finds at its start are rolled out as well: what runs is found as it is.
    await mesh.kill("agent")
    await until(lambda: "its settings have changed" in mesh.log("agent"), "a rollout", deadline=60)
    await mesh.kill("agent")

    def old_ones() -> set[str]:
        running = containers.ids("running")
        assert running, "never are both away"
        return {name for name, container in running.items() if container == old.get(name)}

    await until(lambda: len(old_ones()) < 2, "one that is renewed", deadline=60)
    await mesh.kill("agent")
    await all_succeed(mesh, tasks)
    await until(lambda: containers.ids("running").keys() == NAMES and not old_ones(), "two new ones", deadline=60)
    await mesh.until_serving(2)
