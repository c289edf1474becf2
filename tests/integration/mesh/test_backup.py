"""A mesh is backed up under load, loses its NATS server with all that it held, and comes up again from the backup."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from comfymesh.client import AsyncClient, NotFound, TaskChanged, TaskState
from comfymesh.testkit import graphs, pages
from comfymesh.testkit.meshes import LocalMesh, State, local_mesh, task_of
from comfymesh.testkit.waiting import until
from comfymesh.v1 import task_service_pb2

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

SERVICES = ("api", "scheduler", "agent")
BACKUP, VERIFY, RESTORE = pages.commands("operations.md", "Back up and restore")
FOLDER, FILE = "/backups/", "/backups/comfymesh-20261128T031500Z.backup"
REPLICAS = "COMFYMESH_NATS_REPLICAS=3 "
"""What the page gives to restore for a cluster; here is one server."""


async def admin(mesh: LocalMesh, command: str, file: Path, *more: str) -> tuple[int, str]:
    """Run a command of the page, on this file or in this folder."""
    words = pages.arguments(command.removeprefix(REPLICAS), **{FOLDER: f"{file}/", FILE: str(file)})
    ran = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "comfymesh.cli", *words, *more),
        env={**os.environ, "COMFYMESH_NATS_URL": mesh.nats_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await ran.communicate()
    return ran.returncode or 0, output.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalMesh]:
    async with local_mesh(tmp_path_factory.mktemp("mesh")) as up:
        yield up


@dataclass
class Before:
    """Tasks as they were at the time of the backup, with tokens of those who watched; and what came later."""

    done: str
    done_token: str
    running: str
    running_token: str
    waiting: list[str]
    lost: str
    lost_token: str
    key: str


async def token_of(client: AsyncClient, name: str, *states: TaskState) -> str:
    """The resume token with which a watcher was told one of the states."""
    async with contextlib.aclosing(client.watch(name)) as events:
        async for event in events:
            if isinstance(event, TaskChanged) and event.task.state in states:
                return event.resume_token
    raise AssertionError(states)


async def created_and_left(mesh: LocalMesh) -> tuple[str, str]:
    """A new task, and the resume token of its beginning."""
    call = mesh.tasks.RunTask(task_service_pb2.RunTaskRequest(task=task_of(graphs.picture())))
    first = await call.read()
    call.cancel()
    return first.task.name, first.resume_token


async def load(mesh: LocalMesh, over: asyncio.Event) -> list[str]:
    names = []
    while not over.is_set():
        names.append((await mesh.create(graphs.picture())).name)
        await asyncio.sleep(0.02)
    return names


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def before(mesh: LocalMesh) -> Before:
    """Back up under load, lose everything, restore."""
    folder, client = mesh.directory / "backups", mesh.client
    folder.mkdir()
    done = (await client.run(graphs.picture())).task.name
    running = (await client.create(graphs.steps(100, 0.1))).name
    running_token = await token_of(client, running, TaskState.RUNNING)
    waiting = [(await client.create(graphs.picture())).name for _ in range(2)]
    tenant = (await client.create_tenant("acme")).name
    key = (await client.create_key(tenant)).key.name
    over = asyncio.Event()
    loading = asyncio.create_task(load(mesh, over))
    code, output = await admin(mesh, BACKUP, folder)
    assert (code, "Whole" in output) == (0, True), output
    (file,) = folder.iterdir()
    code, output = await admin(mesh, VERIFY, file)
    assert code == 0, output
    over.set()
    assert await loading
    made = Before(
        *(done, await token_of(client, done, TaskState.SUCCEEDED), running, running_token, waiting),
        *(await created_and_left(mesh)),
        key,
    )

    # Not over what is there, and not under whoever runs.
    code, output = await admin(mesh, RESTORE, file, "--replace")
    assert (code, "[MESH_ALIVE]" in output) == (1, True), output
    for name in (*SERVICES, "nats"):
        await mesh.hold(name)
    shutil.rmtree(mesh.directory / "nats")
    await mesh.release("nats")
    # Each look is a whole restore, not a glance.
    code, output = await until(lambda: restored(mesh, file), "a NATS server", deadline=100)
    assert (code, "Now start the services" in output) == (0, True), output
    for name in SERVICES:
        await mesh.release(name)
    await mesh.until_serving()
    return made


async def restored(mesh: LocalMesh, file: Path) -> tuple[int, str] | None:
    code, output = await admin(mesh, RESTORE, file)
    return None if "[NATS_UNAVAILABLE]" in output else (code, output)


async def test_what_had_ended_is_there_with_its_pictures(mesh: LocalMesh, before: Before) -> None:
    result = await mesh.client.result(before.done)
    assert result.artifacts[0].data.startswith(b"\x89PNG")


async def test_what_ran_and_what_waited_ends(mesh: LocalMesh, before: Before) -> None:
    for name in (before.running, *before.waiting):
        assert (await mesh.finished(name)).state == State.STATE_SUCCEEDED


async def test_what_came_after_the_backup_is_gone_and_is_told_so(mesh: LocalMesh, before: Before) -> None:
    with pytest.raises(NotFound):
        await mesh.client.get(before.lost)
    with pytest.raises(NotFound):
        await token_of_rest(mesh.client, before.lost, before.lost_token)


async def test_keys_are_there(mesh: LocalMesh, before: Before) -> None:
    assert (await mesh.client.key(before.key)).name == before.key


async def token_of_rest(client: AsyncClient, name: str, token: str) -> list[TaskState]:
    async with contextlib.aclosing(client.watch(name, token)) as events:
        return [event.task.state async for event in events if isinstance(event, TaskChanged)]


async def test_watchers_go_on_with_their_old_tokens(mesh: LocalMesh, before: Before) -> None:
    assert await token_of_rest(mesh.client, before.running, before.running_token) != []
    assert (await token_of_rest(mesh.client, before.done, before.done_token))[-1:] in ([], [TaskState.SUCCEEDED])
