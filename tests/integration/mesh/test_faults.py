"""Whatever is killed, nothing is lost: every task reaches its one final state, and whoever watches it sees how."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from comfymesh.client import AsyncClient, Event, Progressed, TaskChanged
from comfymesh.stack.mesh import free_port
from comfymesh.stack.processes import Program
from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh, State, is_course, local_mesh, states_of, task_of
from comfymesh.testkit.refusals import read_refusal, refused
from comfymesh.testkit.waiting import until
from comfymesh.v1 import error_reason_pb2, task_pb2, task_service_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

CreateRequest = task_service_pb2.CreateTaskRequest
GetRequest = task_service_pb2.GetTaskRequest


@pytest.fixture(scope="module")
def comfyui_url() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory, comfyui_url: str) -> AsyncIterator[LocalMesh]:
    """A mesh whose ComfyUI is not the agent's: it can be taken away for as long as a test likes."""
    directory, port = tmp_path_factory.mktemp("mesh"), comfyui_url.rpartition(":")[2]
    command = [sys.executable, "-m", "comfymesh.emulator", "--port", port, "--load-seconds", "0.01"]
    comfyui = Program("comfyui", [*command, "--base-directory", str(directory / "comfyui")])
    instance = {"name": "comfyui-0", "runtime": "attach", "url": comfyui_url}
    async with local_mesh(directory, instances=[instance], beside=[comfyui]) as up:
        yield up


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def _is_whole_again(mesh: LocalMesh) -> AsyncIterator[None]:
    """After each test everything is up, and one more task runs through."""
    yield
    await mesh.restore()
    await mesh.until_serving()
    task = await until(lambda: created(mesh), "a task that is accepted")
    assert (await mesh.finished(task.name)).state == State.STATE_SUCCEEDED
    for name in ("api", "scheduler", "agent"):
        assert "Traceback" not in mesh.log(name), f"{name} logged a defect: {mesh.log(name)[-3000:]}"


async def created(mesh: LocalMesh) -> task_pb2.Task | None:
    try:
        return await mesh.create(graphs.picture())
    except mesh.call_error:
        return None


async def running(mesh: LocalMesh, gate: graphs.Gate) -> str:
    """The name of a task that ComfyUI executes until the gate is open."""
    task = await mesh.create(graphs.gated(gate))
    await mesh.until_state(task.name, State.STATE_RUNNING)
    return task.name


async def instance_state(mesh: LocalMesh) -> str:
    nodes = await mesh.client.nodes()
    return str(nodes[0].instances[0].state)


class TestComfyUI:
    async def test_a_task_that_is_created_while_it_is_down_runs_when_it_is_back(self, mesh: LocalMesh) -> None:
        await mesh.hold("comfyui")
        await until(lambda: is_state(mesh, "DOWN"), "an instance that is shown as down")
        task = await mesh.create(graphs.picture())
        watching = asyncio.ensure_future(mesh.watch(task.name))
        assert (await mesh.get(task.name)).state == State.STATE_QUEUED
        await mesh.release("comfyui")
        assert states_of(await watching)[-1] == "SUCCEEDED"
        assert (await mesh.get(task.name)).attempt == 1

    async def test_a_task_in_it_is_tried_again_when_it_is_killed(self, mesh: LocalMesh, gate: graphs.Gate) -> None:
        task = await running(mesh, gate)
        watching = await mesh.watching(task)
        await mesh.kill("comfyui")
        gate.open()
        states = states_of(await watching)
        assert states[0] == "RUNNING"
        assert is_course(states[-1 - states[::-1].index("QUEUED") :])
        final = await mesh.get(task)
        assert final.attempt == 2
        assert not final.HasField("error")

    async def test_a_task_that_waits_at_it_is_handed_back_and_not_blamed(
        self, mesh: LocalMesh, gate: graphs.Gate
    ) -> None:
        first = await running(mesh, gate)
        second = await mesh.create(graphs.picture())
        await mesh.until_state(second.name, State.STATE_ASSIGNED)
        await mesh.kill("comfyui")
        gate.open()
        assert (await mesh.finished(second.name)).state == State.STATE_SUCCEEDED
        assert (await mesh.finished(first)).state == State.STATE_SUCCEEDED


