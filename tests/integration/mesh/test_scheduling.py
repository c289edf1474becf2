"""Scheduling, seen from outside a real mesh: wishes, timing, why tasks wait, the policy and the queue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from comfymesh.cli.main import cli
from comfymesh.client import (
    AsyncClient,
    Conflict,
    InvalidRequest,
    NoFeasibleNode,
    Placement,
    RetryPolicy,
    Task,
    TaskState,
    Timing,
    Unavailable,
)
from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh, State
from comfymesh.testkit.waiting import until
from comfymesh.v1 import task_pb2

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOWHERE = Placement({"zone": "moon"}, min_vram_bytes=2**40, pool="video")


@pytest_asyncio.fixture(loop_scope="session")
async def waiting(mesh: LocalMesh) -> AsyncIterator[str]:
    """A task that waits, since every slot is taken for as long as the test runs; the scheduler has read of it."""
    nodes = await mesh.client.nodes()
    slots = sum(instance.slots for node in nodes for instance in node.instances)
    names = [(await mesh.create(graphs.steps(2000, 0.05), priority=100)).name for _ in range(slots)]
    for name in names:
        await mesh.until_state(name, State.STATE_ASSIGNED, State.STATE_RUNNING)
    names.append((await mesh.create(graphs.picture(), priority=-7)).name)

    async def seen() -> bool:
        return (await mesh.client.queue()).total.waiting_count == 1

    await until(seen, "the task in the scheduler's queue")
    yield names[-1]
    # The one that waits first: it would run once a slot is free, and have ended.
    for name in reversed(names):
        await mesh.client.cancel(name)
    for name in names:
        await mesh.finished(name)


@pytest_asyncio.fixture(loop_scope="session")
async def policy(mesh: LocalMesh) -> AsyncIterator[None]:
    """The policy goes back to its defaults after the test."""
    yield
    known = await mesh.client.policy()
    await mesh.client.update_policy(dict.fromkeys(known.settings), tenants=dict.fromkeys(known.tenants))


async def run(mesh: LocalMesh, *arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, cli, ["--target", mesh.target, *arguments])


async def test_a_wish_that_no_node_meets_is_refused_with_counts_and_what_is_lacking(mesh: LocalMesh) -> None:
    with pytest.raises(NoFeasibleNode) as refused:
        await mesh.client.create(graphs.picture(), placement=NOWHERE)
    metadata = dict(refused.value.metadata)
    assert {name: metadata.pop(name) for name in sorted(metadata) if not name.startswith("nodes/")} == {
        "filtered.labels": "1",
        "filtered.pool": "1",
        "filtered.vram": "1",
        "instances": "1",
    }
    (lack,) = metadata.values()
    assert "no label zone=moon" in lack
    assert "pool none, not video" in lack


async def test_a_wish_that_can_not_be_one_is_refused_with_all_violations(mesh: LocalMesh) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await mesh.client.create(graphs.picture(), placement=Placement({"NO": "x"}, "A B", -1, "über"))
    assert {violation.field for violation in refused.value.violations} == {
        "task.placement.labels[NO]",
        "task.placement.gpu_class",
        "task.placement.min_vram_bytes",
        "task.placement.pool",
    }


async def test_a_task_tells_where_its_time_went_and_its_instance_what_it_holds(mesh: LocalMesh) -> None:
    async def told() -> Timing | None:
        # An agent that stands still meanwhile does not see that a file is read.
        await mesh.kill_comfyui()
        timing = (await mesh.client.run(graphs.text_to_image(count=4))).task.timing
        return timing if timing is not None and timing.loaded_models else None

    timing = await until(told, "where the time went")
    assert timing.loaded_models == (graphs.CHECKPOINT,)
    assert timing.load.total_seconds() > 0
    assert timing.run.total_seconds() > 0

    async def held() -> bool:
        (node,) = await mesh.client.nodes()
        return graphs.CHECKPOINT in node.instances[0].resident_models

    await until(held, "the checkpoint in the report")


async def test_a_task_that_waits_says_why(mesh: LocalMesh, waiting: str) -> None:
    async def told() -> Task | None:
        # The api does not wait for a scheduler that takes a moment to say why.
        task = await mesh.client.get(waiting)
        return task if task.waiting is not None else None

    task = await until(told, "why it waits")
    assert task.state is TaskState.QUEUED
    assert task.waiting is not None
    assert task.waiting.reason
    assert task.waiting.instance_count == 1
    assert task.waiting.rejected


async def test_so_does_its_progress(mesh: LocalMesh, waiting: str) -> None:
    async for event in mesh.client.watch(waiting):
        progress = getattr(event, "progress", None)
        if progress is not None and progress.waiting is not None:
            assert progress.waiting.reason
            assert progress.queue_position == 1
            return
    pytest.fail("the watch ended")


async def test_the_queue_shows_what_waits_and_runs(mesh: LocalMesh, waiting: str) -> None:
    queue = await mesh.client.queue()
    assert queue.total.waiting_count == 1
    assert queue.total.running_count >= 1
    assert queue.total.oldest_create_time == (await mesh.client.get(waiting)).create_time
    assert queue.priorities[-7].waiting_count == 1
    assert sum(share.waiting_count for _, share in queue.model_sets) == 1
    (share,) = [share for share in queue.tenants.values() if share.waiting_count]
    assert share.oldest_create_time == queue.priorities[-7].oldest_create_time == queue.total.oldest_create_time
    for command in ("queue",), ("top", "--once"):
        shown = await run(mesh, *command)
        assert shown.exit_code == 0
        lines = [line.split() for line in shown.output.splitlines()]
        for part in ("all",), ("tenant", "default"), ("priority", "-7"), ("no", "models"):
            (told,) = [line for line in lines if tuple(line[: len(part)]) == part]
            assert told[len(part)] == "1"
            assert told[len(part) + 2] != "-"
            assert "+-" in told, "when the next is expected to begin"
    assert json.loads((await run(mesh, "queue", "--json")).output)["priorities"]["-7"]["waiting_count"] == 1


async def test_without_a_scheduler_tasks_are_accepted_and_the_queue_is_not_shown(mesh: LocalMesh) -> None:
    await mesh.hold("scheduler")
    try:
        task = await mesh.client.create(graphs.picture())
        assert (await mesh.client.get(task)).waiting is None
        async with AsyncClient(mesh.target, retries=RetryPolicy(patience=1)) as client:
            with pytest.raises(Unavailable) as refused:
                await client.queue()
        assert refused.value.reason == "SCHEDULER_UNAVAILABLE"
    finally:
        await mesh.release("scheduler")
    assert (await mesh.finished(task.name)).state == task_pb2.Task.STATE_SUCCEEDED


@pytest.mark.usefixtures("policy")
async def test_the_scheduler_follows_a_change_of_the_policy_also_after_its_restart(mesh: LocalMesh) -> None:
    changed = await run(mesh, "policy", "set", "affinity=false", "tenants.acme.weight=2")
    assert changed.exit_code == 0, changed.output
    policy = await mesh.client.policy()
    assert policy.settings["affinity"] is False
    assert policy.tenants["acme"] == {"weight": 2.0, "max_running": 0}

    async def followed() -> bool:
        return "affinity=False" in mesh.log("scheduler")

    await until(followed, "the policy in the scheduler's log")
    before = mesh.log("scheduler").count("affinity=False")
    await mesh.kill("scheduler")

    async def followed_again() -> bool:
        return mesh.log("scheduler").count("affinity=False") > before

    await until(followed_again, "the policy in the log of its next life")


@pytest.mark.usefixtures("policy")
async def test_a_wrong_change_of_the_policy_is_refused_and_changes_nothing(mesh: LocalMesh) -> None:
    before = await mesh.client.policy()
    with pytest.raises(InvalidRequest) as refused:
        await mesh.client.update_policy(tenants={"acme": {"weight": -1.0, "max_running": -1}})
    assert len(refused.value.violations) == 2
    with pytest.raises(InvalidRequest):
        await mesh.client.update_policy()
    await mesh.client.update_policy({"affinity": False}, etag=before.etag)
    with pytest.raises(Conflict) as stale:
        await mesh.client.update_policy({"affinity": True}, etag=before.etag)
    assert stale.value.reason == "ETAG_MISMATCH"
    wrong = await run(mesh, "policy", "set", "afinity=true")
    assert (wrong.exit_code, "affinity" in wrong.output) == (2, True)
    checked = await run(mesh, "policy", "set", "affinity=default", "--check", "--json")
    assert json.loads(checked.output)["settings"]["affinity"] is True
    assert (await mesh.client.policy()).settings["affinity"] is False
