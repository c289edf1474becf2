"""Stopping is a feature: every process of a mesh ends when it is asked to, in time, in order, without a traceback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from comfymesh.client import Availability
from comfymesh.stack.mesh import free_port, module
from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh, State, local_mesh
from comfymesh.testkit.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICES = ("api", "scheduler", "agent")
DRAIN = {"COMFYMESH_AGENT_DRAIN_SECONDS": "5"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalMesh]:
    """A mesh whose agent does not wait for long."""
    async with local_mesh(tmp_path_factory.mktemp("mesh"), environment=DRAIN) as up:
        yield up


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def _is_whole_again(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    yield
    if "mesh" in request.fixturenames:
        mesh: LocalMesh = request.getfixturevalue("mesh")
        await mesh.restore()
        await mesh.until_serving()
        await until(lambda: task_is_accepted(mesh), "a task that is accepted")


def check_log(mesh: LocalMesh, name: str) -> None:
    log = mesh.log(name)
    assert "Traceback" not in log, log[-4000:]
    assert "is stopping" in log
    assert "has stopped" in log


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_that_is_asked_to_end_does_so(mesh: LocalMesh, name: str) -> None:
    assert await mesh.terminate(name) == 0
    check_log(mesh, name)


async def test_a_second_agent_of_the_same_name_leaves_the_first_alone(mesh: LocalMesh, gate: graphs.Gate) -> None:
    """It is set to stop its instances as it ends, which are the first one's: they have one state directory."""
    running = await mesh.create(graphs.gated(gate))
    await mesh.until_state(running.name, State.STATE_RUNNING)
    first, comfyui = mesh.process("agent"), mesh.comfyui()
    settings = await asyncio.to_thread(Path(f"/proc/{first.pid}/environ").read_bytes)
    environment = dict(line.split("=", 1) for line in settings.decode().split("\0") if "=" in line)
    second = await asyncio.create_subprocess_exec(
        *module("comfymesh.agent.entry"),
        env=environment,
        stderr=asyncio.subprocess.STDOUT,
        stdout=asyncio.subprocess.PIPE,
    )
    words, _ = await second.communicate()
    assert second.returncode == 1
    assert b"is node local-0 already, and this one ends" in words
    assert b"Traceback" not in words
    assert first.returncode is None
    gate.open()
    final = await mesh.finished(running.name)
    assert (final.state, final.attempt) == (State.STATE_SUCCEEDED, 1)
    assert mesh.comfyui() == comfyui


async def test_nats_ends_too_and_the_mesh_goes_on_with_the_next_one(mesh: LocalMesh) -> None:
    before = {name: mesh.process(name).pid for name in SERVICES}
    await mesh.terminate("nats")
    assert "panic" not in mesh.log("nats")
    await until(lambda: task_is_accepted(mesh), "a task that is accepted")
    assert {name: mesh.process(name).pid for name in SERVICES} == before


async def test_an_agent_that_is_asked_to_end_lets_a_short_task_end(mesh: LocalMesh, gate: graphs.Gate) -> None:
    # One that waits for longer than anything takes here; the next is as impatient as those of the other tests.
    mesh.configure("agent", {"COMFYMESH_AGENT_DRAIN_SECONDS": "100"})
    await mesh.terminate("agent")
    mesh.configure("agent", DRAIN)
    task = await mesh.create(graphs.gated(gate))
    await mesh.until_state(task.name, State.STATE_RUNNING)
    ending = asyncio.ensure_future(mesh.terminate("agent"))
    await until(lambda: takes_nothing_new(mesh), "a node that takes no new work")
    gate.open()
    assert await ending == 0
    final = await mesh.finished(task.name)
    assert (final.state, final.attempt) == (State.STATE_SUCCEEDED, 1)
    check_log(mesh, "agent")


async def test_an_agent_that_is_asked_to_end_gives_back_what_has_not_begun(mesh: LocalMesh) -> None:
    first = await mesh.create(graphs.steps(2000, 0.05))
    await mesh.until_state(first.name, State.STATE_RUNNING)
    second = await mesh.create(graphs.picture())
    following = await mesh.watching(second.name)
    await until(lambda: queue_is(mesh, (1, 1)), "the second prompt behind the first")
    assert await mesh.terminate("agent") == 0
    await mesh.client.cancel(first.name)
    assert (await mesh.finished(second.name)).state == State.STATE_SUCCEEDED
    told = await following
    assert any("handed back" in message.task.state_reason for message in told), told