class TestScheduler:
    async def test_killed_in_mid_run_it_loses_nothing(self, mesh: LocalMesh, gate: graphs.Gate) -> None:
        names = [await running(mesh, gate), *[(await mesh.create(graphs.picture())).name for _ in range(5)]]
        watching = [await mesh.watching(name) for name in names]
        await mesh.kill("scheduler")
        gate.open()
        for name, messages in zip(names, await asyncio.gather(*watching), strict=True):
            assert is_course(states_of(messages))
            assert (await mesh.get(name)).attempt == 1

    async def test_while_it_is_away_tasks_are_accepted_and_wait(self, mesh: LocalMesh) -> None:
        await mesh.hold("scheduler")
        names = [(await mesh.create(graphs.picture())).name for _ in range(3)]
        assert {(await mesh.get(name)).state for name in names} == {State.STATE_QUEUED}
        cancelled = await mesh.tasks.CancelTask(task_service_pb2.CancelTaskRequest(name=names[0]))
        assert cancelled.task.state == State.STATE_CANCELLED
        await mesh.release("scheduler")
        for name in names[1:]:
            assert (await mesh.finished(name)).state == State.STATE_SUCCEEDED
        assert not (await mesh.get(names[0])).HasField("start_time")


class TestApi:
    async def test_a_client_that_watches_sees_every_state_once_though_it_is_killed(
        self, mesh: LocalMesh, gate: graphs.Gate
    ) -> None:
        told: list[Event] = []
        async with AsyncClient(mesh.target) as client:
            run = asyncio.ensure_future(client.run(graphs.gated(gate), on_event=told.append))
            await until(lambda: any(isinstance(event, Progressed) for event in told), "progress")
            await mesh.kill("api")
            gate.open()
            result = await run
        assert is_course(changes := [event.task.state for event in told if isinstance(event, TaskChanged)])
        assert changes[0] == "QUEUED"
        assert result.artifacts[0].data.startswith(b"\x89PNG")
        fractions = [e.progress.fraction for e in told if isinstance(e, Progressed) and e.progress.attempt == 1]
        assert fractions == sorted(fractions)

    async def test_asked_to_end_it_sends_its_watchers_elsewhere_with_their_tokens(
        self, mesh: LocalMesh, gate: graphs.Gate
    ) -> None:
        name = await running(mesh, gate)
        call = mesh.tasks.WatchTask(task_service_pb2.WatchTaskRequest(name=name))
        token = (await call.read()).resume_token
        ending = asyncio.ensure_future(mesh.terminate("api"))
        told: list[str] = []
        refusal = await refused(read_tokens(call, told))
        token = told[-1] if told else token
        assert refusal.is_ == ("UNAVAILABLE", "SERVER_DRAINING")
        assert refusal.retry_seconds > 0
        assert await ending == 0
        await mesh.until_serving()
        gate.open()
        assert states_of(await mesh.watch(name, resume_token=token)) == ["SUCCEEDED"]

    async def test_an_upload_goes_on_when_it_is_back(self, mesh: LocalMesh, tmp_path: Path) -> None:
        data, killing = os.urandom(12_000_000), list[asyncio.Future[None]]()

        def told(done: int, _whole: int) -> None:
            if done > 9_000_000 and not killing:  # of the parts of 4 MiB one is stored, or two
                killing.append(asyncio.ensure_future(mesh.kill("api")))

        asset = await mesh.client.upload(data, on_progress=told)
        await asyncio.gather(*killing)
        path = await mesh.client.download(asset, tmp_path)
        assert path.read_bytes() == data
        assert killing


