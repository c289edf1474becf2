"""Every way in which a ComfyUI fails: seen, classed and healed, on a real mesh. docs/failures.md is the list."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from comfymesh.stack.mesh import emulated
from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh, State, local_mesh, task_of
from comfymesh.testkit.waiting import until
from comfymesh.v1 import error_reason_pb2, task_pb2, task_service_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENVIRONMENT = {
    "COMFYMESH_AGENT_STALL_SECONDS": "4",
    "COMFYMESH_AGENT_STALL_FLOOR_SECONDS": "4",
    "COMFYMESH_AGENT_GRACE_SECONDS": "0.4",
    "COMFYMESH_AGENT_UNANSWERED_SECONDS": "6",
    "COMFYMESH_AGENT_QUARANTINE_FAULTS": "1000",
    "COMFYMESH_AGENT_BACKOFF_SECONDS": "0.2",
}
FAILED = {State.STATE_QUEUED, State.STATE_FAILED}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalMesh]:
    """A mesh with one emulator and little patience."""
    instance = emulated("--step-seconds", "0.01", "--load-seconds", "0.01")
    directory = tmp_path_factory.mktemp("mesh")
    async with local_mesh(directory, instances=[instance], environment=ENVIRONMENT) as up:
        yield up


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def _is_well_again(mesh: LocalMesh) -> AsyncIterator[None]:
    """After each test the instance serves, and one more task runs through at its first attempt."""
    yield
    await mesh.until_serving()
    await with_faults(mesh)
    task = await mesh.create(graphs.picture())
    final = await mesh.finished(task.name)
    assert (final.state, final.attempt) == (State.STATE_SUCCEEDED, 1)
    assert "Traceback" not in mesh.log("agent"), mesh.log("agent")[-3000:]


@dataclass
class Course:
    """What a task went through.

    Attributes:
        task: As it stands in the end.
        failed: Why attempts of it failed, in order.
        tails: The last words that came with these.
    """

    task: task_pb2.Task
    failed: list[str] = field(default_factory=list)
    tails: list[str] = field(default_factory=list)

    @property
    def end(self) -> tuple[str, int]:
        """State and number of attempts."""
        return State.Name(self.task.state).removeprefix("STATE_"), self.task.attempt


async def with_faults(mesh: LocalMesh, **faults: float) -> None:
    """Switch on exactly these faults, in whichever emulator runs now, or comes next."""

    async def taken() -> bool:
        try:
            async with (
                aiohttp.ClientSession() as http,
                http.post(f"{mesh.comfyui()[1]}/emulator/faults", json=faults) as answer,
            ):
                return answer.status == 200
        except aiohttp.ClientError:
            return False  # What is told of it is older: it is just being started again.

    await until(taken, "an emulator that takes its faults")


async def course(mesh: LocalMesh, graph: graphs.Graph, **fields: Any) -> Course:
    """Run a graph to whichever end. It is watched from its creation on: its first attempt may fail in a moment."""
    call = mesh.tasks.RunTask(task_service_pb2.RunTaskRequest(task=task_of(graph, **fields)))
    return await _course(mesh, [message async for message in call])


async def course_of(mesh: LocalMesh, name: str) -> Course:
    """What becomes of a task from now on."""
    return await _course(mesh, await mesh.watch(name))


async def _course(mesh: LocalMesh, messages: Sequence[Any]) -> Course:
    changed = [message for message in messages if message.HasField("task")]
    tasks = [task for message in changed for task in (*getattr(message, "passed", ()), message.task)]
    failed = [task.error for task in tasks if task.state in FAILED and task.HasField("error")]
    reasons = [error_reason_pb2.ErrorReason.Name(error.reason) for error in failed]
    tails = [error.log_tail for error in failed]
    return Course(await mesh.get(tasks[0].name), [reason.removeprefix("ERROR_REASON_") for reason in reasons], tails)


class TestStuck:
    async def test_a_dead_worker_behind_healthy_http_is_started_again(self, mesh: LocalMesh) -> None:
        pid, _ = mesh.comfyui()
        await with_faults(mesh, dead_worker=1)
        ran = await course(mesh, graphs.steps())
        assert (ran.end, ran.failed) == (("SUCCEEDED", 2), ["STALLED"])
        assert mesh.comfyui()[0] != pid
        assert "To see the GUI go to" in ran.tails[0]

    async def test_what_waits_behind_a_dead_worker_is_handed_back_and_not_blamed(self, mesh: LocalMesh) -> None:
        await with_faults(mesh, dead_worker=1)
        first = await mesh.create(graphs.steps())
        await mesh.until_state(first.name, State.STATE_RUNNING, State.STATE_SUCCEEDED)
        waiting = await course(mesh, graphs.picture())
        assert (waiting.end[0], waiting.failed) == ("SUCCEEDED", [])
        assert (await mesh.finished(first.name)).state == State.STATE_SUCCEEDED

    async def test_a_step_that_stalls_costs_its_instance_and_is_tried_again(self, mesh: LocalMesh) -> None:
        pid, _ = mesh.comfyui()
        await with_faults(mesh, stall_in_step=600)
        ran = await course(mesh, graphs.steps())
        assert (ran.end, ran.failed) == (("SUCCEEDED", 2), ["STALLED"])
        assert mesh.comfyui()[0] != pid

    async def test_a_step_that_is_slow_for_its_kind_but_goes_on_is_left_alone(self, mesh: LocalMesh) -> None:
        await with_faults(mesh, stall_in_step=1)
        assert (await course(mesh, graphs.steps())).end == ("SUCCEEDED", 1)

    async def test_an_interrupt_that_is_ignored_ends_with_a_restart(self, mesh: LocalMesh) -> None:
        pid, _ = mesh.comfyui()
        await with_faults(mesh, ignored_interrupt=1)
        task = await mesh.create(graphs.steps(2000, 0.05))
        await mesh.until_state(task.name, State.STATE_RUNNING)
        await mesh.tasks.CancelTask(task_service_pb2.CancelTaskRequest(name=task.name))
        assert (await course_of(mesh, task.name)).end == ("CANCELLED", 1)
        assert mesh.comfyui()[0] != pid

    async def test_a_timeout_that_is_ignored_ends_as_a_timeout(self, mesh: LocalMesh) -> None:
        await with_faults(mesh, ignored_interrupt=1)
        graph = graphs.steps(2000, 0.05)
        timeout = task_pb2.Task().execution_timeout
        timeout.FromMilliseconds(500)
        ran = await course(mesh, graph, execution_timeout=timeout)
        assert (ran.end, ran.failed) == (("FAILED", 1), ["TIMEOUT"])

    async def test_an_interpreter_that_is_held_is_not_called_dead(self, mesh: LocalMesh) -> None:
        pid, _ = mesh.comfyui()
        await with_faults(mesh, slow_steps=0.5)
        task = await mesh.create(graphs.steps(20, 0.05))
        await mesh.until_state(task.name, State.STATE_RUNNING)
        await with_faults(mesh, http_stall=1)
        assert (await course_of(mesh, task.name)).end == ("SUCCEEDED", 1)
        assert mesh.comfyui()[0] == pid

    async def test_a_server_that_answers_nothing_for_too_long_is_started_again(self, mesh: LocalMesh) -> None:
        pid, _ = mesh.comfyui()
        await with_faults(mesh, slow_steps=0.5)
        task = await mesh.create(graphs.steps(100, 0.02))
        await mesh.until_state(task.name, State.STATE_RUNNING)
        os.kill(pid, signal.SIGSTOP)
        ran = await course_of(mesh, task.name)
        assert (ran.end, ran.failed) == (("SUCCEEDED", 2), ["INSTANCE_LOST"])
        assert mesh.comfyui()[0] != pid


class TestSockets:
    @pytest.mark.parametrize("fault", ["deaf_socket", "silent_socket", "stuck_reader"])
    async def test_a_socket_that_says_nothing_is_replaced_and_costs_no_task(self, mesh: LocalMesh, fault: str) -> None:
        before = mesh.log("agent").count("comfyui_socket_reset")
        await with_faults(mesh, **{fault: 5})
        ran = await course(mesh, graphs.steps(10, 0.2))
        assert ran.end == ("SUCCEEDED", 1)
        assert "no event told" in ran.task.state_reason
        await until(lambda: mesh.log("agent").count("comfyui_socket_reset") > before, "a socket that is replaced")

    async def test_no_socket_at_all_costs_no_task_that_runs(self, mesh: LocalMesh) -> None:
        task = await mesh.create(graphs.steps(20, 0.05))
        # No longer than what counts as a stall; so it may be over, on a busy machine, before it was seen to run.
        await mesh.until_state(task.name, State.STATE_RUNNING, State.STATE_SUCCEEDED)
        await with_faults(mesh, refuse_ws=1, deaf_socket=1)
        assert (await course_of(mesh, task.name)).end == ("SUCCEEDED", 1)


class TestMemoryAndDevices:
    @pytest.mark.parametrize("spelling", [0, 2, 6, 14])
    async def test_out_of_memory_frees_memory_and_is_tried_again(self, mesh: LocalMesh, spelling: int) -> None:
        before = mesh.log("agent").count("instance_free")
        await with_faults(mesh, out_of_memory=spelling)
        ran = await course(mesh, graphs.picture())
        assert (ran.end, ran.failed) == (("SUCCEEDED", 2), ["OUT_OF_MEMORY"])
        await until(lambda: mesh.log("agent").count("instance_free") > before, "memory that is freed")

    async def test_a_sticky_device_error_recycles_the_instance(self, mesh: LocalMesh) -> None:
        pid, _ = mesh.comfyui()
        await with_faults(mesh, device_fault=1)
        ran = await course(mesh, graphs.picture())
        assert (ran.end, ran.failed) == (("SUCCEEDED", 2), ["DEVICE_FAULT"])
        assert mesh.comfyui()[0] != pid


class TestOutputs:
    async def test_partial_outputs_are_a_failure_unless_the_caller_allows_them(self, mesh: LocalMesh) -> None:
        graph = graphs.picture()
        graph["8"] = graphs.node("PreviewImage", images=["1", 0])
        await with_faults(mesh, partial_outputs=1)
        refused = await course(mesh, graph)
        assert (refused.end, refused.failed) == (("FAILED", 1), ["PARTIAL_OUTPUTS"])
        assert "graph node 9" in refused.task.error.message
        allowed = await course(mesh, graph, allow_partial_outputs=True)
        assert (allowed.end, len(allowed.task.artifacts)) == (("SUCCEEDED", 1), 1)

    @pytest.mark.parametrize("fault", ["empty_outputs", "vanished_files"])
    async def test_outputs_that_are_not_there_are_made_once_more(self, mesh: LocalMesh, fault: str) -> None:
        await with_faults(mesh, **{fault: 1})
        ran = await course(mesh, graphs.picture())
        assert (ran.end, ran.failed) == (("FAILED", 2), ["OUTPUT_LOST", "OUTPUT_LOST"])

    async def test_temporary_files_that_another_instance_wipes_are_made_once_more(self, mesh: LocalMesh) -> None:
        """ComfyUI protocol notes, section 13.8."""
        await with_faults(mesh, wiped_temp=1)
        graph = graphs.picture()
        graph["2"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
        ran = await course(mesh, graph)
        assert (ran.end, ran.failed) == (("SUCCEEDED", 2), ["OUTPUT_LOST"])


class TestGone:
    async def test_a_server_that_exits_in_mid_run_is_started_again(self, mesh: LocalMesh) -> None:
        pid, _ = mesh.comfyui()
        await with_faults(mesh, exit_mid_run=2)
        ran = await course(mesh, graphs.steps())
        assert (ran.end, ran.failed) == (("SUCCEEDED", 2), ["INSTANCE_LOST"])
        assert mesh.comfyui()[0] != pid

    async def test_output_that_ends_the_server_is_given_up_in_the_end(self, mesh: LocalMesh) -> None:
        """ComfyUI protocol notes, section 13.5."""
        graph = graphs.picture()
        graph["9"] = {"class_type": "ProbeUI", "inputs": {"image": ["1", 0], "kind": "not_json", "nonce": "n"}}
        ran = await course(mesh, graph)
        assert ran.end[0] == "FAILED"
        assert set(ran.failed) == {"INSTANCE_LOST"}
        # The task was told as failed before the next ComfyUI is there; what ends well shows that it is.
        assert (await course(mesh, graphs.picture())).end[0] == "SUCCEEDED"

    async def test_a_restart_that_forgets_everything_is_found_out(self, mesh: LocalMesh) -> None:
        await with_faults(mesh, slow_steps=0.5)
        task = await mesh.create(graphs.steps(100, 0.02))
        await mesh.until_state(task.name, State.STATE_RUNNING)
        waiting = await mesh.create(graphs.picture())
        await mesh.until_state(waiting.name, State.STATE_ASSIGNED)
        await with_faults(mesh, forgetful_restart=0)
        ran = await course_of(mesh, task.name)
        assert (ran.end, ran.failed) == (("SUCCEEDED", 2), ["INSTANCE_LOST"])
        behind = await course_of(mesh, waiting.name)
        assert (behind.end[0], behind.failed) == ("SUCCEEDED", [])

    @pytest.mark.parametrize("seconds", [-86400, 86400])
    async def test_a_clock_that_jumps_is_no_harm(self, mesh: LocalMesh, seconds: int) -> None:
        await with_faults(mesh, clock_jump=seconds)
        assert (await course(mesh, graphs.steps(20, 0.02))).end == ("SUCCEEDED", 1)
