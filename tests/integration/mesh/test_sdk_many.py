"""The SDK with many tasks: created together, followed on one stream, counted and stopped as a group."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from comfymesh.client import (
    CaughtUp,
    Client,
    Conflict,
    GroupChanged,
    InvalidRequest,
    NewTask,
    NotFound,
    Task,
    TaskChanged,
    TaskState,
)
from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh, is_course

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def group() -> str:
    return f"g{uuid4().hex}"


async def test_a_sweep_is_created_followed_and_counted(mesh: LocalMesh, group: str) -> None:
    graph = graphs.picture()
    sweep = [NewTask(graph, {"1.color": color}, {"labels": {"color": str(color)}}) for color in range(5)]
    made = await mesh.client.create_many(sweep, group=group)
    assert [task.labels["color"] for task in made if isinstance(task, Task)] == [str(color) for color in range(5)]
    events = [event async for event in mesh.client.group(group).watch(task_count=5)]
    assert sum(isinstance(event, CaughtUp) for event in events) == 1
    assert {event.task.name for event in events if isinstance(event, TaskChanged)} == {
        task.name for task in made if isinstance(task, Task)
    }
    assert isinstance(events[-1], GroupChanged)
    whole = events[-1].group
    assert (whole.task_count, whole.counts, whole.fraction) == (5, {TaskState.SUCCEEDED: 5}, 1.0)
    assert await mesh.client.group(group).get() == whole
    assert {task.name async for task in mesh.client.list(group=group)} == {t.name for t in made if isinstance(t, Task)}


async def test_each_task_or_error_comes_in_its_place(mesh: LocalMesh) -> None:
    task_id = f"mine-{uuid4().hex}"
    taken = NewTask(graphs.picture(), options={"task_id": task_id})
    found = await mesh.client.create_many(
        [taken, NewTask({"1": graphs.node("Absent")}), NewTask(graphs.picture(), options={"task_id": task_id})]
    )
    assert [type(outcome) for outcome in found] == [Task, InvalidRequest, Conflict]
    assert isinstance(found[1], InvalidRequest)
    assert (found[1].reason, found[1].violations[0].field) == ("INVALID_WORKFLOW", "task.graph_json[1]")


async def test_what_exceeds_one_call_goes_in_several(mesh: LocalMesh) -> None:
    text = "x" * 100_000
    many = [NewTask({"1": graphs.node("PreviewAny", source=text)})] * 300 + [NewTask({"1": graphs.node("No")})] * 900
    found = await mesh.client.create_many(many, validate_only=True)
    assert [isinstance(outcome, Task) for outcome in found] == [True] * 300 + [False] * 900


async def test_a_file_that_several_tasks_read_is_uploaded_once(mesh: LocalMesh, tmp_path: Path, group: str) -> None:
    photo = tmp_path / "photo.png"
    result = await mesh.client.run(graphs.picture(), out=tmp_path)
    photo.write_bytes(result.artifacts[0].data)
    made = await mesh.client.create_many([NewTask(graphs.inverted(), {"1.image": photo})] * 3, group=group)
    assert all(isinstance(task, Task) for task in made)
    events = [event async for event in mesh.client.group(group).watch()]
    assert isinstance(events[-1], GroupChanged)
    assert events[-1].group.counts == {TaskState.SUCCEEDED: 3}


async def test_a_watch_goes_on_where_it_was_when_the_api_dies(mesh: LocalMesh, group: str) -> None:
    events = mesh.client.watch_tasks(group=group)
    assert isinstance(await anext(events), CaughtUp)
    (first,) = await mesh.client.create_many([NewTask(graphs.steps(20, 0.05))], group=group)
    assert isinstance(first, Task)
    told = [await anext(events)]
    await mesh.kill("api")
    while not (isinstance(told[-1], TaskChanged) and told[-1].task.state.final):
        told.append(await anext(events))
    await events.aclose()
    states = [event.task.state for event in told if isinstance(event, TaskChanged)]
    assert is_course(states)
    assert states[0] is TaskState.QUEUED


async def test_a_group_is_cancelled(mesh: LocalMesh, group: str) -> None:
    await mesh.client.create_many([NewTask(graphs.steps(2000, 0.05))] * 4, group=group)
    handle = mesh.client.group(f"groups/{group}")
    assert [await handle.cancel("enough") for _ in range(2)] == [4, 0]
    events = [event async for event in handle.watch()]
    assert isinstance(events[-1], GroupChanged)
    assert events[-1].group.counts == {TaskState.CANCELLED: 4}
    with pytest.raises(NotFound, match="GROUP_NOT_FOUND"):
        await mesh.client.group("nothing-of-that-name").get()


async def test_programs_without_asyncio_can_do_the_same(mesh: LocalMesh, group: str) -> None:
    def use() -> None:
        with Client(mesh.target) as client:
            made = client.create_many([NewTask(graphs.picture())] * 2, group=group)
            assert all(isinstance(task, Task) for task in made)
            *_, last = client.group(group).watch()
            assert isinstance(last, GroupChanged)
            assert client.group(group).get() == last.group
            assert client.group(group).cancel() == 0
            there = []
            for event in client.watch_tasks(group=group, include_existing=True):
                if isinstance(event, CaughtUp):
                    break
                there.append(event.task)
            assert {task.name for task in there} == {task.name for task in made if isinstance(task, Task)}

    await asyncio.to_thread(use)
