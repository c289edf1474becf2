"""The custom nodes on the real ComfyUI whose folder COMFYUI_DIR names. There is nothing to test where it names none."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from comfymesh.agent.comfyui.classify import classify
from comfymesh.agent.comfyui.errors import ComfyUnreachable
from comfymesh.agent.comfyui.events import Event, StepProgress, TextProgress
from comfymesh.agent.comfyui.outcome import Failed, Outcome, Succeeded
from comfymesh.agent.comfyui.outputs import read_outputs
from comfymesh.agent.comfyui.session import ComfySession
from comfymesh.stack.mesh import free_port
from comfymesh.tasks.failures import FailureClass
from comfymesh.testkit.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.comfyui, pytest.mark.timeout(240)]

COMFYUI = os.environ.get("COMFYUI_DIR")
FOLDER = Path(__file__).parents[3] / "clients" / "comfyui-nodes" / "comfymesh_nodes"
FLAGS = ("--cpu", "--disable-api-nodes", "--disable-auto-launch", "--listen", "127.0.0.1")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ComfySession]:
    base, port = tmp_path_factory.mktemp("comfyui"), free_port()
    (base / "custom_nodes").mkdir()
    shutil.copytree(FOLDER, base / "custom_nodes" / FOLDER.name)
    places = ("--port", str(port), "--base-directory", str(base), "--database-url", "sqlite:///:memory:")
    with (base / "log").open("wb") as log:
        python = os.environ.get("COMFYUI_PYTHON", sys.executable)
        server = await asyncio.create_subprocess_exec(
            python, "main.py", *FLAGS, *places, cwd=COMFYUI, stdout=log, stderr=log
        )
    try:
        async with ComfySession(f"http://127.0.0.1:{port}") as session:

            async def answers() -> bool:
                try:
                    return bool(await session.http.system_stats())
                except ComfyUnreachable:
                    assert server.returncode is None, (base / "log").read_text()[-2000:]
                    return False

            await until(answers, "a ComfyUI that answers", deadline=180)
            yield session
    finally:
        server.kill()
        await server.wait()


def graph(**guard: Any) -> dict[str, Any]:
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": 0}},
        "2": {
            "class_type": "ComfyMeshMemoryGuard",
            "inputs": {"value": ["1", 0], "min_free_mb": 1, "when_low": "stop", "make_room": True, **guard},
        },
        "3": {"class_type": "ComfyMeshProgress", "inputs": {"value": ["2", 0], "step": 1, "total": 2, "label": "half"}},
        "4": {"class_type": "ComfyMeshNotify", "inputs": {"value": ["3", 0], "message": "here", "level": "info"}},
        "5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "guarded"}},
    }


async def run(session: ComfySession, submitted: dict[str, Any]) -> tuple[Outcome, list[Event]]:
    events = list[Event]()
    await session.wait_connected()
    return await session.execute(str(uuid.uuid4()), submitted, observer=events.append), events


if COMFYUI:

    async def test_what_has_room_passes_and_is_told(session: ComfySession) -> None:
        outcome, events = await run(session, graph())
        assert isinstance(outcome, Succeeded)
        outputs = read_outputs(outcome.outputs)
        assert [file.graph_node for file in outputs.files] == ["5"]
        assert [text.text for text in outputs.texts] == ["info: here"]
        assert {event.text for event in events if isinstance(event, TextProgress)} == {"half (1/2)", "here"}
        assert any(isinstance(event, StepProgress) and event.graph_node == "3" for event in events)

    async def test_what_has_none_is_out_of_memory(session: ComfySession) -> None:
        outcome, _ = await run(session, graph(min_free_mb=1_048_576))
        assert isinstance(outcome, Failed)
        assert classify(outcome.error) is FailureClass.OUT_OF_MEMORY

    async def test_a_warning_stops_nothing(session: ComfySession) -> None:
        outcome, events = await run(session, graph(min_free_mb=1_048_576, when_low="warn"))
        assert isinstance(outcome, Succeeded)
        assert any("not enough memory" in event.text for event in events if isinstance(event, TextProgress))
