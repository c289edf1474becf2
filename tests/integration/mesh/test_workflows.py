"""Stored workflows on real processes: run with typed inputs, and whole after a process was killed."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import suppress
from typing import Any

import grpc
import pytest
from PIL import Image

from comfymesh.client import AsyncClient, ComfyMeshError, InputKind, NotFound, WorkflowInput, WorkflowRef
from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh
from comfymesh.v1 import workflow_service_pb2 as pb
from comfymesh.v1.workflow_service_pb2_grpc import WorkflowServiceStub

pytestmark = pytest.mark.asyncio(loop_scope="session")

HIGHEST_SEED = 2**64 - 1


def photo() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (24, 24), (250, 200, 10)).save(content, "PNG")
    return content.getvalue()


def prompt_of(picture: bytes) -> dict[str, Any]:
    """The graph that ComfyUI wrote into a picture."""
    with Image.open(io.BytesIO(picture)) as opened:
        prompt: dict[str, Any] = json.loads(opened.info["prompt"])
    return prompt


async def test_what_is_derived_runs_with_every_digit_of_its_seed(mesh: LocalMesh) -> None:
    async with AsyncClient(mesh.target) as client:
        made = await client.workflows.create("lighthouse", graphs.text_to_image())
        assert {"prompt", "negative_prompt", "seed", "steps"} <= {each.name for each in made.inputs}
        assert (await client.workflows.validate("lighthouse")).errors == ()
        result = await client.workflows.run("lighthouse", prompt="in a storm", seed=HIGHEST_SEED, steps=2)
    assert result.task.workflow_version == "workflows/lighthouse/versions/1"
    prompt = prompt_of(result.artifacts[0].data)
    assert (prompt["2"]["inputs"]["text"], prompt["5"]["inputs"]["seed"]) == ("in a storm", HIGHEST_SEED)
    assert prompt["5"]["inputs"]["steps"] == 2


async def test_a_picture_is_given_as_a_typed_input(mesh: LocalMesh) -> None:
    image = WorkflowInput("picture", InputKind.IMAGE, ("1.image",), required=True)
    async with AsyncClient(mesh.target) as client:
        await client.workflows.create("invert", graphs.inverted(), inputs=[image])
        result = await client.run(WorkflowRef("invert"), {"picture": photo()})
    with Image.open(io.BytesIO(result.artifacts[0].data)) as inverted:
        assert inverted.convert("RGB").getpixel((0, 0)) == (5, 55, 245)


async def test_a_workflow_without_tasks_leaves_and_its_numbers_stay_taken(mesh: LocalMesh) -> None:
    async with AsyncClient(mesh.target) as client:
        await client.workflows.create("unused", graphs.picture())
        await client.workflows.delete("unused")
        with pytest.raises(NotFound):
            await client.workflows.version("unused@1")
        assert (await client.workflows.create("unused", graphs.picture())).default_version == 2


async def test_an_api_that_is_killed_among_updates_leaves_every_version_whole(mesh: LocalMesh) -> None:
    colors = range(40)

    async def update(color: int) -> None:
        with suppress(grpc.aio.AioRpcError):
            request = pb.UpdateWorkflowRequest(update_mask={"paths": ["graph_json"]})
            request.workflow.name, request.workflow.graph_json = (
                "workflows/killed",
                graphs.text(graphs.picture(8, color)),
            )
            await stub.UpdateWorkflow(request, timeout=20)
            answered.add(request.workflow.graph_json)

    answered = set[str]()
    async with AsyncClient(mesh.target) as client:
        await client.workflows.create("killed", graphs.picture(8, 0))
        async with grpc.aio.insecure_channel(mesh.target) as channel:
            stub = WorkflowServiceStub(channel)
            updates = [asyncio.create_task(update(color)) for color in colors]
            await asyncio.wait(updates, return_when=asyncio.FIRST_COMPLETED)
            await mesh.kill("api")
            await asyncio.gather(*updates)
        await mesh.restore()
        stored = await client.workflows.get("killed")
        versions = [await client.workflows.version(f"killed@{n}") for n in range(1, stored.latest_version + 1)]
        assert answered
        assert answered <= {version.graph_json for version in versions}
        # It goes on counting, whatever the one that was killed has left.
        changed = await client.workflows.update("killed", graph=graphs.picture(8, 99))
        assert changed.latest_version == stored.latest_version + 1
        with pytest.raises(ComfyMeshError):
            await client.workflows.version(f"killed@{changed.latest_version + 1}")
