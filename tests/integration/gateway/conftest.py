"""A mesh with two gateways: one before an api that lets everybody in, one before an api that wants keys."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from comfymesh.client import AsyncClient, RetryPolicy, Scope
from comfymesh.stack.mesh import emulated, free_port, module
from comfymesh.stack.processes import Processes, Program
from comfymesh.testkit.meshes import LocalMesh, local_mesh
from comfymesh.testkit.waiting import until

PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Gateways:
    """What runs.

    Attributes:
        mesh: The mesh.
        processes: Gateways, and the api that wants keys, by name.
        open: Address of a gateway that needs no key, and of another one before the same api.
        other: The other one.
        keyed: Address of the gateway that needs keys.
        keys: A key of each of two tenants.
    """

    mesh: LocalMesh
    processes: Processes
    open: str
    other: str
    keyed: str
    keys: tuple[str, str]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gateways(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateways]:
    directory = tmp_path_factory.mktemp("mesh")
    instance = emulated("--step-seconds", "0.05", "--load-seconds", "0.01", "--preview-method", "latent2rgb")
    async with local_mesh(directory, instances=[instance]) as mesh:
        secret, keyed_api = secrets.token_hex(32), f"127.0.0.1:{free_port()}"
        (directory / "bootstrap.key").write_text(secret)
        places = {name: f"127.0.0.1:{free_port()}" for name in ("open", "other", "keyed")}
        targets = {"open": mesh.target, "other": mesh.target, "keyed": keyed_api}
        settings = {
            "COMFYMESH_NATS_URL": mesh.nats_url,
            "COMFYMESH_API_AUTH": "keys",
            "COMFYMESH_API_LISTEN": keyed_api,
            "COMFYMESH_API_BOOTSTRAP_KEY_FILE": str(directory / "bootstrap.key"),
        }
        programs = [
            Program("keyed-api", module("comfymesh.api.main"), settings),
            *(gateway(f"gateway-{name}", places[name], targets[name]) for name in places),
        ]
        async with Processes(programs, directory / "logs") as processes:
            keys = await tenants(keyed_api, secret)
            addresses = {name: f"http://{place}" for name, place in places.items()}
            for address in addresses.values():
                await answers(address, {"X-API-Key": keys[0]})
            yield Gateways(mesh, processes, **addresses, keys=keys)


def gateway(name: str, listen: str, target: str) -> Program:
    settings = {
        "COMFYMESH_GATEWAY_LISTEN": listen,
        "COMFYMESH_GATEWAY_TARGET": target,
        "COMFYMESH_GATEWAY_MAX_UPLOAD_BYTES": "4000000",
        "COMFYMESH_GATEWAY_MAX_PROMPT_BYTES": "2000000",
        "COMFYMESH_GATEWAY_MAX_KEY_SOCKETS": "8",
    }
    return Program(name, module("comfymesh.gateway.main"), settings)


async def tenants(target: str, secret: str) -> tuple[str, str]:
    """Makes two tenants, and a key for each."""
    patience = RetryPolicy(connect_timeout=PATIENCE)
    async with AsyncClient(target, api_key=secret, timeout=PATIENCE, retries=patience) as client:
        await client.nodes()  # asks until there is an api, which what follows does not
        made = []
        for name in ("one", "two"):
            await client.create_tenant(name)
            made.append((await client.create_key(name, scopes=[Scope.SUBMIT, Scope.READ])).secret)
        return made[0], made[1]


async def answers(address: str, headers: Mapping[str, str] | None = None) -> None:
    """Waits until a gateway answers."""

    async def answered() -> bool:
        try:
            async with aiohttp.ClientSession(headers=headers) as http, http.get(f"{address}/object_info") as response:
                return response.status == 200 and "SaveImage" in await response.json()
        except aiohttp.ClientError:
            return False

    await until(answered, f"a gateway at {address}")


class Caller:
    """A plain client."""

    def __init__(self, http: aiohttp.ClientSession, address: str) -> None:
        self.http = http
        self.address = address

    async def get(self, path: str, **params: str) -> Any:
        async with self.http.get(self.address + path, params=params) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def status(self, path: str, **params: str) -> int:
        async with self.http.get(self.address + path, params=params) as response:
            return response.status

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        text = body if isinstance(body, (str, bytes)) else json.dumps(body)
        data = io.BytesIO(text.encode() if isinstance(text, str) else text)
        async with self.http.post(self.address + path, data=data) as response:
            answer = await response.text()
            return response.status, json.loads(answer) if "json" in response.content_type else answer

    async def submit(self, graph: Any, **more: Any) -> str:
        status, answer = await self.post("/prompt", {"prompt": graph, **more})
        assert status == 200, answer
        return str(answer["prompt_id"])

    async def entry(self, prompt_id: str) -> Any:
        """The history of a prompt, once it has ended."""
        async with asyncio.timeout(PATIENCE):
            while not (found := await self.get(f"/history/{prompt_id}")):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.02)
            return found[prompt_id]

    async def told(self, socket: aiohttp.ClientWebSocketResponse, prompt_id: str) -> list[str]:
        """The types of what a socket is told, up to the end of a prompt."""
        kinds: list[str] = []
        while True:
            message = await socket.receive(timeout=PATIENCE)
            if message.type is aiohttp.WSMsgType.BINARY:
                kinds.append(f"binary {int.from_bytes(message.data[:4], 'big')}")
                continue
            assert message.type is aiohttp.WSMsgType.TEXT, message
            event = json.loads(message.data)
            kinds.append(event["type"])
            ended = {"node": None, "prompt_id": prompt_id}
            if event["type"] == "executing" and ended.items() <= event["data"].items():
                return kinds


@asynccontextmanager
async def calling(address: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession(headers=headers) as http:
        yield Caller(http, address)
