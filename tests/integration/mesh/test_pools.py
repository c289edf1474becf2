"""A pool of a real node: scaled from nothing and back, given other settings while it runs, renewed one by one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from click.testing import CliRunner

from comfymesh.agent.reload_command import reload
from comfymesh.agent.settings import AgentSettings
from comfymesh.cli.main import cli
from comfymesh.client import Instance, InstanceState, Node, Placement, Pool
from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh, State, local_mesh
from comfymesh.testkit.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

BIG = Placement(labels={"tier": "big"}, pool="big")
AHEAD = "ahead.safetensors"
"""A checkpoint that no pool loads by its settings."""
STOPPED, READY = InstanceState.STOPPED, InstanceState.READY


def pool(*arguments: str, **changes: Any) -> dict[str, Any]:
    emulator = {"runtime": "process", "command": [sys.executable, "-m", "comfymesh.emulator"]}
    arguments = ("--step-seconds", "0.01", "--load-seconds", "0.01", "--model", f"checkpoints/{AHEAD}=0.3", *arguments)
    return {
        "name": "big",
        "instance": {**emulator, "arguments": arguments},
        "min": 0,
        "max": 2,
        "idle_seconds": 4.0,
        "queue_seconds": 0,
        "labels": {"tier": "big"},
        "preload": [{"node_class": "CheckpointLoaderSimple", "input": "ckpt_name", "name": graphs.CHECKPOINT}],
        **changes,
    }


class Settings:
    """The settings of the mesh's agent, which a test may change."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "agent.env"
        warm_up = directory / "warm-up.json"
        warm_up.write_text(graphs.text(graphs.picture()))
        self.pool = pool(warm_up=str(warm_up))

    def environment(self, **changes: str) -> dict[str, str]:
        pools = {"AGENT_POOLS": json.dumps([self.pool]), "AGENT_RELOAD_FILE": str(self.file)}
        small = {"AGENT_MEMORY_RESERVE_BYTES": "0", "AGENT_REPORT_SECONDS": "0.5"}
        return {f"COMFYMESH_{name}": value for name, value in {**pools, **small, **changes}.items()}

    async def reload(self, mesh: LocalMesh, **changes: str) -> list[tuple[str, str]]:
        """Have the agent read its settings again; answers the outcome and what the command says."""
        pid = mesh.process("agent").pid
        own = await asyncio.to_thread(_environment, pid)
        text = "".join(f"{name}={value}\n" for name, value in {**own, **self.environment(**changes)}.items())
        found = await asyncio.to_thread(reload, text, AgentSettings(agent_reload_file=self.file), pid)
        return [(finding.outcome.value, finding.found) for finding in found]


