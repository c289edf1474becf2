"""The client on whole servers: always the emulator, and the real ComfyUI that COMFYUI_URL names."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from comfymesh.agent.comfyui.control import Standing
from comfymesh.agent.comfyui.errors import GraphRefused, OutputMissing
from comfymesh.agent.comfyui.events import Event, NodeStarted, Preview, StepProgress
from comfymesh.agent.comfyui.inventory import take_inventory
from comfymesh.agent.comfyui.outcome import Failed, Interrupted, Lost, Outcome, Succeeded
from comfymesh.agent.comfyui.outputs import OutputFile, OutputKind, read_outputs
from comfymesh.agent.comfyui.progress import PromptProgress
from comfymesh.agent.comfyui.session import ComfySession
from comfymesh.agent.comfyui.timings import SessionTimings
from comfymesh.emulator import Fault, Settings, serving
from comfymesh.testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DATA = Path(__file__).parents[2] / "data" / "comfyui"
REAL = os.environ.get("COMFYUI_URL")
SERVERS = ["emulator", *([pytest.param(REAL, marks=pytest.mark.comfyui, id="real")] if REAL else [])]
# What nobody reads by chance: a prompt that ends in time was told by the socket.
TIMINGS = SessionTimings(poll=600, poll_unheard=0.2)


@pytest.fixture(params=SERVERS)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param != "emulator":
        yield request.param
        return
    async with serving(Settings(base_directory=tmp_path, port=0)) as url:
        yield url


@pytest.fixture
async def session(url: str) -> AsyncIterator[ComfySession]:
    async with ComfySession(url, timings=TIMINGS) as session:
        yield session


@pytest.fixture
async def tiny_model(session: ComfySession) -> None:
    """Skips the test where a real server does not have the tiny model."""
    model = workflow("04-tiny-txt2img")["1"]["inputs"]["ckpt_name"]
    if model not in (await session.http.models("checkpoints") or ()):
        pytest.skip(f"the server lacks the model file {model}")


with_model = pytest.mark.usefixtures("tiny_model")


def workflow(name: str) -> dict[str, Any]:
    """A recorded workflow that writes where no other run has written."""
    graph: dict[str, Any] = json.loads((DATA / "workflows" / f"{name}.json").read_text())
    for node in graph.values():
        if "filename_prefix" in node["inputs"]:
            node["inputs"]["filename_prefix"] = f"agent-tests/{uuid.uuid4().hex}/a"
    return graph


def sampling(steps: int) -> dict[str, Any]:
    graph = workflow("04-tiny-txt2img")
    graph["5"]["inputs"] |= {"steps": steps, "seed": uuid.uuid4().int >> 64}
    return graph


class Run:
    """One prompt, and what its observer saw."""

    def __init__(self, session: ComfySession, graph: dict[str, Any], **extra_data: Any) -> None:
        self.prompt_id = str(uuid.uuid4())
        self.events: list[Event] = []
        self.started = asyncio.Event()
        self.task: asyncio.Task[Outcome] = asyncio.create_task(
            session.execute(self.prompt_id, graph, extra_data=extra_data, observer=self._observe)
        )
        # So that a prompt which ends too early fails its test instead of halting it.
        self.task.add_done_callback(lambda _: self.started.set())

    def _observe(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, StepProgress):
            self.started.set()


async def succeeded(session: ComfySession, graph: dict[str, Any], **extra_data: Any) -> tuple[Run, Succeeded]:
    run = Run(session, graph, **extra_data)
    outcome = await run.task
    assert isinstance(outcome, Succeeded)
    return run, outcome


@pytest.mark.parametrize("name", ["01-empty-save", "03-blur-composite", "06-batch-save-and-preview"])
async def test_a_workflow_brings_out_its_pictures(session: ComfySession, name: str) -> None:
    manifest = json.loads((DATA / "manifest.json").read_text())[f"{name}.json"]
    _, outcome = await succeeded(session, workflow(name))
    files = read_outputs(outcome.outputs).files
    assert {
        (node, kind, len([one for one in files if one.graph_node == node]))
        for node, expected in manifest["outputs"].items()
        for kind in expected["type"]
    } == {
        (one.graph_node, one.type, len([other for other in files if other.graph_node == one.graph_node]))
        for one in files
    }
    for file in files:
        assert file.kind is OutputKind.IMAGE
        assert (await anext(session.http.view(file))).startswith(b"\x89PNG")


@with_model
async def test_progress_goes_forward_to_the_end_and_previews_name_their_graph_node(session: ComfySession) -> None:
    graph = sampling(6)
    run, _ = await succeeded(session, graph, preview_method="latent2rgb")
    progress = PromptProgress({node: body["class_type"] for node, body in graph.items()})
    views = []
    for event in run.events:
        progress.feed(event)
        views.append(progress.view)
    assert all(a.fraction <= b.fraction for a, b in pairwise(views))
    assert views[-1].fraction == 1
    assert (6, 6) in {(view.step, view.step_count) for view in views if view.graph_node_class == "KSampler"}
    previews = [event for event in run.events if isinstance(event, Preview)]
    assert len(previews) == 6
    assert {(one.prompt_id, one.graph_node, one.media_type) for one in previews} == {(run.prompt_id, "5", "image/jpeg")}


async def test_a_cached_prompt_brings_out_the_same_files_and_runs_nothing(session: ComfySession) -> None:
    graph = workflow("01-empty-save")
    _, first = await succeeded(session, graph)
    run, second = await succeeded(session, graph)
    assert second.outputs == first.outputs
    assert not [event for event in run.events if isinstance(event, NodeStarted)]


async def test_an_uploaded_picture_can_be_worked_on(session: ComfySession) -> None:
    content = (DATA / "inputs" / "probe-input.png").read_bytes()
    name = await session.http.upload_image(content, "picture.png", f"agent-tests/{uuid.uuid4().hex}")
    graph = workflow("02-load-scale-save")
    loader = next(node for node in graph.values() if node["class_type"] == "LoadImage")
    loader["inputs"]["image"] = name
    _, outcome = await succeeded(session, graph)
    assert len(read_outputs(outcome.outputs).files) == 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("90-invalid-unknown-class", "missing_node_type"),
        ("93-invalid-missing-checkpoint", "prompt_outputs_failed_validation"),
        ("96-invalid-no-outputs", "prompt_no_outputs"),
    ],
)
async def test_an_invalid_graph_is_refused_by_kind(session: ComfySession, name: str, kind: str) -> None:
    with pytest.raises(GraphRefused) as refused:
        await Run(session, workflow(name)).task
    assert refused.value.error["type"] == kind


async def test_a_half_invalid_graph_tells_what_was_left_out(session: ComfySession) -> None:
    graph = workflow("99-half-invalid")
    _, outcome = await succeeded(session, graph)
    assert outcome.node_errors
    assert not set(outcome.executed_outputs) & set(outcome.node_errors)


async def test_a_graph_node_that_raises_fails_the_prompt(session: ComfySession) -> None:
    graph = workflow("01-empty-save")
    saver = next(key for key, node in graph.items() if node["class_type"] == "SaveImage")
    graph[saver]["inputs"]["filename_prefix"] = "../../outside"
    outcome = await Run(session, graph).task
    assert isinstance(outcome, Failed)
    assert (outcome.error.graph_node, outcome.error.graph_node_class) == (saver, "SaveImage")
    assert outcome.error.exception_type
    assert outcome.error.message


@pytest.mark.parametrize("routes", ["jobs", "queue"])
@with_model
async def test_a_running_prompt_is_stopped(session: ComfySession, routes: str) -> None:
    run = Run(session, sampling(500))
    await run.started.wait()
    session._control._has_jobs = session._control._has_job_cancel = routes == "jobs"
    await session.cancel(run.prompt_id)
    assert await run.task == Interrupted()


@pytest.mark.parametrize("routes", ["jobs", "queue"])
@with_model
async def test_a_waiting_prompt_is_stopped_and_the_running_one_goes_on(session: ComfySession, routes: str) -> None:
    first = Run(session, sampling(2000))
    await first.started.wait()
    session._control._has_jobs = session._control._has_job_cancel = routes == "jobs"
    second = Run(session, workflow("01-empty-save"))
    while await session.look(second.prompt_id) is not Standing.PENDING:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.01)
    await session.cancel(second.prompt_id)
    assert await second.task == Interrupted()
    told = len(first.events) + 10  # More than can have been on its way.
    await until(lambda: len(first.events) > told, "a prompt that goes on")
    await session.cancel(first.prompt_id)
    assert await first.task == Interrupted()


@with_model
async def test_a_prompt_that_waits_behind_another_is_run_too(session: ComfySession) -> None:
    runs = [Run(session, sampling(3)), Run(session, workflow("01-empty-save"))]
    outcomes = [await run.task for run in runs]
    assert [type(outcome) for outcome in outcomes] == [Succeeded, Succeeded]


@pytest.mark.parametrize("routes", ["jobs", "queue"])
@with_model
async def test_a_later_life_adopts_the_running_prompt(session: ComfySession, url: str, routes: str) -> None:
    run = Run(session, sampling(20))
    await run.started.wait()
    async with ComfySession(url, timings=TIMINGS) as later:
        await later.wait_connected()
        later._control._has_jobs = routes == "jobs"
        assert isinstance(await later.resume(run.prompt_id, lambda _: None), Succeeded)
    assert isinstance(await run.task, Succeeded)


async def test_a_forgotten_prompt_is_lost_to_a_later_life(session: ComfySession) -> None:
    run, _ = await succeeded(session, workflow("01-empty-save"))
    await session.http.delete_history(run.prompt_id)
    assert isinstance(await session.resume(run.prompt_id, lambda _: None), Lost)


@with_model
async def test_the_server_tells_what_it_is_and_has(session: ComfySession) -> None:
    http = session.http
    stats = await http.system_stats()
    assert stats["system"]["comfyui_version"]
    assert stats["devices"]
    assert (await http.features())["supports_preview_metadata"] is True
    assert set(await http.object_info("EmptyImage")) == {"EmptyImage"}
    assert await http.object_info("NoSuchNodeClass") == {}
    assert "tiny-sd3-random.safetensors" in (await http.models("checkpoints") or ())
    assert await http.models("no-such-kind") is None


async def test_a_file_that_is_not_there_is_missing(session: ComfySession) -> None:
    with pytest.raises(OutputMissing):
        await anext(session.http.view(OutputFile("1", OutputKind.IMAGE, f"{uuid.uuid4()}.png", "", "output", 0)))


async def test_memory_can_be_freed(session: ComfySession) -> None:
    await session.http.free(unload_models=True, free_memory=True)
    await succeeded(session, workflow("01-empty-save"))


async def test_a_server_that_dies_mid_run_loses_the_prompt(tmp_path: Path) -> None:
    settings = Settings(base_directory=tmp_path, port=0, faults={Fault.EXIT_MID_RUN: 3})
    async with serving(settings) as url, ComfySession(url, timings=TIMINGS) as session:
        assert isinstance(await Run(session, sampling(10)).task, Lost)


async def test_a_server_whose_sockets_fall_silent_still_brings_the_end(tmp_path: Path) -> None:
    settings = Settings(base_directory=tmp_path, port=0)
    fast = SessionTimings(poll=0.1)
    async with serving(settings) as url, ComfySession(url, timings=fast) as session:
        run = Run(session, sampling(10))
        await run.started.wait()
        await set_faults(url, {Fault.SILENT_SOCKET: 1})
        assert isinstance(await run.task, Succeeded)


@pytest.mark.parametrize("routes", ["jobs", "queue"])
async def test_an_interrupt_that_is_lost_is_sent_again(tmp_path: Path, routes: str) -> None:
    """It comes when ComfyUI has taken the prompt out of its queue, and has not yet begun."""
    settings = Settings(base_directory=tmp_path, port=0, faults={Fault.LOST_INTERRUPT: 0.5})
    async with serving(settings) as url, ComfySession(url, timings=TIMINGS) as session:
        run = Run(session, sampling(2000))
        await until(lambda: is_running(session, run.prompt_id), "a prompt that is out of the queue")
        session._control._has_jobs = session._control._has_job_cancel = routes == "jobs"
        await session.cancel(run.prompt_id)
        assert await run.task == Interrupted()


async def is_running(session: ComfySession, prompt_id: str) -> bool:
    return await session.look(prompt_id) is Standing.RUNNING


async def set_faults(url: str, faults: dict[Fault, float]) -> None:
    async with aiohttp.ClientSession() as http, http.post(f"{url}/emulator/faults", json=faults) as answer:
        answer.raise_for_status()


@with_model
async def test_model_files_have_sizes(session: ComfySession) -> None:
    folders = await session.http.model_folders()
    assert "checkpoints" in folders
    files = await session.http.model_files("checkpoints")
    assert "tiny-sd3-random.safetensors" in files
    assert all(size >= 0 for size in files.values())


@with_model
async def test_node_classes_and_files_are_counted(session: ComfySession) -> None:
    inventory = await take_inventory(session.http, 7)
    assert (inventory.node_classes, inventory.model_files > 0) == (7, True)
