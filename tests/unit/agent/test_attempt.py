"""An attempt: whatever becomes of its prompt, the right record ends it."""

from __future__ import annotations

import asyncio

import pytest

from comfymesh.agent.comfyui.errors import ComfyError, GraphRefused
from comfymesh.agent.comfyui.events import ExecutionError, ExecutionSucceeded, NodeStarted, Preview, StepProgress
from comfymesh.agent.comfyui.outcome import Failed, Interrupted, Lost, Outcome, Succeeded
from comfymesh.bus import subjects
from comfymesh.bus.port import Entry, Message
from comfymesh.bus.tasklog import Stored
from comfymesh.scheduler.domain.breaker import OF_THE_INSTANCE
from comfymesh.tasks import codec
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import Key, ModelFile, Requirements, State, TaskRecord, Timing
from comfymesh.testkit.benches import FOLDERS, GRAPH, MAX_BYTES, PICTURE, SUCCESS, Bench, packed, prompt_of
from comfymesh.testkit.scripted import unreachable
from comfymesh.testkit.tasks import assigned, failed, queued
from comfymesh.v1 import task_pb2
from comfymesh.wire.v1 import spec_pb2

QUEUED, ASSIGNED, RUNNING = State.QUEUED, State.ASSIGNED, State.RUNNING
CANCELLING, CANCELLED = State.CANCELLING, State.CANCELLED
SUCCEEDED, FAILED = State.SUCCEEDED, State.FAILED

LONG = 0.06
KEY = Key("default", "one")
NOTHING = spec_pb2.AssetBinding(
    graph_node="1", input="image", blob=spec_pb2.BlobRef(sha256="ef" * 32, size_bytes=0), filename="in.png"
)
MISSING = spec_pb2.AssetBinding(
    graph_node="1", input="image", blob=spec_pb2.BlobRef(sha256="ef" * 32, size_bytes=5), filename="in.png"
)
REFUSED = GraphRefused({"type": "prompt_no_outputs", "message": "no"}, {})


def failure(record: TaskRecord) -> FailureClass:
    """How the last attempt failed."""
    return record.failures[-1].failure


async def test_what_was_made_is_stored_before_the_task_has_succeeded(bench: Bench) -> None:
    _, running = await bench.attempt_at()
    prompt = await bench.session.prompt()
    prompt.begin()
    prompt.end(SUCCESS)
    await running
    assert bench.states() == [QUEUED, ASSIGNED, SUCCEEDED]
    (artifact,) = bench.last().artifacts
    assert (artifact.filename, artifact.size_bytes, artifact.graph_node) == ("picture.png", 7, "9")
    assert bench.store_bus.stored(subjects.blob("default", artifact.sha256, 0))[0].data == b"picture"


async def test_a_prompt_is_submitted_under_the_id_of_its_attempt_with_a_folder_of_its_own(bench: Bench) -> None:
    _, running = await bench.attempt_at(assigned(), failed(FailureClass.INSTANCE_LOST))
    prompt = await bench.session.prompt()
    assert prompt.prompt_id == prompt_of(attempt=2)
    assert prompt.graph is not None
    assert prompt.graph["1"] == GRAPH["1"]
    assert prompt.graph["9"]["inputs"]["filename_prefix"] == f"{FOLDERS.of_attempt(KEY, 2)}/picture"
    prompt.end(SUCCESS)
    await running


async def test_where_its_time_went_is_in_its_last_record_and_what_it_used_is_in_memory(bench: Bench) -> None:
    model = ModelFile("Loader", "model_name", "big.safetensors")  # its result was cached
    _, running = await bench.attempt_at(requirements=Requirements((), (model,)))
    prompt = await bench.session.prompt()
    prompt.begin()
    await asyncio.sleep(1)
    prompt.tell(NodeStarted(prompt.prompt_id, "9", "9"))
    await asyncio.sleep(2)
    bench.workplace.peaks.see({"devices": [{"type": "cuda", "torch_vram_total": 5 * 2**30}]})
    prompt.tell(ExecutionSucceeded(prompt.prompt_id))
    prompt.end(SUCCESS)
    await running
    assert bench.last().timing == Timing(0.0, 3.0, peak_vram_bytes=5 * 2**30)
    assert bench.workplace.residency.resident() == ("big.safetensors",)


async def test_after_running_out_of_memory_an_instance_holds_nothing(bench: Bench) -> None:
    bench.workplace.residency.ran(("big.safetensors",), ())
    _, running = await bench.attempt_at()
    prompt = await bench.session.prompt()
    prompt.begin()
    prompt.end(Failed(ExecutionError("2", "KSampler", "torch.OutOfMemoryError", "CUDA out of memory")))
    await running
    assert bench.last().timing == Timing(0.0, 0.0)
    assert not bench.workplace.residency.resident()


RAISED = Failed(ExecutionError("2", "KSampler", "ValueError", "no such sampler"))


