"""Two instances of the process runtime at once on one host: what one does with its files is nothing to the other.

ComfyUI clears its folder of temporary files at each start and each clean end, whoever wrote there (protocol notes,
section 13.8), and does not start on a database that another has. On the emulator, or on the real one that COMFYUI_DIR
names.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from comfymesh.agent.runtimes.contract import Runtime
from comfymesh.agent.runtimes.factory import build
from comfymesh.agent.runtimes.specs import ProcessSpec
from comfymesh.emulator import Settings, serving
from comfymesh.stack import sources
from comfymesh.testkit import graphs
from comfymesh.testkit.instances import ask

GRACE = timedelta(seconds=20)
KINDS = ("input", "output", "temp", "user")


def spec(name: str) -> ProcessSpec:
    """Both are made by the same settings, but for the name."""
    if os.environ.get(sources.DIRECTORY):
        # Whatever COMFYUI_URL names beside it; and what is made here needs no GPU.
        real = {key: value for key, value in os.environ.items() if key != sources.URL}
        real[sources.ARGUMENTS] = f"--cpu {real.get(sources.ARGUMENTS, '')}"
        return ProcessSpec.model_validate(sources.instance(real)[0] | {"name": name})
    return ProcessSpec(name=name, command=(sys.executable, "-m", "comfymesh.emulator"))


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[list[Runtime]]:
    async with AsyncExitStack() as stack:
        both = [build(spec(name), node="here", state_directory=tmp_path) for name in ("one", "two")]
        for runtime in both:
            stack.push_async_callback(runtime.close)
            stack.push_async_callback(runtime.stop, GRACE)
        yield both


async def test_an_instance_that_comes_and_goes_clears_nothing_of_its_neighbour(
    pair: list[Runtime], tmp_path: Path
) -> None:
    one, two = pair
    url = await started(one)
    async with aiohttp.ClientSession(url) as http:
        await upload(http)
        await execute(http)
        before = files(tmp_path / "instances" / "one")
        assert {kind for kind in KINDS if any(f"{kind}/" in file for file in before)} >= {"input", "output", "temp"}
        other = await started(two)
        async with aiohttp.ClientSession(other) as there:
            await execute(there)
        theirs = files(tmp_path / "instances" / "two")
        assert any("temp/" in file for file in theirs)
        await two.stop(GRACE)
        assert files(tmp_path / "instances" / "one") >= before
        await execute(http)  # it still serves
    await one.stop(GRACE)
    assert not any("temp/" in file and file.endswith(".png") for file in files(tmp_path / "instances" / "one"))


async def test_two_instances_on_one_folder_wipe_each_others_temporary_files(tmp_path: Path) -> None:
    """What the agent keeps apart, and why: as real ones do."""
    async with serving(Settings(base_directory=tmp_path)) as url, aiohttp.ClientSession(url) as http:
        await execute(http)
        assert list((tmp_path / "temp").glob("*.png"))
        async with serving(Settings(base_directory=tmp_path)):
            assert not list((tmp_path / "temp").glob("*.png"))


async def started(runtime: Runtime) -> str:
    url = (await runtime.start()).base_url
    await ask(url, "/system_stats")
    return url


async def upload(http: aiohttp.ClientSession) -> None:
    form = aiohttp.FormData()
    form.add_field("image", b"an input", filename="one.png", content_type="image/png")
    async with http.post("/upload/image", data=form) as answer:
        assert answer.status == 200


async def execute(http: aiohttp.ClientSession) -> None:
    """Saves one picture among the outputs and another among the temporary files."""
    graph = graphs.picture(color=0x123456)
    graph["5"] = graphs.node("PreviewImage", images=["1", 0])
    async with http.post("/prompt", json={"prompt": graph}) as answer:
        prompt_id = (await answer.json())["prompt_id"]
    while True:
        async with http.get(f"/history/{prompt_id}") as answer:
            if entry := (await answer.json()).get(prompt_id):
                break
        await asyncio.sleep(0.02)
    assert entry["status"]["status_str"] == "success"


def files(home: Path) -> set[str]:
    return {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file() and path.suffix == ".png"}
