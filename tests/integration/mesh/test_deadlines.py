"""Deadlines of tasks: by when they must have begun, and how long they may execute."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration

from comfymesh.client import TaskExpired
from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh, State, states_of, task_of
from comfymesh.testkit.refusals import refused
from comfymesh.testkit.waiting import until
from comfymesh.v1 import error_reason_pb2, task_pb2, task_service_pb2

pytestmark = pytest.mark.asyncio(loop_scope="session")


def seconds(count: float) -> Duration:
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=count))
    return duration


@pytest_asyncio.fixture(loop_scope="session")
async def busy(mesh: LocalMesh) -> AsyncIterator[None]:
    """Every slot is taken for as long as the test runs: one executes, the others look ahead."""
    nodes = await mesh.client.nodes()
    slots = sum(instance.slots for node in nodes for instance in node.instances)
    names = [(await mesh.create(graphs.steps(2000, 0.05), priority=100)).name for _ in range(slots)]
    for name in names:
        await mesh.until_state(name, State.STATE_ASSIGNED, State.STATE_RUNNING)
    yield
    for name in names:
        await mesh.client.cancel(name)
    for name in names:
        await mesh.finished(name)


async def has_passed(moment: datetime) -> bool:
    return datetime.now(UTC) > moment


@pytest.mark.usefixtures("busy")
async def test_a_task_that_gets_no_slot_in_time_expires_and_says_what_to_do(mesh: LocalMesh) -> None:
    request = task_service_pb2.RunTaskRequest(task=task_of(graphs.picture(), start_timeout=seconds(0.5)))
    messages = [message async for message in mesh.tasks.RunTask(request)]
    assert states_of(messages) == ["QUEUED", "EXPIRED"]
    final = await mesh.get(messages[0].task.name)
    assert final.error.reason == error_reason_pb2.ERROR_REASON_EXPIRED
    assert "start_timeout" in final.error.message
    assert final.state_reason == "no attempt had begun 0.5 s after its creation"
    assert (final.attempt, final.start_timeout) == (0, seconds(0.5))
    assert final.HasField("end_time")


@pytest.mark.usefixtures("busy")
async def test_who_runs_such_a_task_is_told_by_an_error_of_its_own(mesh: LocalMesh) -> None:
    with pytest.raises(TaskExpired) as raised:
        await mesh.client.run(graphs.picture(), start_timeout=timedelta(seconds=0.5))
    assert raised.value.reason == "EXPIRED"


@pytest.mark.usefixtures("busy")
async def test_it_expires_though_the_scheduler_is_killed_meanwhile(mesh: LocalMesh) -> None:
    task = await mesh.create(graphs.picture(), start_timeout=seconds(1.0))
    await mesh.kill("scheduler")
    assert (await mesh.finished(task.name)).state == State.STATE_EXPIRED


@pytest.mark.usefixtures("busy")
async def test_it_expires_though_nobody_schedules_when_its_time_passes(mesh: LocalMesh) -> None:
    await mesh.hold("scheduler")
    task = await mesh.create(graphs.picture(), start_timeout=seconds(0.2))
    await until(lambda: has_passed(task.create_time.ToDatetime(UTC) + timedelta(seconds=0.2)), "its deadline")
    assert (await mesh.get(task.name)).state == State.STATE_QUEUED
    await mesh.release("scheduler")
    assert (await mesh.finished(task.name)).state == State.STATE_EXPIRED


async def begun_in_time(mesh: LocalMesh, gate: graphs.Gate) -> task_pb2.Task:
    """A task that has begun before its deadline: within a few seconds, or what a busy machine needs."""
    for limit in (3, 6, 12, 24):
        task = await mesh.create(graphs.gated(gate), start_timeout=seconds(limit))
        task = await mesh.until_state(task.name, State.STATE_RUNNING, State.STATE_EXPIRED)
        if task.state == State.STATE_RUNNING:
            return task
    raise AssertionError(f"it never began in time: {task}")


def deadline_of(task: task_pb2.Task) -> datetime:
    return task.create_time.ToDatetime(UTC) + task.start_timeout.ToTimedelta()


async def test_a_task_that_began_in_time_may_take_as_long_as_it_likes(mesh: LocalMesh, gate: graphs.Gate) -> None:
    task = await begun_in_time(mesh, gate)
    await until(lambda: has_passed(deadline_of(task)), "a deadline that has passed")
    gate.open()
    final = await mesh.finished(task.name)
    assert (final.state, final.attempt) == (State.STATE_SUCCEEDED, 1)
    assert final.end_time.ToDatetime(UTC) > deadline_of(task)


async def test_a_task_whose_attempt_began_and_was_lost_is_tried_again_after_its_deadline(
    mesh: LocalMesh, gate: graphs.Gate
) -> None:
    task = await begun_in_time(mesh, gate)
    await mesh.hold("scheduler")
    os.kill(mesh.comfyui()[0], signal.SIGKILL)
    await until(lambda: has_passed(deadline_of(task)), "a deadline that has passed")
    gate.open()
    await mesh.release("scheduler")
    final = await mesh.finished(task.name)
    assert (final.state, final.attempt) == (State.STATE_SUCCEEDED, 2)


async def test_a_task_that_executes_for_too_long_is_interrupted_and_has_failed(mesh: LocalMesh) -> None:
    task = await mesh.create(graphs.steps(2000, 0.05), execution_timeout=seconds(0.5))
    final = await mesh.finished(task.name)
    assert (final.state, final.attempt) == (State.STATE_FAILED, 1)
    assert final.error.reason == error_reason_pb2.ERROR_REASON_TIMEOUT
    assert "0.5 s" in final.error.message
    assert (await mesh.finished((await mesh.create(graphs.picture())).name)).state == State.STATE_SUCCEEDED


@pytest.mark.parametrize("wrong", [0.0, -1.0, 31 * 86400.0])
async def test_every_deadline_out_of_bounds_is_named_at_once(mesh: LocalMesh, wrong: float) -> None:
    refusal = await refused(
        mesh.create(graphs.picture(), start_timeout=seconds(wrong), execution_timeout=seconds(wrong))
    )
    assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
    assert set(refusal.violations) == {"task.execution_timeout", "task.start_timeout"}
