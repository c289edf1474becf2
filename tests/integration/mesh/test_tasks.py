"""What callers may do with tasks: create once, follow, find again, stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio

from comfymesh.api.watch import make_token
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.tasklog import TaskLog
from comfymesh.client import AsyncClient, TaskChanged
from comfymesh.tasks.record import Key
from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh, State, is_course, states_of, task_of
from comfymesh.testkit.refusals import refused
from comfymesh.testkit.waiting import until
from comfymesh.v1 import task_pb2, task_service_pb2

pytestmark = pytest.mark.asyncio(loop_scope="session")

LONG = (2000, 0.05)
WatchRequest = task_service_pb2.WatchTaskRequest
CreateRequest = task_service_pb2.CreateTaskRequest


def cancel(mesh: LocalMesh, name: str, reason: str = "") -> grpc.aio.UnaryUnaryCall[object, object]:
    return mesh.tasks.CancelTask(task_service_pb2.CancelTaskRequest(name=name, reason=reason))


async def finish(mesh: LocalMesh, *names: str) -> None:
    for name in names:
        await cancel(mesh, name)
    for name in names:
        await mesh.finished(name)


@pytest_asyncio.fixture(loop_scope="session")
async def busy(mesh: LocalMesh) -> AsyncIterator[list[str]]:
    """Two tasks that fill the instance: the first runs, the second waits there."""
    names = [(await mesh.create(graphs.steps(*LONG))).name for _ in range(2)]
    await mesh.until_state(names[0], State.STATE_RUNNING)
    await mesh.until_state(names[1], State.STATE_ASSIGNED)
    yield names
    for name in names:
        if (await mesh.get(name)).state not in {State.STATE_CANCELLED, State.STATE_SUCCEEDED}:
            await finish(mesh, name)


class TestWatching:
    async def test_the_first_message_is_the_task_as_it_stands(self, mesh: LocalMesh) -> None:
        task = await mesh.finished((await mesh.create(graphs.picture())).name)
        messages = await mesh.watch(task.name)
        assert states_of(messages) == ["SUCCEEDED"]
        assert messages[0].task == task

    async def test_a_late_watcher_is_told_the_latest_progress_at_once(self, mesh: LocalMesh) -> None:
        for seconds in (3.0, 6.0, 12.0):
            told = await self.told_late(mesh, seconds)
            if len(told) == 2 and told[1].HasField("progress"):
                break  # Otherwise, somebody stood still until it had ended.
        first, second = told
        assert first.task.state == State.STATE_RUNNING
        assert second.progress.fraction > 0

    async def told_late(self, mesh: LocalMesh, seconds: float) -> list[task_service_pb2.WatchTaskResponse]:
        """What one is told first who comes while nothing happens, for so long."""
        block = graphs.node("ProbeBlock", image=["2", 0], seconds=seconds, hold_gil=False)
        graph = graphs.steps(3, 0.05) | {"5": block}
        graph["9"]["inputs"]["images"] = ["5", 0]
        task = await mesh.create(graph)
        early = mesh.tasks.WatchTask(WatchRequest(name=task.name))
        async for message in early:
            if message.HasField("progress") and message.progress.graph_node == "5":
                break
        early.cancel()
        late = mesh.tasks.WatchTask(WatchRequest(name=task.name))
        told = []
        async for message in late:
            told.append(message)
            if len(told) == 2:
                break
        late.cancel()
        await mesh.finished(task.name)
        return told

    async def test_a_token_resumes_behind_the_state_that_it_came_with(self, mesh: LocalMesh) -> None:
        name = (await mesh.create(graphs.steps(10, 0.02))).name
        await mesh.finished(name)
        async with await JetStreamBus.open(mesh.nats_url, "test") as bus:
            records = await TaskLog(bus).history(Key("default", name.rpartition("/")[2]), 0)
        states = [stored.record.state.name for stored in records]
        assert is_course(states)
        tokens = [make_token(stored.sequence) for stored in records]
        for after, token in enumerate(tokens[:-1], start=1):
            resumed = await mesh.watch(name, resume_token=token)
            assert states_of(resumed) == states[after:]
            assert [m.resume_token for m in resumed if m.HasField("task")] == tokens[after:]

    async def test_the_token_of_the_end_shows_the_end_again(self, mesh: LocalMesh) -> None:
        task = await mesh.finished((await mesh.create(graphs.picture())).name)
        (message,) = await mesh.watch(task.name)
        assert states_of(await mesh.watch(task.name, resume_token=message.resume_token)) == ["SUCCEEDED"]

    @pytest.mark.parametrize("token", ["garbage!", "AAAA", "AAAAAAAAAAA", "__________8"])
    async def test_a_token_that_is_not_known_begins_with_a_snapshot(self, mesh: LocalMesh, token: str) -> None:
        task = await mesh.finished((await mesh.create(graphs.picture())).name)
        assert states_of(await mesh.watch(task.name, resume_token=token)) == ["SUCCEEDED"]

    async def test_a_stream_that_is_cut_at_every_message_misses_no_state(self, mesh: LocalMesh) -> None:
        task = await mesh.create(graphs.steps(10, 0.03))
        states, token = list[str](), ""
        while not states or states[-1] != "SUCCEEDED":
            call = mesh.tasks.WatchTask(WatchRequest(name=task.name, resume_token=token))
            async for message in call:
                token = message.resume_token
                states += states_of([message])
                break
            call.cancel()
        assert is_course(states)

    async def test_many_watchers_are_told_the_same(self, mesh: LocalMesh) -> None:
        task = await mesh.create(graphs.steps(20, 0.05))
        streams = await asyncio.gather(*(mesh.watch(task.name) for _ in range(20)))
        for messages in streams:
            assert states_of(messages)[-1] == "SUCCEEDED"
            fractions = [m.progress.fraction for m in messages if m.HasField("progress") and m.progress.attempt]
            assert fractions == sorted(fractions)

    async def test_a_watcher_that_leaves_does_not_stop_the_task(self, mesh: LocalMesh) -> None:
        call = mesh.tasks.RunTask(task_service_pb2.RunTaskRequest(task=task_of(graphs.steps(5, 0.05))))
        first = await call.read()
        call.cancel()
        assert (await mesh.finished(first.task.name)).state == State.STATE_SUCCEEDED

    @pytest.mark.usefixtures("busy")
    async def test_who_waits_is_told_the_place_in_the_queue(self, mesh: LocalMesh) -> None:
        tasks = [await mesh.create(graphs.picture()) for _ in range(3)]
        places = []
        for task in tasks:
            call = mesh.tasks.WatchTask(WatchRequest(name=task.name))
            async for message in call:
                if message.HasField("progress"):
                    assert message.progress.phase == task_pb2.TaskProgress.PHASE_WAITING
                    places.append(message.progress.queue_position)
                    break
            call.cancel()
        assert places == [1, 2, 3]
        await finish(mesh, *(task.name for task in tasks))


class TestFinding:
    async def test_a_task_is_found_by_its_name(self, mesh: LocalMesh) -> None:
        task = await mesh.create(graphs.picture())
        found = await mesh.finished(task.name)
        assert (found.name, found.create_time, found.graph_digest) == (task.name, task.create_time, task.graph_digest)

    async def test_pages_are_whole_while_tasks_are_added(self, mesh: LocalMesh) -> None:
        labels = {"run": uuid4().hex}
        names = [(await mesh.create(graphs.picture(), labels=labels)).name for _ in range(7)]
        await until(lambda: self.listed_count(mesh, labels, 7), "seven tasks in the list")
        found, token = list[str](), ""
        while True:
            request = task_service_pb2.ListTasksRequest(page_size=2, page_token=token, labels=labels)
            page = await mesh.tasks.ListTasks(request)
            found += [task.name for task in page.tasks]
            token = page.next_page_token
            if not token:
                break
            await mesh.create(graphs.picture(), labels=labels)
        assert found == names[::-1]

    async def test_filters_choose(self, mesh: LocalMesh) -> None:
        labels = {"run": uuid4().hex}
        good = await mesh.create(graphs.picture(), labels=labels | {"color": "red"})
        bad = await mesh.create(graphs.raising("value"), labels=labels)
        await mesh.finished(good.name)
        await mesh.finished(bad.name)
        chosen = {
            "label": {"labels": labels | {"color": "red"}},
            "state": {"labels": labels, "states": [State.STATE_SUCCEEDED, State.STATE_CANCELLED]},
            "before": {"labels": labels, "created_before": bad.create_time},
        }
        for what, request in chosen.items():
            names = await until(lambda request=request: self.names(mesh, **request), what)  # type: ignore[misc]
            assert names == [good.name], what
        assert await self.names(mesh, labels=labels, created_after=bad.create_time) == [bad.name]

    async def names(self, mesh: LocalMesh, **request: object) -> list[str]:
        page = await mesh.tasks.ListTasks(task_service_pb2.ListTasksRequest(**request))  # type: ignore[arg-type]
        return [task.name for task in page.tasks]

    async def listed_count(self, mesh: LocalMesh, labels: dict[str, str], count: int) -> bool:
        return len(await self.names(mesh, labels=labels)) == count

    async def test_the_fleet_is_shown(self, mesh: LocalMesh) -> None:
        (node,) = await mesh.client.nodes()
        assert (node.name, node.state, node.availability) == ("nodes/local-0", "ACTIVE", "OPEN")
        (instance,) = node.instances
        assert (instance.name, instance.runtime, instance.slots) == ("comfyui-0", "process", 2)
        assert instance.comfyui_version


class TestStopping:
    @pytest.mark.usefixtures("busy")
    async def test_a_waiting_task_is_cancelled_at_once(self, mesh: LocalMesh) -> None:
        task = await mesh.create(graphs.picture())
        answer = await cancel(mesh, task.name, "not needed")
        assert (answer.task.state, answer.task.state_reason) == (State.STATE_CANCELLED, "not needed")
        assert answer.task.HasField("end_time")
        assert states_of(await mesh.watch(task.name)) == ["CANCELLED"]

    async def test_a_running_task_is_interrupted_and_makes_room(self, mesh: LocalMesh, busy: list[str]) -> None:
        watching = asyncio.ensure_future(mesh.watch(busy[0]))
        await asyncio.sleep(0)
        answer = await cancel(mesh, busy[0])
        assert answer.task.state == State.STATE_CANCELLING
        assert states_of(await watching)[-1] == "CANCELLED"
        await mesh.until_state(busy[1], State.STATE_RUNNING)

    async def test_a_task_that_waits_at_its_instance_never_begins(self, mesh: LocalMesh, busy: list[str]) -> None:
        await cancel(mesh, busy[1])
        task = await mesh.finished(busy[1])
        assert task.state == State.STATE_CANCELLED
        assert not task.HasField("start_time")
        assert (await mesh.get(busy[0])).state == State.STATE_RUNNING

    async def test_cancelling_twice_succeeds(self, mesh: LocalMesh, busy: list[str]) -> None:
        first, second = await asyncio.gather(cancel(mesh, busy[0]), cancel(mesh, busy[0]))
        assert {first.task.state, second.task.state} <= {State.STATE_CANCELLING, State.STATE_CANCELLED}
        await mesh.finished(busy[0])
        assert (await cancel(mesh, busy[0])).task.state == State.STATE_CANCELLED

    async def test_what_has_ended_otherwise_cannot_be_cancelled(self, mesh: LocalMesh) -> None:
        task = await mesh.finished((await mesh.create(graphs.picture())).name)
        refusal = await refused(cancel(mesh, task.name))
        assert refusal.is_ == ("FAILED_PRECONDITION", "TASK_ALREADY_FINISHED")
        assert refusal.metadata == {"task": task.name, "state": "SUCCEEDED"}
        violation = refusal.details["PreconditionFailure"].violations[0]  # type: ignore[attr-defined]
        assert (violation.type, violation.subject) == ("TASK_ALREADY_FINISHED", task.name)

    async def test_higher_priority_runs_first(self, mesh: LocalMesh, busy: list[str]) -> None:
        low, high = await mesh.create(graphs.picture(), priority=-5), await mesh.create(graphs.picture(), priority=5)
        await finish(mesh, *busy)
        low, high = await mesh.finished(low.name), await mesh.finished(high.name)
        assert high.start_time.ToNanoseconds() < low.start_time.ToNanoseconds()


class TestCreatingOnce:
    async def test_the_same_request_answers_the_same_task(self, mesh: LocalMesh) -> None:
        request = CreateRequest(task=task_of(graphs.picture()), request_id=str(uuid4()))
        answers = await asyncio.gather(*(mesh.tasks.CreateTask(request) for _ in range(10)))
        (name,) = {answer.task.name for answer in answers}
        await mesh.finished(name)
        assert (await mesh.tasks.CreateTask(request)).task.state == State.STATE_SUCCEEDED
        assert (await mesh.get(name)).attempt == 1

    async def test_running_the_same_request_again_shows_the_task_as_it_is(self, mesh: LocalMesh) -> None:
        request = task_service_pb2.RunTaskRequest(
            task=task_of(graphs.picture()), request_id=str(uuid4()), include_artifacts=True
        )
        first = [message async for message in mesh.tasks.RunTask(request)]
        again = [message async for message in mesh.tasks.RunTask(request)]
        assert states_of(first)[0] == "QUEUED"
        assert states_of(again) == ["SUCCEEDED"]
        assert first[-1].artifact_chunks
        first[-1].ClearField("passed")  # What came before the end, if that came soon.
        assert again[-1] == first[-1]

    async def test_the_same_request_with_other_content_is_refused(self, mesh: LocalMesh) -> None:
        request = CreateRequest(task=task_of(graphs.picture()), request_id=str(uuid4()))
        name = (await mesh.tasks.CreateTask(request)).task.name
        request.task.priority = 7
        refusal = await refused(mesh.tasks.CreateTask(request))
        assert refusal.is_ == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
        assert refusal.metadata == {"task": name}
        assert (await mesh.get(name)).priority == 0

    @pytest.mark.parametrize("with_request_ids", [False, True])
    @pytest.mark.parametrize("same_content", [False, True])
    async def test_an_id_that_is_taken_is_refused(
        self, mesh: LocalMesh, *, with_request_ids: bool, same_content: bool
    ) -> None:
        task_id, graph = f"mine-{uuid4().hex}", graphs.picture()
        first, second = (str(uuid4()) if with_request_ids else "" for _ in range(2))
        await mesh.tasks.CreateTask(CreateRequest(task=task_of(graph), task_id=task_id, request_id=first))
        other = task_of(graph if same_content else graphs.picture())
        refusal = await refused(mesh.tasks.CreateTask(CreateRequest(task=other, task_id=task_id, request_id=second)))
        assert refusal.is_ == ("ALREADY_EXISTS", "TASK_ALREADY_EXISTS")
        assert refusal.metadata == {"task": f"tasks/{task_id}"}

    async def test_a_repeated_request_with_an_id_answers_its_task(self, mesh: LocalMesh) -> None:
        request = CreateRequest(task=task_of(graphs.picture()), task_id=f"mine-{uuid4().hex}", request_id=str(uuid4()))
        first, again = [(await mesh.tasks.CreateTask(request)).task for _ in range(2)]
        assert first.name == again.name == f"tasks/{request.task_id}"
        assert first.create_time == again.create_time

    async def test_a_request_id_makes_no_second_task_under_another_id(self, mesh: LocalMesh) -> None:
        request_id, graph = str(uuid4()), graphs.picture()
        ids = [f"mine-{uuid4().hex}" for _ in range(2)]
        requests = [CreateRequest(task=task_of(graph), task_id=task_id, request_id=request_id) for task_id in ids]
        first = (await mesh.tasks.CreateTask(requests[0])).task
        for _ in range(2):
            refusal = await refused(mesh.tasks.CreateTask(requests[1]))
            assert refusal.is_ == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
            assert refusal.metadata == {"task": first.name}
        assert (await mesh.tasks.CreateTask(requests[0])).task.name == first.name
        refusal = await refused(mesh.tasks.GetTask(task_service_pb2.GetTaskRequest(name=f"tasks/{ids[1]}")))
        assert refusal.is_ == ("NOT_FOUND", "TASK_NOT_FOUND")

    async def test_a_request_id_that_has_made_a_task_of_a_given_id_makes_none_without(self, mesh: LocalMesh) -> None:
        task_id = f"mine-{uuid4().hex}"
        request = CreateRequest(task=task_of(graphs.picture()), task_id=task_id, request_id=str(uuid4()))
        await mesh.tasks.CreateTask(request)
        request.ClearField("task_id")
        refusal = await refused(mesh.tasks.CreateTask(request))
        assert refusal.is_ == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
        assert refusal.metadata == {"task": f"tasks/{task_id}"}

    async def test_a_request_id_that_has_named_its_task_names_no_other(self, mesh: LocalMesh) -> None:
        request = CreateRequest(task=task_of(graphs.picture()), request_id=str(uuid4()))
        first = (await mesh.tasks.CreateTask(request)).task
        request.task_id = f"mine-{uuid4().hex}"
        refusal = await refused(mesh.tasks.CreateTask(request))
        assert refusal.is_ == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
        assert refusal.metadata == {"task": first.name}

    async def test_of_two_ids_for_one_request_id_at_once_one_wins(self, mesh: LocalMesh) -> None:
        request_id, graph = str(uuid4()), graphs.picture()
        calls = [
            mesh.tasks.CreateTask(
                CreateRequest(task=task_of(graph), task_id=f"mine-{uuid4().hex}", request_id=request_id)
            )
            for _ in range(5)
        ]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(outcome, task_service_pb2.CreateTaskResponse) for outcome in outcomes) == 1

    async def test_validating_makes_nothing(self, mesh: LocalMesh) -> None:
        task_id = f"mine-{uuid4().hex}"
        request = CreateRequest(task=task_of(graphs.picture()), task_id=task_id, validate_only=True)
        answer = await mesh.tasks.CreateTask(request)
        assert answer.task.name == f"tasks/{task_id}"
        refusal = await refused(mesh.tasks.GetTask(task_service_pb2.GetTaskRequest(name=answer.task.name)))
        assert refusal.is_ == ("NOT_FOUND", "TASK_NOT_FOUND")


async def test_the_sdk_brings_a_picture_and_tells_every_state(mesh: LocalMesh) -> None:
    told: list[str] = []
    async with AsyncClient(mesh.target) as client:
        result = await client.run(
            graphs.text_to_image(),
            {"5.seed": 2**64 - 1},
            on_event=lambda event: told.append(event.task.state) if isinstance(event, TaskChanged) else None,
        )
    assert is_course(told)
    assert result.artifacts[0].data.startswith(b"\x89PNG")
