"""What is measured: a ComfyUI, and a mesh of real processes in front of it."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from comfymesh.stack import sources
from comfymesh.stack.mesh import Mesh, MeshPlan, free_port, running
from comfymesh.stack.processes import Processes, Program

EMULATED_CHECKPOINT = "emulated.safetensors"

_START_SECONDS = 60.0
_LOOK_SECONDS = 0.05


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
            await _until_answering(url)
            yield ComfyUI(url, "emulator", EMULATED_CHECKPOINT, {name: processes.pid(name)})


@asynccontextmanager
async def mesh(urls: Sequence[str]) -> AsyncIterator[Mesh]:
    """A mesh of one node, with an instance for each ComfyUI."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="comfymesh-benchmark-")))
        instances = [{"name": f"comfyui-{i}", "runtime": "attach", "url": url} for i, url in enumerate(urls)]
        yield await stack.enter_async_context(running(MeshPlan(directory, instances, "127.0.0.1:0")))


async def _until_answering(url: str) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while True:
            try:
                await _version(url)
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(_LOOK_SECONDS)
            else:
                return


async def _version(url: str) -> str:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/system_stats") as answer:
        answer.raise_for_status()
        return str((await answer.json())["system"]["comfyui_version"])


def elapsed_ms(began: float) -> float:
    """Milliseconds since `time.perf_counter()` answered `began`."""
    return (time.perf_counter() - began) * 1000
