"""Many tasks in one call: each for itself, in order, once."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from google.rpc import status_pb2

from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh, State, task_of
from comfymesh.testkit.refusals import Refusal, of_status, refused
from comfymesh.v1 import task_pb2, task_service_pb2

pytestmark = pytest.mark.asyncio(loop_scope="session")

Item = task_service_pb2.CreateTaskRequest
Results = list[task_service_pb2.BatchCreateTasksResult]


def item(graph: graphs.Graph | None = None, **fields: Any) -> Item:
    request = {name: fields.pop(name) for name in ("task_id", "request_id", "validate_only") if name in fields}
    return Item(task=task_of(graph or graphs.picture(), **fields), **request)


async def create(mesh: LocalMesh, *items: Item, **batch: Any) -> Results:
    answer = await mesh.tasks.BatchCreateTasks(task_service_pb2.BatchCreateTasksRequest(requests=items, **batch))
    assert len(answer.results) == len(items)
    return list(answer.results)


def refusal(result: task_service_pb2.BatchCreateTasksResult) -> Refusal:
    """The refusal of one item, which reads like that of a call."""
    assert result.WhichOneof("result") == "refusal"
    return of_status(status_pb2.Status.FromString(result.refusal.SerializeToString()))


async def test_results_come_in_the_order_of_the_requests_and_all_tasks_run(mesh: LocalMesh) -> None:
    ids = [f"mine-{number}-{uuid4().hex}" for number in range(30)]
    results = await create(mesh, *(item(task_id=task_id) for task_id in ids))
    assert [result.task.name for result in results] == [f"tasks/{task_id}" for task_id in ids]
    for result in results:
        assert (await mesh.finished(result.task.name)).state == State.STATE_SUCCEEDED


async def test_a_bad_item_spoils_no_other_and_says_what_a_call_of_its_own_would(mesh: LocalMesh) -> None:
    taken = (await mesh.create(graphs.picture())).name.removeprefix("tasks/")
    bad = [
        item({"1": graphs.node("Absent")}),
        item(priority=1000, display_name="x" * 200),
        Item(task=task_pb2.Task(graph_json="{")),
        Item(),
        item(task_id=taken),
        item(group="groups/No"),
        item(request_id="odd"),
    ]
    items = [part for wrong in bad for part in (wrong, item())]
    results = await create(mesh, *items)
    assert [result.WhichOneof("result") for result in results] == ["refusal", "task"] * len(bad)
    for wrong, result in zip(bad, results[::2], strict=True):
        assert refusal(result) == await refused(mesh.tasks.CreateTask(wrong))
    assert set(refusal(results[2]).violations) == {"task.priority", "task.display_name"}


async def test_repeating_a_batch_makes_nothing_new(mesh: LocalMesh) -> None:
    items = [item(request_id=str(uuid4())) for _ in range(5)]
    first, again = [[result.task.name for result in await create(mesh, *items)] for _ in range(2)]
    assert first == again
    assert len(set(first)) == 5


async def test_the_same_request_twice_in_a_batch_is_one_task(mesh: LocalMesh) -> None:
    once = item(request_id=str(uuid4()))
    other = Item(task=task_of(graphs.picture()), request_id=once.request_id)
    first, second, third = await create(mesh, once, once, other)
    assert first.task.name == second.task.name
    assert refusal(third).is_ == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")


async def test_the_same_id_twice_in_a_batch_is_taken_once(mesh: LocalMesh) -> None:
    task_id = f"mine-{uuid4().hex}"
    results = await create(mesh, item(task_id=task_id), item(task_id=task_id))
    assert sorted(str(result.WhichOneof("result")) for result in results) == ["refusal", "task"]


async def test_validating_a_batch_makes_nothing_and_tells_everything(mesh: LocalMesh) -> None:
    ids = [f"mine-{uuid4().hex}" for _ in range(2)]
    good, bad = await create(mesh, item(task_id=ids[0]), item(task_id=ids[1], priority=1000), validate_only=True)
    assert good.task.name == f"tasks/{ids[0]}"
    assert refusal(bad).is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
    (single,) = await create(mesh, item(task_id=ids[0], validate_only=True))
    assert single.task.name == f"tasks/{ids[0]}"
    for task_id in ids:
        request = task_service_pb2.GetTaskRequest(name=f"tasks/{task_id}")
        assert (await refused(mesh.tasks.GetTask(request))).is_ == ("NOT_FOUND", "TASK_NOT_FOUND")


async def test_a_thousand_tasks_are_one_call_and_more_are_refused(mesh: LocalMesh) -> None:
    many = [item(validate_only=True)] * 1000
    assert {result.WhichOneof("result") for result in await create(mesh, *many)} == {"task"}
    for requests, group in ((many + many[:1], ""), ([], "groups/-")):
        batch = task_service_pb2.BatchCreateTasksRequest(requests=requests, group=group)
        found = await refused(mesh.tasks.BatchCreateTasks(batch))
        assert found.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
        assert set(found.violations) == ({"requests", "group"} if group else {"requests"})


async def test_the_group_of_a_batch_is_that_of_its_items_which_name_none(mesh: LocalMesh) -> None:
    ours, other = f"groups/a{uuid4().hex}", f"groups/b{uuid4().hex}"
    results = await create(mesh, item(), item(group=other), group=ours)
    assert [result.task.group for result in results] == [ours, other]
