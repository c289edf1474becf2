"""Several prompts are given to a ComfyUI ahead, and whatever becomes of one is no harm to the others.

Always on an emulator that the agent owns, and on the real ComfyUI that COMFYUI_URL names (it needs the test nodes).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh, State, local_mesh, states_of, task_of
from comfymesh.testkit.waiting import until
from comfymesh.v1 import error_reason_pb2, task_service_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

REAL = os.environ.get("COMFYUI_URL", "")
SERVERS = ["emulator", *([pytest.param("real", marks=pytest.mark.comfyui)] if REAL else [])]
LINE = 5
"""As many as a node may have at an instance by its settings; the scheduler goes up to eight of what is short."""


@pytest.fixture(scope="module", params=SERVERS)
def attached(request: pytest.FixtureRequest) -> str:
    """The ComfyUI that the mesh is attached to; empty: it owns an emulator."""
    return REAL if request.param == "real" else ""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(attached: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalMesh]:
    instances = [{"name": "comfyui-0", "runtime": "attach", "url": attached}] if attached else None
    settings = {
        "COMFYMESH_AGENT_LOOK_AHEAD": str(LINE - 1),
    }
    async with local_mesh(tmp_path_factory.mktemp("mesh"), instances=instances, environment=settings) as up:
        await until(lambda: is_known(up), "an api that has read what ComfyUI offers")
        yield up


@pytest.fixture
def url(mesh: LocalMesh, attached: str) -> str:
    return attached or mesh.comfyui()[1]


async def line(mesh: LocalMesh, url: str, gate: graphs.Gate) -> list[str]:
    """Tasks that were all given to ComfyUI; the first fails as soon as the gate is open."""
    first = await mesh.create(graphs.gated(gate, "runtime"))
    await mesh.until_state(first.name, State.STATE_RUNNING)
    others = [await mesh.create(graphs.steps()) for _ in range(LINE - 1)]
    await until(lambda: is_queued(mesh, url), "a ComfyUI with a line")
    return [task.name for task in (first, *others)]


async def is_known(mesh: LocalMesh) -> bool:
    request = task_service_pb2.CreateTaskRequest(task=task_of(graphs.picture()), validate_only=True)
    try:
        await mesh.tasks.CreateTask(request)
    except mesh.call_error:
        return False
    return True


async def is_queued(mesh: LocalMesh, url: str) -> bool:
    return await mesh.comfyui_queue(url) == (1, LINE - 1)


async def is_idle(mesh: LocalMesh, url: str) -> bool:
    return await mesh.comfyui_queue(url) == (0, 0)


async def cancel(mesh: LocalMesh, name: str) -> None:
    await mesh.tasks.CancelTask(task_service_pb2.CancelTaskRequest(name=name))


async def ended(mesh: LocalMesh, names: list[str]) -> list[str]:
    tasks = await asyncio.gather(*map(mesh.finished, names))
    return [State.Name(task.state).removeprefix("STATE_") for task in tasks]


async def attempts(mesh: LocalMesh, names: list[str]) -> list[int]:
    return [(await mesh.get(name)).attempt for name in names]


WELL = ["FAILED", *["SUCCEEDED"] * (LINE - 1)]
"""How a line ends of which nothing else is asked."""


async def test_those_behind_one_that_fails_go_on_and_are_not_blamed(
    mesh: LocalMesh, url: str, gate: graphs.Gate
) -> None:
    names = await line(mesh, url, gate)
    gate.open()
    assert await ended(mesh, names) == WELL
    assert set(await attempts(mesh, names)) == {1}
    assert (await mesh.get(names[0])).error.reason == error_reason_pb2.ERROR_REASON_NODE_EXCEPTION


async def test_one_in_the_middle_is_cancelled_and_no_other(mesh: LocalMesh, url: str, gate: graphs.Gate) -> None:
    names = await line(mesh, url, gate)
    await cancel(mesh, names[2])
    assert (await mesh.finished(names[2])).state == State.STATE_CANCELLED
    assert (await mesh.get(names[0])).state == State.STATE_RUNNING
    gate.open()
    assert await ended(mesh, names) == [*WELL[:2], "CANCELLED", *WELL[3:]]


async def test_the_first_is_cancelled_and_the_others_go_on(mesh: LocalMesh, url: str, gate: graphs.Gate) -> None:
    names = await line(mesh, url, gate)
    await cancel(mesh, names[0])
    assert await ended(mesh, names) == ["CANCELLED", *WELL[1:]]


async def test_all_are_cancelled_at_once_whatever_they_are_doing(mesh: LocalMesh, url: str, gate: graphs.Gate) -> None:
    names = await line(mesh, url, gate)
    await asyncio.gather(*(cancel(mesh, name) for name in names))
    assert set(await ended(mesh, names)) == {"CANCELLED"}
    await until(lambda: is_idle(mesh, url), "a ComfyUI that has nothing to do")


async def test_the_next_life_of_the_agent_follows_the_whole_line(mesh: LocalMesh, url: str, gate: graphs.Gate) -> None:
    names = await line(mesh, url, gate)
    watching = await mesh.watching(names[0])
    await mesh.kill("agent")
    gate.open()
    assert await ended(mesh, names) == WELL
    assert set(await attempts(mesh, names)) == {1}
    assert states_of(await watching) == ["RUNNING", "FAILED"]


async def test_the_same_graph_again_and_again_has_all_its_outputs_each_time(mesh: LocalMesh) -> None:
    """ComfyUI has made them before: of what shows a picture it only says again where that was."""
    again = graphs.steps()
    again["30"] = graphs.node("PreviewImage", images=["2", 0])
    names = [(await mesh.create(again)).name for _ in range(LINE)]
    assert set(await ended(mesh, names)) == {"SUCCEEDED"}
    made = [(await mesh.get(name)).artifacts for name in names]
    assert {tuple(artifact.graph_node for artifact in artifacts) for artifacts in made} == {("9", "30")}


async def test_a_comfyui_that_is_killed_costs_only_the_first_an_attempt(
    mesh: LocalMesh, attached: str, url: str, gate: graphs.Gate
) -> None:
    if attached:
        return  # It is somebody else's.
    names = await line(mesh, url, gate)
    await mesh.kill_comfyui()
    gate.open()
    assert await ended(mesh, names) == WELL
    assert (await attempts(mesh, names))[0] == 2
