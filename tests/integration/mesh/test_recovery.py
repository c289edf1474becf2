"""Services that come back go on from what they have kept, and from the whole log where that can't be believed."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh, State, local_mesh
from comfymesh.v1 import task_service_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICES = ("api", "scheduler")
USED = '"action": "checkpoint_used"'
REFUSED = '"action": "checkpoint_refused"'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(directory: Path) -> AsyncIterator[LocalMesh]:
    async with local_mesh(directory) as up:
        yield up


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mesh")


async def listed(mesh: LocalMesh) -> list[tuple[str, str]]:
    answer = await mesh.tasks.ListTasks(task_service_pb2.ListTasksRequest(), timeout=10)
    return [(task.name, task.update_time.ToJsonString()) for task in answer.tasks]


async def finish_one(mesh: LocalMesh) -> None:
    task = await mesh.create(graphs.picture())
    assert (await mesh.finished(task.name)).state == State.STATE_SUCCEEDED


async def come_back(mesh: LocalMesh) -> dict[str, int]:
    """Start both again; answers how often each went on from what it had kept."""
    before = {service: mesh.log(service).count(USED) for service in SERVICES}
    await mesh.restore()
    await mesh.until_serving()
    await finish_one(mesh)
    return {service: mesh.log(service).count(USED) - before[service] for service in SERVICES}


async def hold_both(mesh: LocalMesh) -> None:
    for service in SERVICES:
        await mesh.hold(service)


async def test_who_was_killed_goes_on_from_what_was_kept(mesh: LocalMesh) -> None:
    await finish_one(mesh)
    # What was there at the start of a life is kept from then on, and what came later with the next change or question.
    for service in SERVICES:
        await mesh.kill(service)
    await mesh.until_serving()
    await finish_one(mesh)
    before = await listed(mesh)
    await hold_both(mesh)
    assert await come_back(mesh) == {"api": 1, "scheduler": 1}
    assert (await listed(mesh))[1:] == before


async def test_what_was_cut_off_is_not_believed(mesh: LocalMesh, directory: Path) -> None:
    await finish_one(mesh)
    before = await listed(mesh)
    await hold_both(mesh)
    files = [*(directory / "checkpoints").glob("*.sqlite")]
    assert len(files) == len(SERVICES)
    for file in files:
        # Together with what was written last, all of it is in the file.
        file.with_name(file.name + "-wal").unlink(missing_ok=True)
        os.truncate(file, 5000)
    assert await come_back(mesh) == {"api": 0, "scheduler": 0}
    assert (await listed(mesh))[1:] == before


async def test_a_log_that_is_another_is_read_as_a_whole(mesh: LocalMesh, directory: Path) -> None:
    """Its files went back to an earlier day, as from a backup, and it was written anew from there."""
    await finish_one(mesh)
    await mesh.hold("nats")
    await hold_both(mesh)
    backup = directory / "backup"
    shutil.copytree(directory / "nats", backup)
    await mesh.release("nats")
    for service in SERVICES:
        await mesh.release(service)
    await mesh.until_serving()
    # A life that begins now keeps what has come since the backup.
    await finish_one(mesh)
    await mesh.kill("scheduler")
    await finish_one(mesh)
    lost = await listed(mesh)
    await mesh.hold("nats")
    await hold_both(mesh)
    shutil.rmtree(directory / "nats")
    shutil.copytree(backup, directory / "nats")
    refused = {service: mesh.log(service).count(REFUSED) for service in SERVICES}
    await mesh.release("nats")
    assert await come_back(mesh) == {"api": 0, "scheduler": 0}
    assert all(mesh.log(service).count(REFUSED) == refused[service] + 1 for service in SERVICES)
    assert not {name for name, _ in lost[:2]} & {name for name, _ in await listed(mesh)}
