"""The servers that the conformance suite runs on, and a plain client to drive them.

Always the emulator, and the gateway before a mesh of one emulator but for what is `alike.DIFFERENT`. Where COMFYUI_URL
names a real ComfyUI, that as well, and the gateway before a mesh of it. What a server lacks (test nodes, tiny models)
is read from its own catalog.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.contract.comfyui import alike

from comfymesh.client.loop_thread import LoopThread
from comfymesh.stack import mesh

DATA = Path(__file__).parents[2] / "data" / "comfyui"
REAL = os.environ.get("COMFYUI_URL", "").rstrip("/")
SERVERS = ("emulator", "gateway", "real") if REAL else ("emulator", "gateway")
PATIENCE = 30.0
IDLE = {"exec_info": {"queue_remaining": 0}}
Graph = dict[str, Any]
MakeGraph = Callable[..., Graph]


@dataclass
class Frame:
    """One message of a socket: a JSON event, or a binary one named by its number."""

    kind: str
    data: Any

    @property
    def node(self) -> Any:
        return self.data.get("node") if isinstance(self.data, dict) else None


@dataclass
class Run:
    """One prompt, from submission to history."""

    prompt_id: str
    answer: dict[str, Any]
    frames: list[Frame] = field(default_factory=list)
    entry: dict[str, Any] = field(default_factory=dict)

    def kinds(self) -> list[str]:
        return [frame.kind for frame in self.frames]

    def of(self, kind: str) -> list[Frame]:
        return [frame for frame in self.frames if frame.kind == kind]


class Socket:
    """A socket that was greeted."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse, client_id: str) -> None:
        self.connection = connection
        self.client_id = client_id

    async def receive(self, patience: float = PATIENCE) -> Frame:
        message = await self.connection.receive(timeout=patience)
        if message.type is aiohttp.WSMsgType.TEXT:
            event = json.loads(message.data)
            return Frame(event["type"], event["data"])
        if message.type is aiohttp.WSMsgType.BINARY:
            return Frame(f"binary {int.from_bytes(message.data[:4], 'big')}", message.data)
        return Frame("closed", message.data)

    async def until(self, wanted: Callable[[Frame], bool]) -> list[Frame]:
        """Reads up to and including the first wanted message."""
        frames: list[Frame] = []
        while not frames or not wanted(frames[-1]):
            frames.append(await self.receive())
            assert frames[-1].kind != "closed", "the server closed the socket"
        return frames

    async def until_end(self, prompt_id: str) -> list[Frame]:
        """Reads up to the end of a prompt."""
        return await self.until(lambda frame: is_end(frame, prompt_id))

    async def heard(self, seconds: float = 0.4) -> set[str]:
        """The kinds of what comes until nothing comes for a while."""
        kinds: set[str] = set()
        while True:
            try:
                kinds.add((await self.receive(seconds)).kind)
            except TimeoutError:
                return kinds

    async def is_silent(self) -> bool:
        """Tells whether nothing comes for a while."""
        return not await self.heard()

    async def close(self) -> None:
        await self.connection.close()


Busy = tuple[Socket, str]
"""The socket of a client, and its prompt that runs."""


def is_end(frame: Frame, prompt_id: str) -> bool:
    return frame.kind == "executing" and frame.node is None and frame.data.get("prompt_id") == prompt_id