async def test_an_agent_that_takes_its_instances_with_it_gives_back_what_runs_for_long(mesh: LocalMesh) -> None:
    task = await mesh.create(graphs.steps(2000, 0.05))
    await mesh.until_state(task.name, State.STATE_RUNNING)
    assert await mesh.terminate("agent") == 0
    again = await until(lambda: running_again(mesh, task.name), "the next attempt")
    assert again.attempt == 2
    await mesh.client.cancel(task.name)
    await mesh.finished(task.name)


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_ends_though_nats_is_away(mesh: LocalMesh, name: str) -> None:
    await mesh.hold("nats")
    assert await mesh.terminate(name) == 0
    check_log(mesh, name)
    # Its next life waits for NATS, and ends when asked to just as well.
    assert await mesh.terminate(name) == 0
    assert "Traceback" not in mesh.log(name)


async def test_an_agent_with_work_ends_though_nats_is_away(mesh: LocalMesh) -> None:
    task = await mesh.create(graphs.steps(2000, 0.05))
    await mesh.until_state(task.name, State.STATE_RUNNING)
    await mesh.hold("nats")
    assert await mesh.terminate("agent") in {0, 1}
    assert "Traceback" not in mesh.log("agent")
    await mesh.release("nats")
    await until(lambda: cancelled(mesh, task.name), "the end of the task")


async def takes_nothing_new(mesh: LocalMesh) -> bool:
    return all(node.availability is not Availability.OPEN for node in await mesh.client.nodes())


async def queue_is(mesh: LocalMesh, expected: tuple[int, int]) -> bool:
    return await mesh.comfyui_queue() == expected


async def task_is_accepted(mesh: LocalMesh) -> bool:
    try:
        await mesh.create(graphs.picture())
    except mesh.call_error:
        return False
    return True


async def running_again(mesh: LocalMesh, name: str) -> object:
    task = await mesh.get(name)
    return task if task.attempt == 2 and task.state == State.STATE_RUNNING else None


async def cancelled(mesh: LocalMesh, name: str) -> bool:
    with contextlib.suppress(mesh.call_error, Exception):
        await mesh.client.cancel(name)
        return (await mesh.get(name)).state == State.STATE_CANCELLED
    return False


class TestDev:
    """`comfymesh dev`: everything in one command, and nothing left of it afterwards."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    async def test_it_runs_a_task_and_leaves_nothing_behind(self, tmp_path: Path, number: signal.Signals) -> None:
        target, data, out = f"127.0.0.1:{free_port()}", tmp_path / "data", tmp_path / "out"
        dev = await comfymesh("dev", "--listen", target, "--data", str(data))
        assert dev.stdout is not None
        said = ""
        async with asyncio.timeout(60):
            while "Ctrl-C" not in said:
                line = await dev.stdout.readline()
                assert line, f"it ended early: {said}"
                said += line.decode()
        assert f"The API listens on {target}" in said
        assert f"comfymesh --target {target} run examples/text-to-image.json" in said
        graph = tmp_path / "graph.json"
        graph.write_text(graphs.text(graphs.text_to_image()))
        run = await comfymesh("--target", target, "run", str(graph), "--out", str(out))
        output, _ = await run.communicate()
        assert run.returncode == 0, output.decode()
        assert [path.suffix for path in out.iterdir()] == [".png"]
        assert processes_of(data)
        dev.send_signal(number)
        async with asyncio.timeout(60):
            rest, _ = await dev.communicate()
        assert dev.returncode == 0
        assert "Traceback" not in rest.decode()
        assert processes_of(data) == []
        for log in (data / "logs").glob("*.log"):
            assert "Traceback" not in log.read_text(errors="replace"), log


async def comfymesh(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "comfymesh.cli",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


def processes_of(data: Path) -> list[str]:
    """Every process, but for `comfymesh dev` itself, whose command or environment names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                command = (entry / "cmdline").read_bytes()
                if bytes(data) in command + (entry / "environ").read_bytes() and b"--data" not in command:
                    found.append(command.replace(b"\0", b" ").decode())
    return found
