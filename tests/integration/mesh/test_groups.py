"""Tasks that belong together: counted, followed to their end, and stopped as one."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh, State, is_course, states_of, task_of
from comfymesh.testkit.refusals import refused
from comfymesh.v1 import group_pb2, group_service_pb2, task_pb2, task_service_pb2

pytestmark = pytest.mark.asyncio(loop_scope="session")

WatchRequest = group_service_pb2.WatchGroupRequest
Messages = list[group_service_pb2.WatchGroupResponse]


@pytest.fixture
def group() -> str:
    return f"groups/g{uuid4().hex}"


async def create(mesh: LocalMesh, group: str, *made: graphs.Graph) -> list[task_pb2.Task]:
    batch = task_service_pb2.BatchCreateTasksRequest(
        requests=[task_service_pb2.CreateTaskRequest(task=task_of(graph)) for graph in made], group=group
    )
    return [result.task for result in (await mesh.tasks.BatchCreateTasks(batch)).results]


async def get(mesh: LocalMesh, name: str) -> group_pb2.Group:
    answer: group_service_pb2.GetGroupResponse = await mesh.groups.GetGroup(
        group_service_pb2.GetGroupRequest(name=name)
    )
    return answer.group


async def cancel(mesh: LocalMesh, name: str, reason: str = "") -> group_service_pb2.CancelGroupResponse:
    answer: group_service_pb2.CancelGroupResponse = await mesh.groups.CancelGroup(
        group_service_pb2.CancelGroupRequest(name=name, reason=reason)
    )
    return answer


async def watch(mesh: LocalMesh, name: str, **request: Any) -> Messages:
    return [message async for message in mesh.groups.WatchGroup(WatchRequest(name=name, **request))]


def states_by_task(messages: Messages) -> dict[str, list[str]]:
    names = {message.task.name for message in messages if message.HasField("task")}
    return {name: states_of([m for m in messages if m.HasField("task") and m.task.name == name]) for name in names}


class TestGetting:
    async def test_every_task_that_was_created_before_counts(self, mesh: LocalMesh, group: str) -> None:
        for count in range(1, 6):
            await create(mesh, group, graphs.steps(3))
            assert (await get(mesh, group)).task_count == count

    async def test_counts_and_times_are_those_of_the_tasks(self, mesh: LocalMesh, group: str) -> None:
        made = await create(mesh, group, graphs.picture(), graphs.picture(), graphs.raising("value"))
        ends = [await mesh.finished(task.name) for task in made]
        found = await get(mesh, group)
        assert (found.name, found.task_count, found.succeeded_count, found.failed_count) == (group, 3, 2, 1)
        assert found.fraction == 1.0
        assert found.create_time == min((task.create_time for task in made), key=lambda time: time.ToNanoseconds())
        assert found.end_time == max((task.end_time for task in ends), key=lambda time: time.ToNanoseconds())

    async def test_what_runs_counts_by_its_progress(self, mesh: LocalMesh, group: str) -> None:
        (task,) = await create(mesh, group, graphs.steps(2000, 0.05))
        call = mesh.tasks.WatchTask(task_service_pb2.WatchTaskRequest(name=task.name))
        async for message in call:
            if message.progress.fraction > 0.02:
                break
        call.cancel()
        found = await get(mesh, group)
        assert (found.running_count, found.HasField("end_time")) == (1, False)
        assert 0.02 < found.fraction < 1
        await cancel(mesh, group)
        await mesh.finished(task.name)

    async def test_a_group_without_tasks_is_not_found(self, mesh: LocalMesh, group: str) -> None:
        for call in (
            mesh.groups.GetGroup(group_service_pb2.GetGroupRequest(name=group)),
            mesh.groups.CancelGroup(group_service_pb2.CancelGroupRequest(name=group)),
            mesh.groups.WatchGroup(WatchRequest(name=group)).read(),
        ):
            refusal = await refused(call)
            assert refusal.is_ == ("NOT_FOUND", "GROUP_NOT_FOUND")
            resource: Any = refusal.details["ResourceInfo"]
            assert (resource.resource_type, resource.resource_name) == ("comfymesh.v1.Group", group)

    @pytest.mark.parametrize("name", ["", "groups/", "group/x", "groups/X", "groups/a.b", "groups/*", "groups/a/b"])
    async def test_a_name_that_is_none_is_refused(self, mesh: LocalMesh, name: str) -> None:
        for call in (
            mesh.groups.GetGroup(group_service_pb2.GetGroupRequest(name=name)),
            mesh.groups.CancelGroup(group_service_pb2.CancelGroupRequest(name=name)),
            mesh.groups.WatchGroup(WatchRequest(name=name)).read(),
        ):
            refusal = await refused(call)
            assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
            assert set(refusal.violations) == {"name"}

    async def test_everything_that_is_wrong_is_told_at_once(self, mesh: LocalMesh) -> None:
        call = mesh.groups.CancelGroup(group_service_pb2.CancelGroupRequest(name="x", reason="y" * 513))
        assert set((await refused(call)).violations) == {"name", "reason"}
        watch = mesh.groups.WatchGroup(WatchRequest(name="x", task_count=-1, max_changes=-1))
        assert set((await refused(watch.read())).violations) == {"name", "task_count", "max_changes"}


class TestWatching:
    async def test_a_watch_tells_every_change_and_ends_with_the_group(self, mesh: LocalMesh, group: str) -> None:
        stream = aiter(mesh.groups.WatchGroup(WatchRequest(name=group, task_count=4)))
        messages = [await anext(stream)]
        assert messages[0].HasField("caught_up")
        made = await create(mesh, group, *(graphs.picture() for _ in range(4)))
        messages += [message async for message in stream]
        told = states_by_task(messages)
        assert set(told) == {task.name for task in made}
        assert all(is_course(states) and states[0] == "QUEUED" for states in told.values())
        assert (messages[-1].group.succeeded_count, messages[-1].group.fraction) == (4, 1.0)
        assert sum(message.HasField("caught_up") for message in messages) == 1

    async def test_a_group_that_has_ended_is_shown_and_the_watch_ends(self, mesh: LocalMesh, group: str) -> None:
        made = await create(mesh, group, graphs.picture(), graphs.raising("value"))
        for task in made:
            await mesh.finished(task.name)
        messages = await watch(mesh, group)
        assert sorted(states_of(messages)) == ["FAILED", "SUCCEEDED"]
        assert messages[-1].group.end_time == (await get(mesh, group)).end_time

    async def test_a_watch_does_not_end_before_the_group_is_whole(self, mesh: LocalMesh, group: str) -> None:
        (first,) = await create(mesh, group, graphs.picture())
        await mesh.finished(first.name)
        watching = asyncio.ensure_future(watch(mesh, group, task_count=2))
        (second,) = await create(mesh, group, graphs.picture())
        messages = await watching
        assert set(states_by_task(messages)) == {first.name, second.name}
        assert messages[-1].group.task_count == 2

    async def test_a_watch_that_is_cut_at_every_message_misses_no_state(self, mesh: LocalMesh, group: str) -> None:
        made = await create(mesh, group, *(graphs.steps(4, 0.03) for _ in range(3)))
        told, token, ended = Messages(), "", set[str]()
        # The group may be told as it is before the last change of its tasks is.
        while len(ended) < len(made):
            call = mesh.groups.WatchGroup(WatchRequest(name=group, resume_token=token))
            async for message in call:
                told.append(message)
                token = message.resume_token
                if message.task.state == State.STATE_SUCCEEDED:
                    ended.add(message.task.name)
                if not message.HasField("caught_up"):
                    break
            call.cancel()
        states = states_by_task(told)
        assert set(states) == {task.name for task in made}
        assert all(is_course(seen) for seen in states.values())


class TestStopping:
    async def test_everything_that_has_not_ended_is_cancelled(self, mesh: LocalMesh, group: str) -> None:
        (done,) = await create(mesh, group, graphs.picture())
        await mesh.finished(done.name)
        rest = await create(mesh, group, *(graphs.steps(2000, 0.05) for _ in range(6)))
        await mesh.until_state(rest[0].name, State.STATE_RUNNING)
        answer = await cancel(mesh, group, "enough")
        assert answer.cancelled_count == 6
        assert (answer.group.task_count, answer.group.succeeded_count) == (7, 1)
        ends = [await mesh.finished(task.name) for task in rest]
        assert {task.state for task in ends} == {State.STATE_CANCELLED}
        assert {task.state_reason for task in ends} == {"enough"}
        assert (await watch(mesh, group))[-1].group.cancelled_count == 6

    async def test_cancelling_again_is_fine_and_changes_nothing(self, mesh: LocalMesh, group: str) -> None:
        made = await create(mesh, group, *(graphs.steps(2000, 0.05) for _ in range(3)))
        counts = [(await cancel(mesh, group)).cancelled_count for _ in range(3)]
        assert counts == [3, 0, 0]
        for task in made:
            assert (await mesh.finished(task.name)).state == State.STATE_CANCELLED

    async def test_two_at_once_cancel_each_task_once(self, mesh: LocalMesh, group: str) -> None:
        await create(mesh, group, *(graphs.steps(2000, 0.05) for _ in range(20)))
        answers = await asyncio.gather(cancel(mesh, group), cancel(mesh, group))
        assert sum(answer.cancelled_count for answer in answers) == 20
        assert (await watch(mesh, group))[-1].group.cancelled_count == 20


async def test_tasks_are_listed_by_group_and_by_graph(mesh: LocalMesh, group: str) -> None:
    same = graphs.picture()
    made = await create(mesh, group, same, graphs.picture(), same)
    await get(mesh, group)  # Now the list knows them all.
    listed = await mesh.tasks.ListTasks(task_service_pb2.ListTasksRequest(group=group))
    assert {task.name for task in listed.tasks} == {task.name for task in made}
    request = task_service_pb2.ListTasksRequest(graph_digest=made[0].graph_digest)
    listed = await mesh.tasks.ListTasks(request)
    assert {task.name for task in listed.tasks} == {made[0].name, made[2].name}
    await cancel(mesh, group)