class Client:
    """A plain client of one server."""

    def __init__(self, url: str, http: aiohttp.ClientSession, catalog: dict[str, Any]) -> None:
        self.url = url
        self.http = http
        self.catalog = catalog

    def require(self, *classes: str) -> None:
        """Skips the test where a class is missing."""
        missing = sorted(name for name in set(classes) if name not in self.catalog)
        if missing:
            pytest.skip(f"the server at {self.url} lacks the node classes {', '.join(missing)}")

    def require_models(self, *models: str) -> None:
        """Skips the test where a model file is missing."""
        offered = json.dumps(
            [self.catalog.get(name, {}).get("input") for name in ("CheckpointLoaderSimple", "UpscaleModelLoader")]
        )
        missing = [model for model in models if model not in offered]
        if missing:
            pytest.skip(f"the server at {self.url} lacks the model files {', '.join(missing)}")

    async def connect(self, client_id: str | None = None, *, metadata: bool = True) -> Socket:
        """Opens a socket and reads its greeting."""
        client_id = client_id or uuid.uuid4().hex
        address = f"{self.url}/ws?clientId={client_id}"
        socket = Socket(await self.http.ws_connect(address, max_msg_size=0), client_id)
        if metadata:
            flags = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
            await socket.connection.send_json(flags)
            await socket.until(lambda frame: frame.kind == "feature_flags")
        else:
            await socket.until(lambda frame: frame.kind == "status" and "sid" in frame.data)
        return socket

    async def get(self, path: str, **params: str) -> Any:
        """Returns the JSON of a GET that must succeed."""
        async with self.http.get(self.url + path, params=params) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def post(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Returns status and body (JSON where it is) of a POST."""
        data = body if isinstance(body, (str, bytes)) or body is None else json.dumps(body)
        async with self.http.post(self.url + path, data=data) as response:
            text = await response.text()
            is_json = "json" in response.headers.get("Content-Type", "")
            return response.status, json.loads(text) if is_json else text

    async def submit(self, graph: Any, **body: Any) -> str:
        """Submits a graph that must be accepted and returns the prompt id."""
        status, answer = await self.post("/prompt", {"prompt": graph, **body})
        assert status == 200, answer
        return str(answer["prompt_id"])

    async def run(self, graph: Any, *, metadata: bool = True, **body: Any) -> Run:
        """Runs a graph over a socket of its own and returns all that was seen."""
        socket = await self.connect(metadata=metadata)
        try:
            status, answer = await self.post("/prompt", {"prompt": graph, "client_id": socket.client_id, **body})
            assert status == 200, answer
            run = Run(answer["prompt_id"], answer)
            run.frames = await socket.until_end(run.prompt_id)
            run.entry = (await self.get(f"/history/{run.prompt_id}"))[run.prompt_id]
            return run
        finally:
            await socket.close()

    async def upload(self, name: str, content: bytes, *, path: str = "/upload/image", **fields: str) -> Any:
        """Uploads a file; returns status and JSON, or status and None."""
        # Written by hand, since client libraries encode names in ways of their own.
        parts = [f'name="{key}"\r\n\r\n{value}'.encode() for key, value in fields.items()]
        parts.append(f'name="image"; filename="{name}"\r\n\r\n'.encode() + content)
        head = b"--border\r\nContent-Disposition: form-data; "
        body = b"".join(head + part + b"\r\n" for part in parts) + b"--border--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=border"}
        async with self.http.post(self.url + path, data=body, headers=headers) as response:
            is_json = "json" in response.headers.get("Content-Type", "")
            return response.status, await response.json() if is_json else None

    async def view(self, **params: str) -> tuple[int, bytes, Any]:
        """Returns status, content and headers of ``/view``."""
        async with self.http.get(self.url + "/view", params=params) as response:
            return response.status, await response.read(), response.headers

    async def wait_for(self, path: str, wanted: Callable[[Any], bool]) -> Any:
        """Asks again and again until an answer is the wanted one."""
        async with asyncio.timeout(PATIENCE):
            while not wanted(answer := await self.get(path)):  # noqa: ASYNC110 (another process has no events)
                await asyncio.sleep(0.02)
            return answer

    async def until_idle(self) -> None:
        """Waits until nothing waits or runs and sockets are told so, which a gateway does a moment later."""
        await self.wait_for("/prompt", lambda answer: answer["exec_info"]["queue_remaining"] == 0)
        socket = Socket(await self.http.ws_connect(f"{self.url}/ws?clientId={uuid.uuid4().hex}"), "")
        await socket.until(lambda frame: frame.kind == "status" and frame.data["status"] == IDLE)
        await socket.close()


@pytest.fixture(scope="session")
def emulator_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    base = tmp_path_factory.mktemp("emulator")
    command = [sys.executable, "-m", "comfymesh.emulator", "--port", "0", "--base-directory", str(base)]
    with subprocess.Popen([*command, "--preview-method", "latent2rgb"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()
        assert process.wait(10) == 0


@pytest.fixture(scope="session")
def gateway_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway and the mesh behind it, on a thread of their own: tests have an event loop each."""
    emulator = mesh.emulated("--step-seconds", "0.01", "--load-seconds", "0.01", "--preview-method", "latent2rgb")
    instance = {"name": "comfyui-0", "runtime": "attach", "url": REAL} if REAL else emulator
    plan = mesh.MeshPlan(tmp_path_factory.mktemp("mesh"), [instance], "127.0.0.1:0", gateway="127.0.0.1:0")
    thread, running = LoopThread(), mesh.running(plan)
    try:
        up = thread.call(running.__aenter__())
        yield f"http://{up.gateway}"
        thread.call(running.__aexit__(None, None, None))
    finally:
        thread.close(partial(asyncio.sleep, 0))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the tests that the gateway is not held against."""
    unlike = [item for item in items if isinstance(item, pytest.Function) and is_unlike(item)]
    config.hook.pytest_deselected(items=unlike)
    items[:] = [item for item in items if item not in unlike]


def is_unlike(item: pytest.Function) -> bool:
    if not hasattr(item, "callspec") or item.callspec.params.get("comfyui") != "gateway":
        return False
    return item.module.__name__.rpartition(".")[2] not in alike.MODULES or item.originalname in alike.DIFFERENT


CATALOGS: dict[str, dict[str, Any]] = {}


async def catalog_of(url: str, http: aiohttp.ClientSession) -> dict[str, Any]:
    """Reads the catalog of a server, once: it takes a real one a while."""
    if url not in CATALOGS:
        async with http.get(f"{url}/object_info") as response:
            CATALOGS[url] = await response.json()
    return CATALOGS[url]


@pytest.fixture(params=SERVERS)
async def comfyui(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    url = REAL if request.param == "real" else request.getfixturevalue(f"{request.param}_url")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE)) as http:
        client = Client(url, http, await catalog_of(url, http))
        yield client
        await client.post("/queue", {"clear": True})
        await client.post("/interrupt")
        await client.until_idle()


@pytest.fixture
def fresh() -> Callable[[str], dict[str, Any]]:
    """Reads a workflow and changes what makes its results new to every cache."""

    def read(name: str) -> dict[str, Any]:
        graph: dict[str, Any] = json.loads((DATA / "workflows" / name).read_text())
        for node in graph.values():
            freshen(node["inputs"])
        return graph

    return read


def freshen(inputs: dict[str, Any]) -> None:
    chance = uuid.uuid4()
    changed = {
        "color": chance.int & 0xFFFFFF,
        "seed": chance.int & 0xFFFFFFFF,
        "nonce": chance.hex,
        "filename_prefix": f"mesh/{chance.hex}",
    }
    inputs.update({name: value for name, value in changed.items() if name in inputs})
    if "seconds" in inputs:
        inputs["seconds"] = min(inputs["seconds"], 1.0)


@pytest.fixture
def steps(fresh: Callable[[str], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Makes a graph that takes its time, step by step: minutes, so that whoever cuts it off finds it at work."""

    def make(count: int = 4000, seconds: float = 0.05, *, preview: bool = False) -> dict[str, Any]:
        graph = fresh("20-probe-steps.json")
        graph["2"]["inputs"].update(steps=count, seconds_per_step=seconds, preview=preview)
        return graph

    return make


@pytest.fixture
def tiny(fresh: Callable[[str], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Makes the smallest graph."""
    return lambda: fresh("01-empty-save.json")
