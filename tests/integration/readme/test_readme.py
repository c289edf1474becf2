"""Every command and every line of code in README.md does what README says."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from comfymesh.stack.mesh import free_port

# The first that needs the mesh also starts it, which may take a minute. A test that was cut off leaves its command
# behind, and that is told SERVER_DRAINING when the mesh is stopped.
pytestmark = pytest.mark.timeout(150)

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
TARGET = "127.0.0.1:7700"

COMMANDS = [
    re.sub(r"^comfymesh ", ".venv/bin/comfymesh ", line.removeprefix("$ "))
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]
MAKE = [command.split()[1] for command in COMMANDS if command.startswith("make ")]
CLI = [command for command in COMMANDS if command.startswith(".venv/bin/comfymesh ")]
SHELL = [command for command in COMMANDS if command.startswith("examples/shell/")]
(PYTHON,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def target(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A mesh brought up by the command that `make dev` runs, on a port of its own."""
    address = f"127.0.0.1:{free_port()}"
    data = tmp_path_factory.mktemp("dev")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "comfymesh.cli", "dev", "--listen", address, "--data", str(data)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async for line in process.stdout:
        if b"Try:" in line:
            break
    else:
        pytest.fail("comfymesh dev ended before it was up")
    yield address
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    assert process.returncode == 0


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like the checkout, so that what commands write stays out of it."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    return tmp_path


def test_every_command_in_readme_is_of_a_kind_that_is_tried_here() -> None:
    assert sorted([*(f"make {name}" for name in MAKE), *CLI, *SHELL]) == sorted(COMMANDS)
    assert set(re.findall(r"`make ([a-z]+)`", README)) | set(MAKE) <= _targets()


def test_make_dev_runs_the_command_that_is_tried_here() -> None:
    plan = subprocess.run(
        ["make", "--no-print-directory", "-n", "dev"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert plan.stdout.rstrip().endswith("comfymesh dev")


def test_ci_runs_the_demo_the_tests_and_the_checks() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert {"make demo", "make test", "make check", "make images"} <= {line.strip() for line in script.splitlines()}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("command", CLI)
async def test_a_command_line_in_readme_succeeds(command: str, target: str, checkout: Path) -> None:
    process = await asyncio.create_subprocess_shell(
        command, cwd=checkout, env={**os.environ, "COMFYMESH_TARGET": target}, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert output.strip()
    if " run " in command:
        assert list((checkout / "out").glob("*.png"))


@pytest.mark.asyncio(loop_scope="module")
async def test_the_python_example_saves_a_picture(target: str, checkout: Path) -> None:
    assert TARGET in PYTHON
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PYTHON.replace(TARGET, target)), cwd=checkout, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert b"KSampler" in output
    assert b"saved out/text-to-image_00001_.png" in output
    assert (checkout / "out" / "text-to-image_00001_.png").stat().st_size > 0


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "examples").glob("*.py")))
async def test_an_example_runs(script: str, target: str, checkout: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, f"examples/{script}"),
        cwd=checkout,
        env={**os.environ, "COMFYMESH_TARGET": target},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert b".png" in output


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("command", SHELL)
async def test_a_script_in_readme_succeeds(command: str, target: str, checkout: Path) -> None:
    environment = {**os.environ, "COMFYMESH_TARGET": target}
    process = await asyncio.create_subprocess_shell(
        command, cwd=checkout, env=environment, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert output.strip()


GRPCURL = """#!/bin/sh
# Stands for grpcurl, which is not to be had as a package: it takes the same words, and buf makes the call.
set -eu
[ "$1" = -plaintext ] && [ "$2" = -d ] && [ "$3" = @ ] && [ $# = 5 ]
exec {buf} curl --protocol grpc --http2-prior-knowledge -d @- "http://$4/$5"
"""


@pytest.mark.parametrize("tool", ["true", "nowhere"])
def test_a_script_that_gets_no_answer_says_no_more_than_that(tool: str, checkout: Path) -> None:
    command = ["examples/shell/run-task.sh", "examples/text-to-image.json", "out"]
    done = subprocess.run(
        command, cwd=checkout, env={**os.environ, "TOOL": tool}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "None" not in done.stderr


async def call(target: str, *request: str) -> tuple[int | None, str]:
    """How call.sh ends with buf, and what it complains of."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "examples/shell/call.sh", *request),
        cwd=ROOT,
        env={**os.environ, "COMFYMESH_TARGET": target, "TOOL": str(Path(sys.executable).with_name("buf"))},
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaint = await process.communicate()
    return process.returncode, complaint.decode()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_script_without_a_mesh_says_what_to_do_and_with_one_leaves_it_to_the_answer(target: str) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    code, complaint = await call(nowhere, "TaskService/ListTasks")
    assert code == 1
    assert f"no mesh answers at {nowhere}; `make dev` in another terminal runs one" in complaint
    code, complaint = await call(target, "TaskService/GetTask", '{"name": "tasks/none"}')
    assert code != 0
    assert "there is no task tasks/none" in complaint
    assert "no mesh answers" not in complaint


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("tool", ["buf", "grpcurl"])
async def test_the_shell_example_saves_a_picture(tool: str, target: str, checkout: Path) -> None:
    stand_in = checkout / "grpcurl"
    stand_in.write_text(GRPCURL.format(buf=Path(sys.executable).with_name("buf")))
    stand_in.chmod(0o755)
    used = stand_in if tool == "grpcurl" else Path(sys.executable).with_name("buf")
    process = await asyncio.create_subprocess_exec(
        *("sh", "examples/shell/run-task.sh", "examples/text-to-image.json", "out"),
        cwd=checkout,
        env={**os.environ, "COMFYMESH_TARGET": target, "TOOL": str(used)},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert b"saved out/1.png" in output
    with Image.open(checkout / "out" / "1.png") as picture:
        assert picture.size == (512, 512)
        picture.load()


def test_the_pages_that_readme_links_to_are_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
