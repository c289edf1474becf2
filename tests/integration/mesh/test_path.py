"""The whole path: a workflow goes in by gRPC, pictures come out."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image

from comfymesh.testkit import graphs
from comfymesh.testkit.meshes import LocalMesh, State, is_course, states_of, task_of
from comfymesh.testkit.refusals import refused
from comfymesh.testkit.waiting import until
from comfymesh.v1 import asset_service_pb2, error_reason_pb2, task_pb2, task_service_pb2

pytestmark = pytest.mark.asyncio(loop_scope="session")

Messages = list[task_service_pb2.RunTaskResponse]

HIGHEST_SEED = 2**64 - 1
ABOVE_DOUBLES = 2**53 + 1


def photo(edge: int = 24) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (edge, edge), (250, 200, 10)).save(content, "PNG")
    return content.getvalue()


async def run(mesh: LocalMesh, graph: graphs.Graph, **request: Any) -> Messages:
    fields = request.pop("fields", {})
    call = mesh.tasks.RunTask(task_service_pb2.RunTaskRequest(task=task_of(graph, **fields), **request))
    return [message async for message in call]


async def run_until(enough: Callable[[Messages], bool], mesh: LocalMesh, **request: Any) -> Messages:
    """Run steps until enough was told of a run: what flows meanwhile is lost to those who stand still as long."""

    async def look() -> Messages | None:
        messages = await run(mesh, graphs.steps(20, 0.05, preview=True), **request)
        return messages if enough(messages) else None

    return await until(look, "a run of which enough is told")


def steps_told(messages: Messages) -> int:
    return sum(message.progress.graph_node == "2" for message in messages)


def previews_of(messages: Messages) -> list[task_pb2.Preview]:
    return [message.preview for message in messages if message.HasField("preview")]


def guesses_of(messages: Messages) -> list[int]:
    """Milliseconds that were said to be left."""
    return [m.progress.eta.ToMilliseconds() for m in messages if m.progress.HasField("eta")]


async def read(mesh: LocalMesh, name: str, offset: int = 0) -> tuple[task_pb2.Artifact, bytes]:
    request = asset_service_pb2.ReadArtifactRequest(name=name, offset_bytes=offset)
    messages = [message async for message in mesh.assets.ReadArtifact(request)]
    assert [message.HasField("artifact") for message in messages] == [True, *(False for _ in messages[1:])]
    return messages[0].artifact, b"".join(message.data for message in messages)


async def upload(mesh: LocalMesh, data: bytes, **header: str) -> Any:
    async def parts() -> Any:
        yield asset_service_pb2.UploadAssetRequest(header=asset_service_pb2.UploadAssetHeader(**header))
        for start in range(0, len(data), 1000):
            yield asset_service_pb2.UploadAssetRequest(data=data[start : start + 1000])

    return (await mesh.assets.UploadAsset(parts())).asset


def chunks_of(messages: Messages) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for message in messages:
        for chunk in [message.artifact_chunk] if message.HasField("artifact_chunk") else message.artifact_chunks:
            assert chunk.offset_bytes == len(found.setdefault(chunk.artifact, b""))
            found[chunk.artifact] += chunk.data
    return found


def prompt_of(picture: bytes) -> dict[str, Any]:
    """The graph that ComfyUI wrote into a picture."""
    with Image.open(io.BytesIO(picture)) as opened:
        prompt: dict[str, Any] = json.loads(opened.info["prompt"])
    return prompt


async def test_a_run_tells_every_state_once_and_in_order_and_brings_its_pictures(mesh: LocalMesh) -> None:
    messages = await run(mesh, graphs.text_to_image(), include_artifacts=True)
    assert is_course(states_of(messages))
    assert all(message.resume_token for message in messages)
    final = [message.task for message in messages if message.HasField("task")][-1]
    (artifact,) = final.artifacts
    (data,) = chunks_of(messages).values()
    assert hashlib.sha256(data).hexdigest() == artifact.sha256
    assert len(data) == artifact.size_bytes
    assert (artifact.media_type, artifact.graph_node, artifact.output_key) == ("image/png", "9", "images")
    assert artifact.kind == task_pb2.Artifact.KIND_OUTPUT
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (64, 64)


async def test_the_final_record_says_where_and_when_it_ran(mesh: LocalMesh) -> None:
    task = await mesh.finished((await mesh.create(graphs.picture(), labels={"a": "b"}, display_name="mine")).name)
    assert (task.node, task.instance, task.attempt) == ("nodes/local-0", "comfyui-0", 1)
    assert (dict(task.labels), task.display_name, task.graph_json) == ({"a": "b"}, "mine", "")
    moments = [task.create_time, task.start_time, task.end_time]
    assert moments == sorted(moments, key=lambda moment: moment.ToNanoseconds())
    assert task.end_time == task.update_time
    assert not task.HasField("error")


async def test_small_artifacts_come_with_the_final_state_and_nothing_follows_it(mesh: LocalMesh) -> None:
    messages = await run(mesh, graphs.every_kind(), include_artifacts=True, include_previews=True)
    artifacts = messages[-1].task.artifacts
    assert len(artifacts) >= 5
    assert [chunk.artifact for chunk in messages[-1].artifact_chunks] == [artifact.name for artifact in artifacts]
    for artifact, data in zip(artifacts, chunks_of(messages).values(), strict=True):
        assert hashlib.sha256(data).hexdigest() == artifact.sha256


async def test_large_artifacts_follow_the_final_state_in_pieces_and_nothing_else_does(mesh: LocalMesh) -> None:
    graph = graphs.text_to_image()
    graph["4"]["inputs"] |= {"width": 1536, "height": 1536}
    messages = await run(mesh, graph, include_artifacts=True)
    kinds = [message.WhichOneof("event") for message in messages]
    last_state = max(index for index, kind in enumerate(kinds) if kind == "task")
    assert len(kinds[last_state + 1 :]) > 1
    assert set(kinds[last_state + 1 :]) == {"artifact_chunk"}
    (data,) = chunks_of(messages).values()
    assert len(data) > 1024 * 1024
    assert hashlib.sha256(data).hexdigest() == messages[last_state].task.artifacts[0].sha256


async def test_progress_never_goes_back_and_tells_steps_and_graph_nodes(mesh: LocalMesh) -> None:
    messages = await run_until(lambda messages: steps_told(messages) >= 5, mesh)
    told = [m.progress for m in messages if m.HasField("progress") and m.progress.attempt == 1]
    for earlier, later in pairwise(told):
        assert later.fraction >= earlier.fraction
        assert later.graph_nodes_done >= earlier.graph_nodes_done
        assert later.phase >= earlier.phase
    stepping = [progress for progress in told if progress.graph_node == "2"]
    assert {progress.graph_node_class for progress in stepping} == {"ProbeSleepSteps"}
    assert {progress.step_count for progress in stepping} >= {20}
    assert [p.step for p in stepping] == sorted(p.step for p in stepping)
    assert {progress.graph_node_count for progress in told} >= {3}


async def test_an_attempt_that_takes_long_tells_when_it_will_end(mesh: LocalMesh) -> None:
    messages = await run_until(lambda messages: bool(guesses_of(messages)), mesh)
    guesses, final = guesses_of(messages), messages[-1].task
    took = final.end_time.ToMilliseconds() - final.start_time.ToMilliseconds()
    # However slow its beginning: what is left after half of it is less than the whole.
    assert 0 <= guesses[-1] < took
    assert all(guess >= 0 for guess in guesses)


async def test_previews_flow_to_those_who_ask_for_them(mesh: LocalMesh) -> None:
    messages = await run_until(lambda messages: len(previews_of(messages)) >= 2, mesh, include_previews=True)
    for preview in previews_of(messages):
        assert (preview.attempt, preview.graph_node, preview.media_type) == (1, "2", "image/jpeg")
        with Image.open(io.BytesIO(preview.data)) as picture:
            assert picture.format == "JPEG"


async def test_no_previews_flow_to_those_who_do_not_ask(mesh: LocalMesh) -> None:
    messages = await run(mesh, graphs.steps(10, 0.05, preview=True))
    assert not any(message.HasField("preview") for message in messages)


async def test_a_picture_goes_in_and_its_counterpart_comes_out(mesh: LocalMesh) -> None:
    asset = await upload(mesh, photo(), filename="mein Foto.png")
    assert asset.sha256 == hashlib.sha256(photo()).hexdigest()
    assert (asset.name, asset.filename, asset.media_type) == (f"assets/{asset.sha256}", "mein Foto.png", "image/png")
    inputs = {"1.image": task_pb2.InputValue(asset=asset.name)}
    messages = await run(mesh, graphs.inverted(), fields={"inputs": inputs}, include_artifacts=True)
    (data,) = chunks_of(messages).values()
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.convert("RGB").getpixel((3, 3)) == (5, 55, 245)


async def test_where_files_lie_is_told_by_nothing_and_of_no_use(mesh: LocalMesh) -> None:
    asset = await upload(mesh, photo(8), filename="secret.png")
    given = {"1.image": task_pb2.InputValue(asset=asset.name)}
    messages = await run(mesh, graphs.inverted(), fields={"inputs": given}, include_artifacts=True)
    (data,) = chunks_of(messages).values()
    texts = [value for node in prompt_of(data).values() for value in node["inputs"].values() if isinstance(value, str)]
    paths = [text for text in texts if text.startswith("comfymesh/")]
    assert len(paths) == 2
    task_id = messages[-1].task.name.removeprefix("tasks/")
    for path in paths:
        assert not any(word in path for word in ("default", asset.sha256[:8], task_id))
        own = {"1.image": task_pb2.InputValue(string_value=path)}
        task = task_of(graphs.inverted(), inputs=own)
        refusal = await refused(mesh.tasks.CreateTask(task_service_pb2.CreateTaskRequest(task=task)))
        assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
        assert set(refusal.violations) == {"task.inputs[1.image]"}


@pytest.mark.parametrize("seed", [HIGHEST_SEED, ABOVE_DOUBLES], ids=["2^64-1", "2^53+1"])
@pytest.mark.parametrize("as_input", [True, False], ids=["as an input", "in the graph"])
async def test_an_integer_arrives_at_comfyui_with_every_bit(mesh: LocalMesh, seed: int, as_input: bool) -> None:  # noqa: FBT001
    inputs = {"5.seed": task_pb2.InputValue(uint64_value=seed)} if as_input else {}
    graph = graphs.text_to_image(seed=0 if as_input else seed, count=1)
    messages = await run(mesh, graph, fields={"inputs": inputs}, include_artifacts=True)
    (data,) = chunks_of(messages).values()
    assert prompt_of(data)["5"]["inputs"]["seed"] == seed


async def test_values_of_every_type_are_set_into_the_graph(mesh: LocalMesh) -> None:
    inputs = {
        "2.steps": task_pb2.InputValue(int64_value=2),
        "2.seconds_per_step": task_pb2.InputValue(double_value=0.001),
        "2.preview": task_pb2.InputValue(bool_value=True),
        "9.filename_prefix": task_pb2.InputValue(string_value="gesetzt ☃"),
    }
    messages = await run(mesh, graphs.steps(999, 9.0), fields={"inputs": inputs}, include_artifacts=True)
    (data,) = chunks_of(messages).values()
    prompt = prompt_of(data)
    assert {prompt["2"]["inputs"][name] for name in ("steps", "seconds_per_step")} == {2, 0.001}
    assert prompt["2"]["inputs"]["preview"] is True
    assert prompt["9"]["inputs"]["filename_prefix"].endswith("gesetzt ☃")


async def test_outputs_of_every_kind_are_collected(mesh: LocalMesh) -> None:
    task = await mesh.finished((await mesh.create(graphs.every_kind())).name)
    found = {artifact.graph_node: artifact for artifact in task.artifacts}
    kinds = {node: (a.media_type.partition(";")[0], a.output_key) for node, a in found.items()}
    assert kinds == {
        "10": ("text/plain", "text"),
        "11": ("audio/wav", "audio"),
        "12": ("video/mp4", "images"),
        "13": ("image/gif", "gifs"),
        "14": ("image/png", "images"),
    }
    assert found["14"].kind == task_pb2.Artifact.KIND_TEMP
    assert {found[node].kind for node in ("10", "11", "12", "13")} == {task_pb2.Artifact.KIND_OUTPUT}
    for artifact in task.artifacts:
        described, data = await read(mesh, artifact.name)
        assert described == artifact
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (artifact.sha256, artifact.size_bytes)
    assert (await read(mesh, found["10"].name))[1] == b"a text"


async def test_a_batch_brings_every_picture(mesh: LocalMesh) -> None:
    graph = graphs.picture()
    graph["1"]["inputs"]["batch_size"] = 4
    task = await mesh.finished((await mesh.create(graph)).name)
    assert len(task.artifacts) == 4
    assert len({artifact.name for artifact in task.artifacts}) == 4


async def test_an_artifact_can_be_read_from_any_offset_and_no_other(mesh: LocalMesh) -> None:
    task = await mesh.finished((await mesh.create(graphs.text_to_image())).name)
    name, size = task.artifacts[0].name, task.artifacts[0].size_bytes
    whole = (await read(mesh, name))[1]
    assert (await read(mesh, name, 17))[1] == whole[17:]
    assert (await read(mesh, name, size))[1] == b""
    for wrong in (-1, size + 1):
        request = asset_service_pb2.ReadArtifactRequest(name=name, offset_bytes=wrong)
        refusal = await refused(mesh.assets.ReadArtifact(request).read())
        assert refusal.is_ == ("INVALID_ARGUMENT", "INPUT_INVALID")
        assert set(refusal.violations) == {"offset_bytes"}


async def test_a_graph_node_that_raises_fails_the_task_and_ends_the_stream_well(mesh: LocalMesh) -> None:
    messages = await run(mesh, graphs.raising("runtime"))
    assert states_of(messages) == ["QUEUED", "ASSIGNED", "RUNNING", "FAILED"]
    error = [message.task for message in messages if message.HasField("task")][-1].error
    assert error.reason == error_reason_pb2.ERROR_REASON_NODE_EXCEPTION
    metadata = dict(error.metadata)
    assert metadata.pop("noticed_by") in {"socket", "poll"}  # As late as the socket may be on a busy machine.
    assert metadata == {"graph_node": "2", "graph_node_class": "ProbeRaise", "exception_type": "RuntimeError"}
    assert "deliberate failure" in error.message
    assert not error.retryable


async def test_an_exception_is_retried_as_often_as_the_caller_said(mesh: LocalMesh) -> None:
    task = await mesh.finished((await mesh.create(graphs.raising("runtime"), max_retries=1)).name)
    assert (task.state, task.attempt) == (State.STATE_FAILED, 2)


async def test_an_attempt_that_executes_too_long_is_interrupted_and_final(mesh: LocalMesh) -> None:
    graph, limit = graphs.steps(1000, 0.05), {"nanos": 300_000_000}
    task = await mesh.finished((await mesh.create(graph, execution_timeout=limit)).name)
    assert (task.state, task.attempt) == (State.STATE_FAILED, 1)
    assert task.error.reason == error_reason_pb2.ERROR_REASON_TIMEOUT
    assert (await mesh.finished((await mesh.create(graphs.picture())).name)).state == State.STATE_SUCCEEDED


async def test_valid_outputs_of_a_half_invalid_graph_run_when_that_is_allowed(mesh: LocalMesh) -> None:
    graph = graphs.picture()
    graph["8"] = graphs.node("SaveImage", images=["7", 0], filename_prefix="x")
    graph["7"] = graphs.node("EmptyImage", width=16, height=-5, batch_size=1, color=0)
    task = await mesh.finished((await mesh.create(graph, allow_partial_outputs=True)).name)
    assert task.state == State.STATE_SUCCEEDED
    assert {artifact.graph_node for artifact in task.artifacts} == {"9"}


async def test_a_graph_that_does_not_fit_into_a_message_runs_too(mesh: LocalMesh) -> None:
    graph = graphs.picture()
    # Random digits, since what is stored is compressed.
    letters = "".join(hashlib.sha256(str(n).encode()).hexdigest() for n in range(40_000))
    graph["5"] = graphs.node("PreviewAny", source=letters)
    task = await mesh.finished((await mesh.create(graph)).name)
    assert task.state == State.STATE_SUCCEEDED
    assert sum(artifact.size_bytes for artifact in task.artifacts) > len(letters)


async def test_health_answers_for_every_service(mesh: LocalMesh) -> None:
    async with grpc.aio.insecure_channel(mesh.target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", "TaskService", "AssetService", "FleetService"):
            service = f"comfymesh.v1.{name}" if name else ""
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def told_early(mesh: LocalMesh) -> tuple[task_pb2.Task, task_pb2.Artifact, bytes] | None:
    """A task of two pictures, and the one that was told and read before its end; None where its end came first."""
    call = mesh.tasks.RunTask(task_service_pb2.RunTaskRequest(task=task_of(graphs.two_pictures())))
    told, data = None, b""
    async for message in call:
        for artifact in message.progress.artifacts[: told is None]:
            told, data = await read(mesh, artifact.name)
            assert told == artifact
    return (message.task, told, data) if told is not None else None


async def test_an_artifact_is_told_and_can_be_read_while_the_attempt_goes_on(mesh: LocalMesh) -> None:
    """And it is the one that the task has made in the end."""
    final, told, early = await until(lambda: told_early(mesh), "an artifact that is told before the end")
    first, second = final.artifacts
    assert (first.graph_node, first.sha256, second.graph_node) == (told.graph_node, told.sha256, "19")
    assert await read(mesh, first.name) == (first, early)
    assert await read(mesh, told.name) == (first, early)
