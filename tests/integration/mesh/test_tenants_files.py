"""What one tenant's tasks read and write on a node is out of another's reach, with real processes and keys (P8)."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from PIL import Image

from comfymesh.client import AsyncClient, ComfyMeshError, InvalidRequest, TaskFailed, Url
from comfymesh.stack.mesh import free_port, module
from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh
from comfymesh.testkit.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def guarded(mesh: LocalMesh) -> AsyncIterator[str]:
    """An api of the mesh that asks for keys."""
    target = f"127.0.0.1:{free_port()}"
    settings = {"COMFYMESH_NATS_URL": mesh.nats_url, "COMFYMESH_API_LISTEN": target, "COMFYMESH_API_AUTH": "keys"}
    api = await asyncio.create_subprocess_exec(*module("comfymesh.api.main"), env={**os.environ, **settings})
    yield target
    api.kill()
    await api.wait()


async def of_tenant(mesh: LocalMesh, target: str, tenant: str) -> AsyncClient:
    await mesh.client.create_tenant(tenant)
    key = await mesh.client.create_key(tenant, scopes=["submit", "read"])
    client = AsyncClient(target, api_key=key.secret)

    async def sees_the_fleet() -> bool:
        try:
            return bool(await client.nodes())
        except ComfyMeshError:
            return False

    await until(sees_the_fleet, f"an api that knows {tenant}")
    return client


def inputs_on_the_node(mesh: LocalMesh) -> list[Path]:
    folder = mesh.directory / "agent-0" / "instances" / "comfyui-0" / "data" / "input"
    return [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]


async def test_a_rival_gets_no_picture(mesh: LocalMesh, guarded: str) -> None:
    content = io.BytesIO()
    Image.new("RGB", (24, 24), (1, 2, 3)).save(content, "PNG")
    secret, digest = content.getvalue(), hashlib.sha256(content.getvalue()).hexdigest()
    async with await of_tenant(mesh, guarded, "lab") as lab, await of_tenant(mesh, guarded, "rival") as rival:
        asset = await lab.upload(secret, filename="confidential.png")
        result = await lab.run(graphs.inverted(), {"1.image": asset}, task_id="guessable")
        assert result.artifacts
        (staged,) = (path for path in inputs_on_the_node(mesh) if path.name == "confidential.png")
        assert not any(word in str(staged) for word in ("lab", digest[:8]))
        for path in (
            str(staged),
            f"../input/{staged}",
            f"comfymesh/lab/{digest[:16]}-confidential.png",
            "comfymesh/guessable-1/inverted_00001_.png [output]",
        ):
            with pytest.raises(InvalidRequest) as refused:
                await rival.run(graphs.inverted(path))
            assert (refused.value.reason, [v.field for v in refused.value.violations]) == (
                "INPUT_INVALID",
                ["task.graph_json[1].inputs.image"],
            )


PROBE = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "fetched"}},
}


@pytest_asyncio.fixture(loop_scope="session")
async def files() -> AsyncIterator[str]:
    """A server of pictures: one that is there, one that comes at the second try, a page, and one inside."""
    content = io.BytesIO()
    Image.new("RGB", (24, 16), (1, 2, 3)).save(content, "PNG")
    asked = Counter[str]()

    async def answer(request: web.Request) -> web.Response:
        asked[request.path] += 1
        match request.path:
            case "/there":
                return web.Response(body=content.getvalue())
            case "/late" if asked["/late"] > 1:
                return web.Response(body=content.getvalue())
            case "/page":
                return web.Response(text="<html>")
            case "/inside":
                raise web.HTTPFound("http://169.254.169.254/secret")
        return web.Response(status=503 if request.path == "/late" else 404)

    application = web.Application()
    application.router.add_get("/{tail:.*}", answer)
    async with TestServer(application) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.mark.parametrize("path", ["/there", "/late"])
async def test_an_input_is_fetched_from_where_it_is(mesh: LocalMesh, files: str, path: str) -> None:
    task = await mesh.client.run(PROBE, inputs={"1.image": Url(f"{files}{path}?signature=secret")})
    (artifact,) = task.artifacts
    with Image.open(io.BytesIO((await mesh.client.read_artifact(artifact)).data)) as picture:
        assert picture.size == (24, 16)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("{files}/gone?signature=secret", "HTTP_404"),
        ("{files}/page?signature=secret", "MEDIA_TYPE"),
        ("{files}/inside?signature=secret", "ADDRESS_REFUSED"),
    ],
)
async def test_an_input_that_cant_be_had_for_good_fails_its_task_at_once(
    mesh: LocalMesh, files: str, url: str, problem: str
) -> None:
    with pytest.raises(TaskFailed) as failed:
        await mesh.client.run(PROBE, inputs={"1.image": Url(url.format(files=files))})
    assert failed.value.task.attempt == 1
    error = failed.value.task.error
    assert error is not None
    assert (error.reason, error.metadata["problem"], error.metadata["input"]) == ("INPUT_INVALID", problem, "1.image")
    assert "secret" not in f"{failed.value} {failed.value.task}"
