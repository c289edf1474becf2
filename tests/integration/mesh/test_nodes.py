"""Cordon, drain and back: obeyed by the node, and remembered whatever is started again."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pytest
from click.testing import CliRunner, Result

from comfymesh.cli.main import cli
from comfymesh.client import Availability, CaughtUp, NodeChanged
from comfymesh.testkit import graphs, pages
from comfymesh.testkit.meshes import FINAL, LocalMesh, State
from comfymesh.testkit.refusals import refused
from comfymesh.testkit.waiting import until
from comfymesh.v1 import fleet_service_pb2

pytestmark = pytest.mark.asyncio(loop_scope="session")

NODE = "local-0"


async def is_(mesh: LocalMesh, availability: Availability) -> None:
    async def look() -> bool:
        nodes = await mesh.client.nodes()
        return [node.availability for node in nodes] == [availability]

    await until(look, f"a node that is {availability}")


async def test_a_cordoned_node_takes_nothing_new_and_goes_on_with_what_it_has(
    mesh: LocalMesh, gate: graphs.Gate
) -> None:
    running = await mesh.create(graphs.gated(gate))
    await mesh.until_state(running.name, State.STATE_RUNNING)
    held = await mesh.create(graphs.picture())
    await mesh.until_state(held.name, State.STATE_ASSIGNED)
    node = await mesh.client.cordon_node(NODE, "the fan is loud")
    assert (node.wanted_availability, node.wanted_reason) == (Availability.CORDONED, "the fan is loud")
    await is_(mesh, Availability.CORDONED)
    late = await mesh.create(graphs.picture())
    gate.open()
    for task in (running, held):
        final = await mesh.finished(task.name)
        assert (final.state, final.attempt) == (State.STATE_SUCCEEDED, 1)
    assert (await mesh.get(late.name)).state == State.STATE_QUEUED
    node = await mesh.client.uncordon_node(NODE)
    assert (node.wanted_availability, node.wanted_reason) == (Availability.OPEN, "")
    assert (await mesh.finished(late.name)).state == State.STATE_SUCCEEDED


async def test_a_drained_node_hands_back_what_has_not_begun(mesh: LocalMesh, gate: graphs.Gate) -> None:
    running = await mesh.create(graphs.gated(gate))
    await mesh.until_state(running.name, State.STATE_RUNNING)
    held = await mesh.create(graphs.picture())
    await mesh.until_state(held.name, State.STATE_ASSIGNED)
    following = await mesh.watching(held.name)
    await mesh.client.drain_node(NODE)
    await mesh.until_state(held.name, State.STATE_QUEUED)
    gate.open()
    final = await mesh.finished(running.name)
    assert (final.state, final.attempt) == (State.STATE_SUCCEEDED, 1)

    async def is_empty() -> bool:
        return [node.held_attempts for node in await mesh.client.nodes()] == [0]

    await until(is_empty, "a node that holds nothing")
    await mesh.client.uncordon_node(NODE)
    assert (await mesh.finished(held.name)).state == State.STATE_SUCCEEDED
    told = await following
    assert any("drained" in message.task.state_reason for message in told), told


async def test_what_is_wanted_outlives_agent_api_scheduler_and_nats(mesh: LocalMesh) -> None:
    await mesh.client.cordon_node(NODE, "maintenance")
    await is_(mesh, Availability.CORDONED)
    for name in ("agent", "api", "scheduler", "nats"):
        await mesh.kill(name)

    async def look() -> bool:
        try:
            nodes = await mesh.client.nodes()
        except Exception:  # whatever it is while all start again
            return False
        return [(n.state, n.availability, n.wanted_reason) for n in nodes] == [("ACTIVE", "CORDONED", "maintenance")]

    await until(look, "a node that is cordoned as before")
    await mesh.client.uncordon_node(NODE)
    await mesh.until_serving()


async def test_a_host_is_taken_away_as_the_page_says(mesh: LocalMesh) -> None:
    drain, uncordon = pages.commands("operations.md", "Start and stop")
    for command, wanted in ((drain, Availability.DRAINING), (uncordon, Availability.OPEN)):
        words = ["--target", mesh.target, *pages.arguments(command, **{"gpu-1": NODE})]
        ran = await asyncio.to_thread(CliRunner().invoke, cli, words)
        assert ran.exit_code == 0, ran.output
        await is_(mesh, wanted)


async def test_a_test_that_fails_leaves_no_node_closed_to_the_next(mesh: LocalMesh) -> None:
    await mesh.client.cordon_node(NODE)
    task = await mesh.create(graphs.picture())
    await mesh.clear()
    assert [node.wanted_availability for node in await mesh.client.nodes()] == [Availability.OPEN]
    assert (await mesh.get(task.name)).state in FINAL


async def test_a_node_that_is_not_there_can_not_be_cordoned(mesh: LocalMesh) -> None:
    request = fleet_service_pb2.CordonNodeRequest(name="nodes/nobody")
    assert (await refused(mesh.fleet.CordonNode(request))).is_ == ("NOT_FOUND", "NODE_NOT_FOUND")


async def test_a_reason_has_a_limit(mesh: LocalMesh) -> None:
    request = fleet_service_pb2.DrainNodeRequest(name=f"nodes/{NODE}", reason="x" * 513)
    assert (await refused(mesh.fleet.DrainNode(request))).is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")


async def test_nothing_of_a_task_stays_on_the_host(mesh: LocalMesh) -> None:
    task = await mesh.create(graphs.picture())
    assert (await mesh.finished(task.name)).state == State.STATE_SUCCEEDED
    folder = mesh.directory / "agent-0" / "instances" / "comfyui-0" / "data" / "output" / "comfymesh"
    name = task.name.rpartition("/")[2]
    await until(lambda: not list(folder.glob(f"{name}-*")), "outputs that are removed")
    assert folder.exists()


async def test_who_watches_the_fleet_sees_what_becomes_of_nodes(mesh: LocalMesh) -> None:
    async with aclosing(mesh.client.watch_fleet()) as events:
        first = await anext(events)
        assert isinstance(first, NodeChanged)
        assert (first.node.name, first.node.availability) == (f"nodes/{NODE}", Availability.OPEN)
        assert isinstance(await anext(events), CaughtUp)
        await mesh.client.cordon_node(NODE, "a look inside")
        await mesh.kill("api")
        async for event in events:
            assert isinstance(event, NodeChanged)
            if event.node.availability is Availability.CORDONED:
                break
        assert event.node.wanted_reason == "a look inside"
    await mesh.client.uncordon_node(NODE)


async def test_models_are_told_with_the_places_where_they_are(mesh: LocalMesh) -> None:
    (lora,) = await mesh.client.models("LORA")
    assert lora.name == "tiny-lora.safetensors"
    assert "LoraLoader.lora_name" in lora.inputs
    assert [(place.node, place.instance) for place in lora.places] == [(f"nodes/{NODE}", "comfyui-0")]
    assert lora in await mesh.client.models(node=NODE)
    assert await mesh.client.models(node="nobody") == []


async def test_models_come_in_pages(mesh: LocalMesh) -> None:
    request, found = fleet_service_pb2.ListModelsRequest(page_size=1), list[str]()
    while not found or request.page_token:
        answer = await mesh.fleet.ListModels(request)
        found += [model.name for model in answer.models]
        request.page_token = answer.next_page_token
    assert found == [model.name for model in await mesh.client.models()]
    assert len(found) > 1


@pytest.mark.parametrize(
    ("wrong", "field"), [({"node": "gpu-1"}, "node"), ({"name_contains": "x" * 257}, "name_contains")]
)
async def test_bad_wishes_for_models_are_refused(mesh: LocalMesh, wrong: dict[str, str], field: str) -> None:
    refusal = await refused(mesh.fleet.ListModels(fleet_service_pb2.ListModelsRequest(**wrong)))
    assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
    assert list(refusal.violations) == [field]


async def test_the_command_line_shows_models_the_whole_and_what_is_wrong(mesh: LocalMesh) -> None:
    async def run(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, cli, ["--target", mesh.target, *arguments])

    await is_(mesh, Availability.OPEN)
    shown = await run("models", "lora")
    assert "tiny-lora.safetensors" in shown.output
    picture = json.loads((await run("top", "--once", "--json")).output)
    assert picture["nodes"][0]["name"] == f"nodes/{NODE}"
    assert picture["queue"]["total"]["waiting_count"] == 0
    assert "1 of 1 nodes active" in (await run("top", "--once")).output
    well = await run("doctor")
    assert (well.exit_code, well.output.count("✓")) == (0, 3)
    await mesh.client.cordon_node(NODE, "fan")
    await is_(mesh, Availability.CORDONED)
    ill = await run("doctor", "--json")
    levels = [json.loads(text)["level"] for text in ill.output.splitlines()]
    assert (ill.exit_code, levels) == (1, ["ok", "failure", "warning", "ok"])
    await mesh.client.uncordon_node(NODE)


async def test_the_doctor_says_that_nobody_answers() -> None:
    asked = ["--target", "127.0.0.1:1", "doctor", "--connect-timeout", "0"]
    result = await asyncio.to_thread(CliRunner().invoke, cli, asked)
    assert result.exit_code == 1
    assert "✗ 127.0.0.1:1 can't be asked" in result.output