class TestNats:
    async def test_while_it_is_away_calls_are_refused_and_later_repeated(
        self, mesh: LocalMesh, gate: graphs.Gate
    ) -> None:
        name = await running(mesh, gate)
        request = CreateRequest(task=task_of(graphs.picture()), request_id=str(uuid4()))
        await mesh.hold("nats")
        for call in (
            mesh.tasks.CreateTask(request),
            mesh.tasks.GetTask(GetRequest(name=name)),
            mesh.tasks.CancelTask(task_service_pb2.CancelTaskRequest(name=name)),
            mesh.tasks.WatchTask(task_service_pb2.WatchTaskRequest(name=name)).read(),
        ):
            refusal = await refused(call)
            assert refusal.is_ == ("UNAVAILABLE", "BUS_UNAVAILABLE")
            assert refusal.retry_seconds > 0
        gate.open()
        await mesh.release("nats")
        answer = await until(lambda: answered(mesh, request), "an answer after the outage")
        assert (await mesh.finished(answer.task.name)).state == State.STATE_SUCCEEDED
        final = await mesh.finished(name)
        assert (final.state, final.attempt) == (State.STATE_SUCCEEDED, 1)

    async def test_what_comes_to_its_end_meanwhile_is_written_when_it_is_back(
        self, mesh: LocalMesh, comfyui_url: str, gate: graphs.Gate
    ) -> None:
        name = await running(mesh, gate)
        waiting = [(await mesh.create(graphs.picture())).name for _ in range(3)]
        await mesh.hold("nats")
        gate.open()
        await until(lambda: is_idle(mesh, comfyui_url), "a ComfyUI that has done its work")
        await mesh.release("nats")
        for task in (name, *waiting):
            final = await mesh.finished(task)
            assert (final.state, final.attempt) == (State.STATE_SUCCEEDED, 1)

    async def test_a_client_that_watches_is_told_the_end_though_it_was_away(
        self, mesh: LocalMesh, gate: graphs.Gate
    ) -> None:
        told: list[Event] = []
        async with AsyncClient(mesh.target) as client:
            run = asyncio.ensure_future(client.run(graphs.gated(gate), on_event=told.append))
            await until(lambda: any(isinstance(event, Progressed) for event in told), "progress")
            await mesh.kill("nats")
            gate.open()
            await run
        assert is_course(changes := [event.task.state for event in told if isinstance(event, TaskChanged)])
        assert changes[0] == "QUEUED"

    async def test_every_task_survives_a_restart_of_everything(self, mesh: LocalMesh) -> None:
        labels = {"run": uuid4().hex}
        names = [(await mesh.create(graphs.steps(10, 0.03), labels=labels)).name for _ in range(5)]
        for name in ("agent", "api", "scheduler", "nats"):
            mesh.process(name).kill()
        for name in names:
            assert (await mesh.finished(name)).state == State.STATE_SUCCEEDED
        page = await mesh.tasks.ListTasks(task_service_pb2.ListTasksRequest(labels=labels))
        assert sorted(task.name for task in page.tasks) == sorted(names)


class TestAgent:
    async def test_killed_in_mid_run_its_next_life_goes_on_with_the_same_attempt(
        self, mesh: LocalMesh, gate: graphs.Gate
    ) -> None:
        names = [await running(mesh, gate), (await mesh.create(graphs.picture())).name]
        await mesh.until_state(names[1], State.STATE_ASSIGNED)
        watching = await mesh.watching(names[0])
        await mesh.kill("agent")
        gate.open()
        messages = await watching
        assert states_of(messages) == ["RUNNING", "SUCCEEDED"]
        told = [m.progress.fraction for m in messages if m.HasField("progress")]
        assert told == sorted(told)
        for name in names:
            assert (await mesh.finished(name)).attempt == 1

    async def test_what_ended_while_it_was_away_is_collected_by_its_next_life(
        self, mesh: LocalMesh, comfyui_url: str, gate: graphs.Gate
    ) -> None:
        name = await running(mesh, gate)
        await mesh.hold("agent")
        gate.open()
        await until(lambda: is_idle(mesh, comfyui_url), "a ComfyUI that has done its work")
        await mesh.release("agent")
        final = await mesh.finished(name)
        assert (final.state, final.attempt, len(final.artifacts)) == (State.STATE_SUCCEEDED, 1, 1)

    async def test_a_task_that_was_cancelled_while_it_was_away_is_stopped_by_its_next_life(
        self, mesh: LocalMesh, gate: graphs.Gate
    ) -> None:
        name = await running(mesh, gate)
        await mesh.hold("agent")
        await mesh.tasks.CancelTask(task_service_pb2.CancelTaskRequest(name=name))
        await mesh.release("agent")
        assert (await mesh.finished(name)).state == State.STATE_CANCELLED


