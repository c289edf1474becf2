from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from comfymesh.cli.session import Session
from comfymesh.client import (
    ArtifactStored,
    AsyncClient,
    Conflict,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    PreviewArrived,
    Progress,
    RetryPolicy,
    ServerError,
    TaskCancelled,
    TaskChanged,
    TaskExpired,
    TaskFailed,
    TaskState,
    Unavailable,
    transport,
)
from comfymesh.stack.mesh import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from comfymesh.client import Event

    from .fake_mesh import FakeMesh

GRAPH = {"3": {"class_type": "KSampler", "inputs": {"seed": 1}}}
COURSE = [TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RUNNING, TaskState.SUCCEEDED]


class ReleasedAtTheSecondWait(asyncio.Event):
    """Hangs whoever waits first."""

    waits = 0

    async def wait(self) -> bool:
        self.waits += 1
        return True if self.waits > 1 else await super().wait()


async def test_run_brings_the_bytes_of_every_artifact(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.filenames = ("a.png", "b.png")
    result = await client.run(GRAPH)
    assert result.task.state is TaskState.SUCCEEDED
    assert [artifact.data for artifact in result.artifacts] == [mesh.picture("a.png"), mesh.picture("b.png")]
    assert not mesh.called("ReadArtifact"), "the bytes came with the stream"


async def test_run_saves_into_the_directory_it_was_given(client: AsyncClient, tmp_path: Path) -> None:
    result = await client.run(GRAPH, out=tmp_path / "new" / "out")
    path = result.artifacts[0].path
    assert path == tmp_path / "new" / "out" / "ComfyUI_00001_.png"
    assert path.read_bytes() == result.artifacts[0].data


async def test_files_are_uploaded_and_integers_arrive_exactly(
    client: AsyncClient, mesh: FakeMesh, tmp_path: Path
) -> None:
    picture = tmp_path / "photo.png"
    picture.write_bytes(b"x" * 3_000_000)
    await client.run(GRAPH, {"3.seed": 2**64 - 1, "1.image": picture, "2.image": b"raw", "4.on": True})
    [request] = mesh.called("RunTask")
    inputs = request.task.inputs
    assert inputs["3.seed"].uint64_value == 2**64 - 1
    assert inputs["4.on"].bool_value is True
    assert mesh.assets[inputs["1.image"].asset] == picture.read_bytes()
    assert mesh.assets[inputs["2.image"].asset] == b"raw"
    assert [header.filename for header in mesh.called("UploadAsset")] == ["photo.png", ""]


async def test_progress_comes_in_order_to_plain_and_coroutine_callbacks(client: AsyncClient) -> None:
    seen: list[Progress] = []

    async def later(progress: Progress) -> None:
        seen.append(progress)

    await client.run(GRAPH, on_progress=later)
    coroutine_saw = list(seen)
    seen.clear()
    await client.run(GRAPH, on_progress=seen.append)
    assert seen == coroutine_saw
    assert [progress.queue_position for progress in seen[:2]] == [3, 1]
    assert [progress.step for progress in seen[2:]] == list(range(1, 20))


async def test_previews_come_only_when_asked_for(client: AsyncClient) -> None:
    with_previews: list[object] = []
    without: list[object] = []
    await client.run(GRAPH, on_event=with_previews.append, previews=True)
    await client.run(GRAPH, on_event=without.append)
    assert [e.preview.data for e in with_previews if isinstance(e, PreviewArrived)] == [b"jpeg"]
    assert not [e for e in without if isinstance(e, PreviewArrived)]


@pytest.mark.parametrize("cuts", [[0], [1], [2], [5, 0, 3, 1], [24], [25], [26, 0], [1] * 12])
@pytest.mark.parametrize("code", ["UNAVAILABLE", "CANCELLED"])
async def test_any_cut_of_the_streams_goes_unnoticed(
    client: AsyncClient, mesh: FakeMesh, cuts: list[int], code: str
) -> None:
    mesh.cut_after, mesh.cut_code = cuts, code
    events: list[Event] = []
    result = await client.run(GRAPH, on_event=events.append)
    assert [e.task.state for e in events if isinstance(e, TaskChanged)] == COURSE
    assert [e.artifact.filename for e in events if isinstance(e, ArtifactStored)] == ["a.png", "b.png"]
    assert result.artifacts[0].data == mesh.picture("ComfyUI_00001_.png")
    assert len(mesh.tasks) == 1, "the request ID keeps repeated creations one"


async def test_a_watch_goes_on_from_its_last_token(client: AsyncClient, mesh: FakeMesh) -> None:
    task = await client.create(GRAPH)
    mesh.cut_after = [4, 4]
    events = [event async for event in client.watch(task)]
    assert [e.task.state for e in events if isinstance(e, TaskChanged)] == COURSE
    assert [request.resume_token for request in mesh.called("WatchTask")] == ["", "3", "7"]
    assert all(event.resume_token for event in events[1:])


async def test_a_watch_can_be_resumed_by_token_in_another_client(client: AsyncClient, mesh: FakeMesh) -> None:
    task = await client.create(GRAPH)
    token = ""
    async with aclosing(client.watch(task)) as events:
        async for event in events:
            token = event.resume_token
            if isinstance(event, TaskChanged) and event.task.state is TaskState.RUNNING:
                break
    async with AsyncClient(mesh.target) as other:
        states = [e.task.state async for e in other.watch(task.name, token) if isinstance(e, TaskChanged)]
    assert states == [TaskState.SUCCEEDED]


async def test_a_stream_that_ends_before_the_final_state_is_resumed(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.ends_early = 3
    assert (await client.run(GRAPH)).task.state is TaskState.SUCCEEDED


async def test_a_watch_survives_a_restart_of_the_server(client: AsyncClient, mesh: FakeMesh) -> None:
    task = await client.create(GRAPH, display_name="hangs")
    states = []
    async for event in client.watch(task):
        if isinstance(event, TaskChanged):
            states.append(event.task.state)
        elif not mesh.released[task.name].is_set():
            await mesh.stop()
            await mesh.start()
            mesh.released[task.name].set()
    assert states == [TaskState.QUEUED, TaskState.RUNNING, TaskState.SUCCEEDED]


async def test_a_stream_that_falls_silent_is_resumed(
    client: AsyncClient, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "SILENCE_LIMIT", 0.2)
    task = await client.create(GRAPH, display_name="hangs")
    mesh.released[task.name] = ReleasedAtTheSecondWait()
    states = [event.task.state async for event in client.watch(task) if isinstance(event, TaskChanged)]
    assert states == [TaskState.QUEUED, TaskState.RUNNING, TaskState.SUCCEEDED]
    # A machine that stands still is silent as well.
    assert len(mesh.called("WatchTask")) >= 2


async def test_artifacts_that_come_with_the_final_state_are_not_read_again(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.together = True
    result = await client.run(GRAPH)
    assert result.artifacts[0].data == mesh.bytes_of(result.artifacts[0].name)
    assert not mesh.called("ReadArtifact")


async def test_lost_chunks_are_read_again(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.lose_chunks = True
    result = await client.run(GRAPH)
    assert result.artifacts[0].data == mesh.picture("ComfyUI_00001_.png")


async def test_a_read_goes_on_where_it_broke(client: AsyncClient, mesh: FakeMesh) -> None:
    task = (await client.run(GRAPH)).task
    mesh.cut_after = [2, 1, 2]
    artifact = await client.read_artifact(task.artifacts[0])
    assert artifact.data == mesh.picture("ComfyUI_00001_.png")
    assert [request.offset_bytes for request in mesh.called("ReadArtifact")] == [0, 1 << 19, 1 << 19, 1 << 20]


async def test_damaged_bytes_are_refused(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.damage = True
    with pytest.raises(ServerError) as caught:
        await client.run(GRAPH)
    assert caught.value.reason == "CONTENT_MISMATCH"


@pytest.mark.parametrize(
    ("script", "kind", "state"),
    [
        ("fails", TaskFailed, TaskState.FAILED),
        ("cancelled", TaskCancelled, TaskState.CANCELLED),
        ("expires", TaskExpired, TaskState.EXPIRED),
    ],
)
async def test_a_bad_end_raises_with_the_task(
    client: AsyncClient, script: str, kind: type[TaskFailed], state: TaskState
) -> None:
    with pytest.raises(kind) as caught:
        await client.run(GRAPH, display_name=script)
    assert caught.value.task.state is state


async def test_a_failed_task_carries_its_error(client: AsyncClient) -> None:
    with pytest.raises(TaskFailed) as caught:
        await client.run(GRAPH, display_name="fails")
    error = caught.value.task.error
    assert error is not None
    assert caught.value.reason == error.reason == "NODE_EXCEPTION"
    assert error.metadata["graph_node"] == "3"
    assert error.traceback.startswith("Traceback")


async def test_every_violation_is_in_the_exception(client: AsyncClient) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await client.run({"bad": {}})
    assert caught.value.reason == "INVALID_WORKFLOW"
    assert [violation.field for violation in caught.value.violations] == ["graph.3.seed", "graph.4.class"]
    assert "graph.3.seed: 5 is too small." in str(caught.value)


async def test_an_unknown_task_is_not_found(client: AsyncClient) -> None:
    with pytest.raises(NotFound) as caught:
        await client.get("nope")
    assert caught.value.reason == "TASK_NOT_FOUND"
    assert caught.value.metadata["resource_name"] == "tasks/nope"


async def test_a_watch_of_an_unknown_task_is_not_found(client: AsyncClient) -> None:
    with pytest.raises(NotFound):
        await anext(client.watch("nope"))


async def test_calls_that_a_stopping_server_cancels_are_made_again(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.cancelled = 2
    task = await client.create(GRAPH)
    mesh.cancelled = 1
    assert (await client.get(task)).name == task.name
    assert len(mesh.tasks) == 1


async def test_unavailable_calls_are_repeated_with_the_same_request_id(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.unavailable = 3
    await client.create(GRAPH)
    ids = {request.request_id for request in mesh.called("CreateTask")}
    assert len(mesh.called("CreateTask")) == 4
    assert len(ids) == 1
    assert all(ids)


async def test_uploads_are_repeated_from_their_beginning(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.unavailable = 2
    asset = await client.upload(b"data", filename="x.bin")
    assert mesh.assets == {asset.name: b"data"}


async def test_an_upload_that_is_refused_in_the_middle_says_why_at_once(mesh: FakeMesh) -> None:
    mesh.largest_asset = 2_000_000
    async with AsyncClient(mesh.target, retries=RetryPolicy(patience=0)) as client:
        for _ in range(5):
            with pytest.raises(InvalidRequest) as caught:
                await client.upload(b"x" * 20_000_000)
            assert caught.value.reason == "MESSAGE_TOO_LARGE"


async def test_other_refusals_are_not_repeated(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.refusal = ("RESOURCE_EXHAUSTED", "The queue is full.", "QUEUE_FULL")
    with pytest.raises(LimitExceeded):
        await client.create(GRAPH)
    assert len(mesh.called("CreateTask")) == 1


async def test_patience_ends(mesh: FakeMesh) -> None:
    mesh.unavailable = 1_000_000
    policy = RetryPolicy(connect_timeout=0.2, first_pause=0.01)
    async with AsyncClient(mesh.target, retries=policy) as client:
        with pytest.raises(Unavailable) as caught:
            await client.create(GRAPH)
    assert caught.value.reason == "BUS_UNAVAILABLE"


async def test_a_server_that_does_not_exist_is_said_to_be_unreachable() -> None:
    async with AsyncClient("127.0.0.1:1", retries=RetryPolicy(connect_timeout=0.2)) as client:
        with pytest.raises(Unavailable) as caught:
            await client.run(GRAPH)
    assert caught.value.reason == "SERVER_UNREACHABLE"
    assert "127.0.0.1:1" in caught.value.message


async def test_the_command_line_waits_for_a_server_as_long_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than a call may take otherwise: a mesh that is coming up refuses, or resets what is not served yet."""
    waited = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal waited
        waited += seconds

    async with Session("127.0.0.1:1", connect_timeout=120.0).client() as client:
        monkeypatch.setattr(client._server, "sleep", sleep)
        monkeypatch.setattr(client._server, "clock", lambda: waited)
        # The last try is left some seconds: in less it could be cut off, and not refused.
        monkeypatch.setattr(client._server, "chance", lambda: 1.0)
        with pytest.raises(Unavailable):
            await client.get("t1")
    assert 110.0 < waited <= 120.0


async def test_a_message_larger_than_the_server_takes_is_explained(client: AsyncClient) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await client.create({"3": {"class_type": "Text", "inputs": {"text": "x" * 5_000_000}}})
    assert caught.value.reason == "MESSAGE_TOO_LARGE"


async def test_list_goes_through_all_pages(client: AsyncClient, mesh: FakeMesh) -> None:
    for _ in range(5):
        await client.create(GRAPH)
    names = [task.name async for task in client.list(page_size=2)]
    assert names == ["tasks/t5", "tasks/t4", "tasks/t3", "tasks/t2", "tasks/t1"]
    assert len(mesh.called("ListTasks")) == 3
    assert [task async for task in client.list(states=[TaskState.FAILED])] == []


async def test_cancel_answers_the_task_and_refuses_what_has_ended(client: AsyncClient) -> None:
    task = await client.create(GRAPH, display_name="hangs")
    assert (await client.cancel(task, "no longer needed")).state is TaskState.CANCELLING
    done = (await client.run(GRAPH)).task
    with pytest.raises(Conflict):
        await client.cancel(done)


async def test_result_brings_what_an_earlier_task_made(client: AsyncClient, mesh: FakeMesh) -> None:
    task = await client.create(GRAPH)
    assert (await client.result(task.name)).artifacts[0].data == mesh.picture("ComfyUI_00001_.png")
    assert (await client.result("t1")).task.name == task.name


async def test_nodes_come_from_all_pages(client: AsyncClient) -> None:
    nodes = await client.nodes()
    assert [node.name for node in nodes] == ["nodes/gpu-1", "nodes/gpu-2"]
    assert nodes[0].gpus[0].model == "NVIDIA H200"
    assert nodes[0].instances[0].held_attempts == 1


@pytest.mark.parametrize("chance", [0.0, 0.99])
async def test_of_several_servers_one_that_serves_is_found(
    mesh: FakeMesh, chance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever is asked first: nobody listens at the other, neither at the first call nor when a stream goes on."""
    monkeypatch.setattr("random.random", lambda: chance)
    policy = RetryPolicy(connect_timeout=5.0, patience=5.0, first_pause=0.01, longest_pause=0.02)
    mesh.cut_after = [1, 2]
    async with AsyncClient(f"127.0.0.1:{free_port()},{mesh.target}", retries=policy) as client:
        result = await client.run(GRAPH)
        assert result.task.state is TaskState.SUCCEEDED
        assert await client.get(result.task.name)