def _environment(pid: int) -> dict[str, str]:
    """The settings with which a process was started."""
    lines = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(line.split("=", 1) for line in lines if line.startswith("COMFYMESH_"))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(tmp_path_factory.mktemp("settings"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalMesh]:
    """A mesh whose only node has nothing but a pool, which nobody knows yet: one instance is started to learn it."""
    async with local_mesh(tmp_path_factory.mktemp("mesh"), instances=[], environment=settings.environment()) as up:
        yield up


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def _is_whole_again(mesh: LocalMesh) -> AsyncIterator[None]:
    yield
    await mesh.restore()


async def node(mesh: LocalMesh) -> Node:
    (only,) = await mesh.client.nodes()
    return only


async def until_states(mesh: LocalMesh, *states: InstanceState) -> list[Instance]:
    async def look() -> list[Instance] | None:
        instances = list((await node(mesh)).instances)
        return instances if [instance.state for instance in instances] == list(states) else None

    return await until(look, f"instances in {states}")


async def test_a_pool_that_is_known_goes_to_nothing_and_still_takes_tasks(mesh: LocalMesh) -> None:
    (first, second) = await until_states(mesh, STOPPED, STOPPED)
    assert (first.name, second.name) == ("big-0", "big-1")
    assert first.pool == "big"
    assert first.labels == {"tier": "big"}
    assert "idle" in first.state_reason
    # Until somebody has seen why it waits, none is started.
    mesh.freeze("agent")
    task = await mesh.client.create(graphs.picture(), placement=BIG)

    async def told() -> bool:
        waiting = (await mesh.client.get(task.name)).waiting
        return waiting is not None and waiting.reason.startswith("every instance that could run it is stopped")

    await until(told, "why it waits")
    mesh.thaw("agent")
    assert (await mesh.finished(task.name)).state == State.STATE_SUCCEEDED
    shown = await asyncio.to_thread(CliRunner().invoke, cli, ["--target", mesh.target, "nodes"])
    assert shown.exit_code == 0
    assert "big-0" in shown.output
    assert "POOL" in shown.output


async def test_an_instance_is_warm_before_it_is_offered(mesh: LocalMesh) -> None:
    log = mesh.log("agent")
    assert log.index("the preloading of models of pool big is done") < log.index("instance big-0 serves")
    assert log.index("the warm-up workflow of pool big is done") < log.index("instance big-0 serves")


async def test_much_that_waits_starts_more_and_they_go_when_nothing_waits(mesh: LocalMesh) -> None:
    tasks = [await mesh.create(graphs.steps(40, 0.05)) for _ in range(6)]

    async def both() -> bool:
        return all(instance.state in {READY, InstanceState.BUSY} for instance in (await node(mesh)).instances)

    await until(both, "two instances that serve")
    for task in tasks:
        assert (await mesh.finished(task.name)).state == State.STATE_SUCCEEDED
    await until_states(mesh, STOPPED, STOPPED)


async def test_a_new_agent_knows_what_a_stopped_pool_offers(mesh: LocalMesh, gate: graphs.Gate) -> None:
    await until_states(mesh, STOPPED, STOPPED)
    started = mesh.log("agent").count("starting big-")
    await mesh.kill("agent")
    task = await mesh.create(graphs.gated(gate))
    await mesh.until_state(task.name, State.STATE_RUNNING)
    assert "to learn what it offers" not in mesh.log("agent").split("starting big-", started + 1)[-1]
    # The next one adopts what has been scaled up.
    adopted = mesh.log("agent").count("Adopted a running ComfyUI")
    watching = await mesh.watching(task.name)
    await mesh.kill("agent")
    gate.open()
    told = [message.task for message in await watching if message.HasField("task")]
    assert told[-1].state == State.STATE_SUCCEEDED
    assert not any(each.HasField("error") for each in told)
    assert mesh.log("agent").count("Adopted a running ComfyUI") == adopted + 1


async def test_settings_are_taken_over_while_tasks_run(mesh: LocalMesh, settings: Settings, gate: graphs.Gate) -> None:
    task = await mesh.create(graphs.gated(gate))
    await mesh.until_state(task.name, State.STATE_RUNNING)
    settings.pool |= {"labels": {"tier": "huge"}, "idle_seconds": 2}
    answer = await settings.reload(mesh, AGENT_LABELS='{"zone":"a"}', LOG_LEVEL="debug", NATS_REPLICAS="3")
    assert answer == [
        ("OK", "these hold now: COMFYMESH_AGENT_LABELS, COMFYMESH_AGENT_POOLS, COMFYMESH_LOG_LEVEL"),
        ("WARNING", "not yet: COMFYMESH_NATS_REPLICAS"),
    ]

    async def other_labels() -> bool:
        seen = await node(mesh)
        return seen.labels == {"zone": "a"} and all(i.labels == {"tier": "huge"} for i in seen.instances)

    await until(other_labels, "the new labels")
    gate.open()
    final = await mesh.finished(task.name)
    assert (final.state, final.attempt) == (State.STATE_SUCCEEDED, 1)


async def test_settings_that_are_wrong_are_refused_and_the_old_ones_kept(mesh: LocalMesh, settings: Settings) -> None:
    await settings.reload(mesh)
    answer = await settings.reload(mesh, AGENT_LOOK_AHEAD="many")
    assert [outcome for outcome, _ in answer] == ["FAILED"]
    assert answer[0][1].startswith("refused: COMFYMESH_AGENT_LOOK_AHEAD: ")
    assert len((await node(mesh)).instances) == 2
    assert (await settings.reload(mesh)) == [("OK", "these hold now: nothing differs")]


def checkpoint(name: str) -> graphs.Graph:
    graph = graphs.text_to_image()
    graph["1"]["inputs"]["ckpt_name"] = name
    return graph


async def the_one_that_serves(mesh: LocalMesh) -> str | None:
    """Its name, once the other is stopped."""
    states = {instance.name: instance.state for instance in (await node(mesh)).instances}
    one = sorted(states.values()) == [READY, STOPPED]
    return next(name for name, state in states.items() if state is READY) if one else None


async def test_what_a_pool_has_preloaded_its_next_task_need_not_load(mesh: LocalMesh, settings: Settings) -> None:
    settings.pool |= {"min": 1}
    await settings.reload(mesh)
    serves = await until(lambda: the_one_that_serves(mesh), "one that serves")
    asked = ["--target", mesh.target, "preload", "--pool", "big"]
    wrong = await asyncio.to_thread(CliRunner().invoke, cli, [*asked, "ahead.safetensor"])
    assert wrong.exit_code != 0
    assert f"did you mean {AHEAD}" in wrong.output
    assert (await node(mesh)).preloads == ()
    said = await asyncio.to_thread(CliRunner().invoke, cli, [*asked, AHEAD])
    assert (said.exit_code, said.output) == (0, f"local-0: loads {AHEAD} ahead of work\n")

    async def resident() -> bool:
        return any(AHEAD in instance.resident_models for instance in (await node(mesh)).instances)

    await until(resident, "a model in memory")
    task = await mesh.create(checkpoint(AHEAD), placement={"pool": "big"})
    final = await mesh.finished(task.name)
    assert (final.state, list(final.timing.loaded_models)) == (State.STATE_SUCCEEDED, [])
    # A drain and its end leave it as it is, and so does another life of the instance: it loads before it is offered.
    await mesh.client.cordon_node("local-0", "a look")
    (preload,) = (await mesh.client.uncordon_node("local-0")).preloads
    assert (preload.pool, [file.name for file in preload.files]) == ("big", [AHEAD])
    lives = mesh.log("agent").count(" serves (ComfyUI ")
    os.kill(mesh.comfyui(name=serves)[0], signal.SIGKILL)
    # Of the same instance, or of the other in its place.
    await until(lambda: mesh.log("agent").count(" serves (ComfyUI ") > lives, "another life")
    await until(resident, "a model in memory again")
    final = await mesh.finished((await mesh.create(checkpoint(AHEAD), placement={"pool": "big"})).name)
    assert (final.state, list(final.timing.loaded_models)) == (State.STATE_SUCCEEDED, [])
    (ended,) = await mesh.client.preload_models([], pool="big")
    assert ended.preloads == ()


async def test_pools_are_told_with_why_they_are_not_larger(mesh: LocalMesh) -> None:
    async def one_serves() -> Pool | None:
        (pool,) = await mesh.client.pools("big", node="local-0")
        idle = pool.limit_reason == "nothing waits that takes more of them"
        return pool if pool.serving_count == 1 and idle else None

    pool = await until(one_serves, "one that serves, and one that is stopped since nothing waits")
    assert (pool.name, pool.runtime, pool.min, pool.max) == ("nodes/local-0/pools/big", "process", 1, 2)
    assert (pool.instances, pool.labels) == (("big-0", "big-1"), {"tier": "huge"})
    assert pool.startup_models == (graphs.CHECKPOINT,)
    shown = await asyncio.to_thread(CliRunner().invoke, cli, ["--target", mesh.target, "pools"])
    assert "1 to 2" in shown.output
    assert "1 of 2" in shown.output


async def test_other_arguments_are_rolled_out_one_by_one_and_cost_no_task(mesh: LocalMesh, settings: Settings) -> None:
    settings.pool |= {"min": 2}
    await settings.reload(mesh)
    before = [mesh.comfyui(name=f"big-{number}") for number in (0, 1)] if await serving(mesh) else []
    tasks = [await mesh.create(graphs.steps(20, 0.05)) for _ in range(8)]
    settings.pool = pool("--preview-method", "none", **{k: v for k, v in settings.pool.items() if k != "instance"})
    await settings.reload(mesh)
    least = 2

    async def renewed() -> bool:
        nonlocal least
        serve = sum(instance.state in {READY, InstanceState.BUSY} for instance in (await node(mesh)).instances)
        least = min(least, serve)
        now = [mesh.comfyui(name=f"big-{number}") for number in (0, 1)]
        return serve == 2 and not {pid for pid, _ in now} & {pid for pid, _ in before}

    await until(renewed, "two new processes")
    assert least >= 1
    for task in tasks:
        final = await mesh.finished(task.name)
        assert (final.state, final.attempt) == (State.STATE_SUCCEEDED, 1)


async def test_settings_that_do_not_work_cost_one_instance_and_not_all(mesh: LocalMesh, settings: Settings) -> None:
    good = settings.pool
    settings.pool = {**good, "instance": {**good["instance"], "arguments": ["--no-such-flag"]}}
    await settings.reload(mesh)
    said = "does not serve with its new settings"
    await until(lambda: said in mesh.log("agent"), "a rollout that is held up")

    async def one_serves() -> bool:
        states = [instance.state for instance in (await node(mesh)).instances]
        return sum(state in {READY, InstanceState.BUSY} for state in states) == 1

    await until(one_serves, "the other one alone")
    settings.pool = good
    await settings.reload(mesh)
    await until(lambda: serving(mesh), "both of them")


async def serving(mesh: LocalMesh) -> bool:
    async def look() -> bool:
        return all(i.state in {READY, InstanceState.BUSY} for i in (await node(mesh)).instances)

    return await until(look, "two instances that serve")