async def test_the_instance_of_an_agent_that_is_killed_lives_on_and_is_adopted(
    tmp_path: Path, gate: graphs.Gate
) -> None:
    async with local_mesh(tmp_path) as mesh:
        name = await running(mesh, gate)
        pid, _ = mesh.comfyui()
        await mesh.kill("agent")
        gate.open()
        final = await mesh.finished(name)
        assert (final.state, final.attempt) == (State.STATE_SUCCEEDED, 1)
        assert mesh.comfyui()[0] == pid
        os.kill(pid, signal.SIGKILL)
        await until(lambda: mesh.comfyui()[0] not in {0, pid}, "a new instance")
        task = await mesh.create(graphs.picture())
        assert (await mesh.finished(task.name)).state == State.STATE_SUCCEEDED


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalMesh]:
    """A mesh with two nodes, whose loss is noticed soon."""
    environment = {"COMFYMESH_SCHEDULER_REPORT_TTL": "10", "COMFYMESH_AGENT_REPORT_SECONDS": "0.5"}
    async with local_mesh(tmp_path_factory.mktemp("pair"), agents=2, environment=environment) as up:
        yield up


class TestTwoNodes:
    async def test_one_that_is_lost_gives_its_tasks_to_the_other_and_ends_nothing_when_it_returns(
        self, pair: LocalMesh, gate: graphs.Gate
    ) -> None:
        task = await pair.create(graphs.gated(gate))
        first = await pair.until_state(task.name, State.STATE_RUNNING)
        lost = f"agent-{first.node[-1]}"
        watching = await pair.watching(task.name)
        await pair.hold(lost)
        gate.open()
        _, url = pair.comfyui(int(first.node[-1]))
        await until(lambda: is_idle(pair, url), "a ComfyUI that has done its work, of which nobody knows")
        gate.close()
        second = await until(lambda: attempt(pair, task.name, 2), "the second attempt")
        assert second.node != first.node
        await pair.release(lost)
        await pair.until_serving(2)
        gate.open()
        before, *states = states_of(await watching)
        assert (before, states[0]) == ("RUNNING", "QUEUED")
        assert is_course(states)
        assert (await pair.get(task.name)).node == second.node

    async def test_a_graph_that_kills_every_comfyui_is_given_up(self, pair: LocalMesh) -> None:
        await pair.until_serving(2)
        task = await pair.create(graphs.raising("os_exit"))
        final = await pair.finished(task.name)
        assert final.state == State.STATE_FAILED
        assert final.error.reason == error_reason_pb2.ERROR_REASON_INSTANCE_LOST
        assert "poison: 3 instances" in final.state_reason
        letter = await pair.client.dead_letter(task.name)
        assert len(letter.failures) == 3
        both = {node.name for node in await pair.client.nodes()}
        assert {failure.node for failure in letter.failures} == both


async def test_without_a_node_a_task_is_refused_at_first_with_the_advice_to_wait(tmp_path: Any) -> None:
    async with local_mesh(tmp_path) as mesh:
        await mesh.hold("agent")
        await mesh.kill("nats")  # Reports are in its memory: now nobody knows of any node.
        await mesh.kill("api")
        refusal = await until(lambda: refused_at_last(mesh), "an API that is up")
        assert refusal.is_ == ("UNAVAILABLE", "NO_FEASIBLE_NODE")
        assert refusal.retry_seconds > 0
        await mesh.release("agent")
        await mesh.until_serving()
        task = await until(lambda: created(mesh), "a task that is accepted")
        assert (await mesh.finished(task.name)).state == State.STATE_SUCCEEDED


async def read_tokens(call: Any, told: list[str]) -> None:
    while True:
        told.append((await call.read()).resume_token)


async def is_state(mesh: LocalMesh, state: str) -> bool:
    return await instance_state(mesh) == state


async def answered(mesh: LocalMesh, request: CreateRequest) -> task_service_pb2.CreateTaskResponse | None:
    try:
        answer: task_service_pb2.CreateTaskResponse = await mesh.tasks.CreateTask(request)
    except mesh.call_error:
        return None
    return answer


async def attempt(mesh: LocalMesh, name: str, number: int) -> task_pb2.Task | None:
    task = await mesh.get(name)
    return task if task.attempt == number else None


async def refused_at_last(mesh: LocalMesh) -> Any:
    """How a task is refused by the API itself, once it listens and has found the bus."""
    try:
        refusal = read_refusal((await failing(mesh)).value)
    except AssertionError:
        return None  # gRPC's own words: nobody listens yet
    return None if refusal.reason == "BUS_UNAVAILABLE" else refusal


async def failing(mesh: LocalMesh) -> Any:
    with pytest.raises(mesh.call_error) as failed:
        await mesh.create(graphs.picture())
    return failed


async def is_idle(mesh: LocalMesh, url: str) -> bool:
    return await mesh.comfyui_queue(url) == (0, 0)
