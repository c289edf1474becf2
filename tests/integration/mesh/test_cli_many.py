"""The command line with many tasks, as users run it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass
class Done:
    code: int
    out: str
    errors: str


Comfymesh = Callable[..., Awaitable[Done]]


@pytest.fixture
def comfymesh(mesh: LocalMesh, tmp_path: Path) -> Comfymesh:
    (tmp_path / "graph.json").write_text(graphs.text(graphs.picture()))

    async def call(*arguments: str, stdin: str = "") -> Done:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "comfymesh.cli", *arguments),
            cwd=tmp_path,
            env={**os.environ, "COMFYMESH_TARGET": mesh.target},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            out, errors = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), errors.decode())

    return call


@pytest.fixture
def group() -> str:
    return f"g{uuid4().hex[:8]}"


def sheet(count: int) -> str:
    return "\n".join(json.dumps({"inputs": {"1.color": color}}) for color in range(count))


async def test_a_sweep_is_created_and_followed_to_its_end(comfymesh: Comfymesh, group: str) -> None:
    done = await comfymesh("batch", "-", "--graph", "graph.json", "--group", group, "--watch", stdin=sheet(3))
    assert (done.code, done.errors) == (0, "")
    lines = done.out.splitlines()
    assert lines[-1] == f"{group}: 100 % of 3 tasks (3 succeeded)"
    assert all(f"{name}: succeeded" in lines for name in lines[:3])
    shown = await comfymesh("group", "show", group)
    assert "100 % of 3 tasks" in shown.out
    listed = await comfymesh("list", "--group", group, "--json")
    assert {json.loads(line)["name"] for line in listed.out.splitlines()} == {f"tasks/{name}" for name in lines[:3]}


async def test_a_refused_line_is_told_and_the_others_are_created(comfymesh: Comfymesh) -> None:
    bad = sheet(1) + '\n{"priority": 1000}'
    done = await comfymesh("batch", "-", "--graph", "graph.json", stdin=bad)
    assert done.code == 2
    assert len(done.out.splitlines()) == 1
    assert done.errors.startswith("Task 2 of 2 was refused.\nError: the request is not valid: task.priority: 1000")
    done = await comfymesh("batch", "-", "--graph", "graph.json", "--check", "--json", stdin=bad)
    good, wrong = [json.loads(line) for line in done.out.splitlines()]
    assert good["state"] == "QUEUED"
    assert wrong["error"]["reason"] == "INPUT_INVALID"


async def test_a_watch_of_a_group_fails_when_a_task_did(mesh: LocalMesh, comfymesh: Comfymesh, group: str) -> None:
    await mesh.create(graphs.raising("value"), group=f"groups/{group}")
    done = await comfymesh("group", "watch", group)
    assert done.code == 1
    assert done.out.splitlines()[-1] == f"{group}: 100 % of 1 tasks (1 failed)"
    done = await comfymesh("group", "watch", group, "--json")
    assert [json.loads(line)["event"] for line in done.out.splitlines()] == ["task", "group"]


async def test_a_group_is_cancelled(mesh: LocalMesh, comfymesh: Comfymesh, group: str) -> None:
    for _ in range(2):
        await mesh.create(graphs.steps(2000, 0.05), group=f"groups/{group}")
    assert (await comfymesh("group", "cancel", group)).out == f"{group}: 2 tasks cancelled\n"
    done = await comfymesh("group", "cancel", group, "--json")
    assert json.loads(done.out) == {"group": group, "cancelled_count": 0}


@pytest.mark.parametrize("command", ["show", "watch", "cancel"])
async def test_a_group_that_is_not_there_is_told(comfymesh: Comfymesh, command: str) -> None:
    done = await comfymesh("group", command, "nothing-of-that-name")
    assert done.code == 2
    assert "there is no group groups/nothing-of-that-name" in done.errors
    assert "What to do: a group is there once its first task is" in done.errors


async def test_watching_without_a_group_is_wrong_usage(comfymesh: Comfymesh) -> None:
    done = await comfymesh("batch", "-", "--graph", "graph.json", "--watch", stdin=sheet(1))
    assert done.code == 2
    assert "give --group" in done.errors