@pytest.mark.parametrize(
    ("outcome", "kind", "state"),
    [
        (RAISED, FailureClass.NODE_EXCEPTION, FAILED),
        (Interrupted(), FailureClass.INTERNAL, QUEUED),
        (Lost("gone"), FailureClass.INSTANCE_LOST, QUEUED),
        (Succeeded({}), FailureClass.OUTPUT_LOST, QUEUED),
        (Succeeded(PICTURE, {"8": {"errors": []}}), FailureClass.PARTIAL_OUTPUTS, FAILED),
    ],
)
async def test_an_outcome_that_is_no_success_fails_the_attempt(
    bench: Bench, outcome: Outcome, kind: FailureClass, state: State
) -> None:
    _, running = await bench.attempt_at()
    prompt = await bench.session.prompt()
    prompt.begin()
    await asyncio.sleep(LONG)
    prompt.end(outcome)
    await running
    assert bench.states() == [QUEUED, ASSIGNED, RUNNING, state]
    assert failure(bench.last()) is kind


async def test_partial_outputs_are_a_success_where_the_task_allows_them(bench: Bench) -> None:
    _, running = await bench.attempt_at(allow_partial_outputs=True)
    (await bench.session.prompt()).end(Succeeded(PICTURE, {"8": {"errors": []}}))
    await running
    assert bench.last().state is SUCCEEDED


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ComfyError("GET /history", 500, "no"), FailureClass.INTERNAL),
        (unreachable(), FailureClass.INSTANCE_LOST),
    ],
)
async def test_an_error_on_the_way_fails_what_has_begun(bench: Bench, error: Exception, kind: FailureClass) -> None:
    _, running = await bench.attempt_at()
    prompt = await bench.session.prompt()
    prompt.begin()
    prompt.break_off(error)
    await running
    assert bench.last().state is QUEUED
    assert failure(bench.last()) is kind


async def test_what_can_not_be_submitted_is_handed_back(bench: Bench) -> None:
    bench.session.refusal = unreachable("POST /prompt")
    _, running = await bench.attempt_at()
    await running
    assert bench.states() == [QUEUED, ASSIGNED, QUEUED]
    assert bench.last().failures == ()


async def test_a_graph_that_comfyui_refuses_fails_and_its_files_are_brought_again(bench: Bench) -> None:
    bench.session.refusal = REFUSED
    for task_id in ("one", "two"):
        _, running = await bench.attempt_at(task_id=task_id, spec=packed(GRAPH, NOTHING))
        await running
        assert failure(bench.last(task_id)) is FailureClass.INVALID_WORKFLOW
    assert len(bench.session.http.uploaded) == 2


async def test_a_graph_that_is_missing_fails_the_attempt(bench: Bench) -> None:
    record = queued()
    (sequence,) = await bench.bus.append([Entry(subjects.task(record.key), codec.encode(record), 0)])
    await bench.attempt(bench.offered(Stored(record.key, sequence, codec.encode(record)))).run()
    assert failure(bench.last()) is FailureClass.INTERNAL


async def test_an_asset_that_is_missing_fails_the_attempt(bench: Bench) -> None:
    _, running = await bench.attempt_at(spec=packed(GRAPH, MISSING))
    await running
    assert failure(bench.last()) is FailureClass.INTERNAL
    assert bench.session.submitted == []


async def test_an_output_that_is_gone_fails_the_attempt(bench: Bench) -> None:
    bench.session.http.files.clear()
    _, running = await bench.attempt_at()
    (await bench.session.prompt()).end(SUCCESS)
    await running
    assert failure(bench.last()) is FailureClass.OUTPUT_LOST
    # Else a second try would be answered from its cache, with the same name of a file that is not there.
    assert bench.session.http.freed == [(True, True)]


async def test_an_output_that_is_refused_is_the_graphs_and_costs_the_instance_nothing(bench: Bench) -> None:
    """Neither the models that ComfyUI has in memory, nor its good name: its breaker counts no such failure."""
    bench.session.http.files["picture.png"] = bytes(MAX_BYTES + 1)
    _, running = await bench.attempt_at()
    (await bench.session.prompt()).end(SUCCESS)
    await running
    assert bench.last().state is FAILED
    assert failure(bench.last()) is FailureClass.INVALID_WORKFLOW
    assert failure(bench.last()) not in OF_THE_INSTANCE
    assert bench.session.http.freed == []


async def test_of_what_is_lost_before_it_began_only_the_first_in_line_may_be_to_blame(bench: Bench) -> None:
    runs, prompts = [], []
    for task_id in ("one", "two", "three"):
        runs.append((await bench.attempt_at(task_id=task_id))[1])
        prompts.append(await bench.session.prompt())
    for prompt in prompts:
        prompt.end(Lost("the server died"))
    await asyncio.gather(*runs)
    assert failure(bench.last("one")) is FailureClass.INSTANCE_LOST
    assert (bench.last("two").state, bench.last("two").failures) == (QUEUED, ())
    assert (bench.last("three").state, bench.last("three").failures) == (QUEUED, ())


