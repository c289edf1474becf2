"""What is measured: a ComfyUI, and a mesh of real processes in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.resources import files
from pathlib import Path

import aiohttp

from comfymesh.stack import sources
from comfymesh.stack.mesh import Mesh, MeshPlan, free_port, module, nats_program, running
from comfymesh.stack.processes import Processes, Program

EMULATED_CHECKPOINT = "emulated.safetensors"

_SYNC = "sync_interval: always"
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_LOOK_SECONDS = 0.02


class Sync(StrEnum):
    """When NATS puts on the disk what it has acknowledged."""

    ALWAYS = "always"
    """Before it acknowledges, as every shipped configuration has it."""
    SELDOM = "every 2 min"
    """As the server does where nothing is set."""


@dataclass(frozen=True, slots=True)
class ComfyUI:
    """A ComfyUI that answers.

    Attributes:
        url: Where.
        kind: For people: the emulator, or the version of a real one.
        checkpoint: One that it has; empty if it has none.
        pids: Its process, where it is ours.
    """

    url: str
    kind: str
    checkpoint: str
    pids: dict[str, int] = field(default_factory=dict)

    @property
    def emulated(self) -> bool:
        """Whether it is the emulator."""
        return bool(self.pids)


@asynccontextmanager
async def comfyui(name: str = "emulator", *arguments: str) -> AsyncIterator[ComfyUI]:
    """The real ComfyUI that COMFYUI_URL names, else an emulator of its own, started with `arguments`."""
    if url := os.environ.get(sources.URL):
        model = await asyncio.to_thread(sources.checkpoint, os.environ)
        yield ComfyUI(url.rstrip("/"), f"ComfyUI {await _version(url)}", model)
        return
    async with emulator(name, *arguments) as emulated:
        yield emulated


@asynccontextmanager
async def emulator(name: str, *arguments: str) -> AsyncIterator[ComfyUI]:
    """An emulator of ComfyUI as a process of its own."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="comfymesh-benchmark-") as directory:
        options = ("--base-directory", directory, "--port", str(port), "--model", f"checkpoints/{EMULATED_CHECKPOINT}")
        program = Program(name, (sys.executable, "-m", "comfymesh.emulator", *options, *arguments))
        async with Processes([program], Path(directory) / "logs") as processes:
            url = f"http://127.0.0.1:{port}"
            await until(lambda: _answers(url))
            yield ComfyUI(url, "emulator", EMULATED_CHECKPOINT, {name: processes.pid(name)})


@asynccontextmanager
async def mesh(
    urls: Sequence[str], *, sync: Sync = Sync.ALWAYS, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Mesh]:
    """A mesh of one node, with an instance for each ComfyUI. `environment` has further settings of the services."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="comfymesh-benchmark-")))
        instances = [{"name": f"comfyui-{i}", "runtime": "attach", "url": url} for i, url in enumerate(urls)]
        plan = MeshPlan(
            directory,
            instances,
            "127.0.0.1:0",
            dict(environment or {}),
            nats_configuration=nats_configuration(directory, sync),
        )
        yield await stack.enter_async_context(running(plan))


@asynccontextmanager
async def nats(sync: Sync, directory: Path) -> AsyncIterator[str]:
    """A NATS server alone, by its URL. It keeps its streams below `directory`."""
    listen = f"127.0.0.1:{free_port()}"
    program = nats_program(directory, listen, configuration=nats_configuration(directory, sync))
    async with Processes([program], directory / "logs"):
        yield f"nats://{listen}"


def service(kind: str, nats_url: str, name: str = "", **settings: str) -> Program:
    """A service (api, scheduler, agent) as a program of its own. `settings` are its own, without COMFYMESH_."""
    own = {"COMFYMESH_API_AUTH": "open"} | {f"COMFYMESH_{name.upper()}": value for name, value in settings.items()}
    return Program(name or kind, module(f"comfymesh.{kind}.main"), {"COMFYMESH_NATS_URL": nats_url, **own})


def agent(nats_url: str, node: str, comfyui_url: str, directory: Path) -> Program:
    """An agent with one instance."""
    instances = json.dumps([{"name": "comfyui-0", "runtime": "attach", "url": comfyui_url}])
    state = str(directory / node)
    return service("agent", nats_url, node, agent_node=node, agent_instances=instances, agent_state_directory=state)


@asynccontextmanager
async def mortal(program: Program, directory: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that nobody starts again once it has ended. Its output goes to a file in `directory`."""
    with (directory / f"{program.name}.log").open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *program.command, stdout=output, stderr=output, env={**os.environ, **program.environment}
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def nats_configuration(directory: Path, sync: Sync) -> Path:
    """The configuration that is shipped, written below `directory` with another setting of its sync."""
    shipped = (files("comfymesh.stack") / "nats.conf").read_text()
    path = directory / f"nats-{sync.name.lower()}.conf"
    path.write_text(shipped if sync is Sync.ALWAYS else shipped.replace(_SYNC, ""))
    return path


async def until(look: Callable[[], Awaitable[bool]], seconds: float = _START_SECONDS) -> None:
    """Look again and again at what tells nobody of its changes.

    Raises:
        TimeoutError: it did not come.
    """
    async with asyncio.timeout(seconds):
        while not await look():  # noqa: ASYNC110  # other processes have no event to wait for
            await asyncio.sleep(_LOOK_SECONDS)


async def _answers(url: str) -> bool:
    try:
        await _version(url)
    except aiohttp.ClientConnectionError:
        return False
    return True


async def _version(url: str) -> str:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/system_stats") as answer:
        answer.raise_for_status()
        return str((await answer.json())["system"]["comfyui_version"])


def elapsed_ms(began: float) -> float:
    """Milliseconds since `time.perf_counter()` answered `began`."""
    return (time.perf_counter() - began) * 1000