async def test_who_is_first_does_not_depend_on_who_finds_out_first(bench: Bench) -> None:
    runs, prompts = [], []
    for task_id in ("one", "two"):
        runs.append((await bench.attempt_at(task_id=task_id))[1])
        prompts.append(await bench.session.prompt())
    prompts[1].end(Lost("the server died"))
    await runs[1]
    prompts[0].end(Lost("the server died"))
    await runs[0]
    assert failure(bench.last("one")) is FailureClass.INSTANCE_LOST
    assert bench.last("two").failures == ()


@pytest.mark.parametrize("end", [SUCCESS, RAISED, Interrupted()])
async def test_the_next_in_line_is_first_once_the_one_before_has_ended(bench: Bench, end: Outcome) -> None:
    runs, prompts = [], []
    for task_id in ("one", "two"):
        runs.append((await bench.attempt_at(task_id=task_id))[1])
        prompts.append(await bench.session.prompt())
    prompts[0].end(end)
    await runs[0]
    prompts[1].end(Lost("the server died"))
    await runs[1]
    assert failure(bench.last("two")) is FailureClass.INSTANCE_LOST


async def test_what_was_lost_long_ago_does_not_excuse_what_takes_the_server_down_now(bench: Bench) -> None:
    for task_id in ("one", "two"):
        _, running = await bench.attempt_at(task_id=task_id)
        (await bench.session.prompt()).end(Lost("the server died"))
        await running
    assert failure(bench.last("two")) is FailureClass.INSTANCE_LOST


async def test_previews_are_asked_for_where_they_are_wanted(bench: Bench) -> None:
    for task_id, previews in (("one", True), ("two", False)):
        attempt = bench.attempt(bench.offered(await bench.task(task_id=task_id)), previews=previews)
        running = asyncio.create_task(attempt.run())
        prompt = await bench.session.prompt()
        assert prompt.extra_data is not None
        assert prompt.extra_data.get("preview_method") == ("auto" if previews else None)
        prompt.end(SUCCESS)
        await running


async def test_storing_is_a_phase_of_its_own(bench: Bench) -> None:
    _, running = await bench.attempt_at()
    prompt = await bench.session.prompt()
    prompt.begin()
    with bench.store_bus.away():
        prompt.end(SUCCESS)
        await asyncio.sleep(1)
    await running
    (message,) = bench.bus.stored(subjects.progress(KEY))
    assert task_pb2.TaskProgress.FromString(message.data).phase == task_pb2.TaskProgress.PHASE_STORING


async def test_a_file_is_taken_while_the_prompt_still_runs(bench: Bench) -> None:
    _, running = await bench.attempt_at()
    prompt = await bench.session.prompt()
    prompt.begin()
    prompt.show("9", PICTURE["9"])
    await asyncio.sleep(1)
    assert bench.session.http.viewed == ["picture.png"]
    prompt.end(SUCCESS)
    await running
    assert bench.session.http.viewed == ["picture.png"]


async def test_progress_is_told_while_it_executes_and_previews_while_somebody_watches(bench: Bench) -> None:
    previews: list[Message] = []
    await bench.bus.subscribe(subjects.preview(KEY), previews.append)
    attempt, running = await bench.attempt_at()
    prompt = await bench.session.prompt()
    prompt.begin()
    prompt.tell(StepProgress(prompt.prompt_id, "1", 1, 2))
    await asyncio.sleep(LONG / 2)
    assert bench.bus.stored(subjects.progress(KEY)) == []
    await asyncio.sleep(LONG)
    (message,) = bench.bus.stored(subjects.progress(KEY))
    told = task_pb2.TaskProgress.FromString(message.data)
    assert (told.phase, told.graph_node_class, told.step) == (task_pb2.TaskProgress.PHASE_EXECUTING, "EmptyImage", 1)
    attempt.show_previews()
    prompt.tell(Preview(b"image", "image/png", prompt.prompt_id, "1"))
    await asyncio.sleep(1)
    assert task_pb2.Preview.FromString(previews[0].data).data == b"image"
    prompt.end(SUCCESS)
    await running


async def test_nothing_goes_on_after_the_end(bench: Bench) -> None:
    bench.workplace.forget("another", Key("default", "another"), 1)
    before = asyncio.all_tasks()
    _, running = await bench.attempt_at()
    prompt = await bench.session.prompt()
    prompt.begin()
    bench.session.http.held.clear()
    prompt.show("9", PICTURE["9"])
    await asyncio.sleep(LONG)
    prompt.end(RAISED)
    await running
    assert asyncio.all_tasks() == before
    assert bench.session.http.viewing == 0
