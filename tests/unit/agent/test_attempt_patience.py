"""An attempt that an earlier life began, and one that has to wait for what is away."""

from __future__ import annotations

import asyncio

import pytest

from comfymesh.agent.comfyui.control import Standing
from comfymesh.agent.comfyui.errors import GraphRefused
from comfymesh.artifacts.content import Content
from comfymesh.tasks.events import CancelRequested, Event, Started
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import State, TaskRecord
from comfymesh.testkit.benches import GRAPH, SUCCESS, Bench, packed, prompt_of
from comfymesh.testkit.scripted import unreachable
from comfymesh.testkit.tasks import assigned
from comfymesh.wire.v1 import spec_pb2

QUEUED, ASSIGNED, RUNNING = State.QUEUED, State.ASSIGNED, State.RUNNING
CANCELLING, CANCELLED = State.CANCELLING, State.CANCELLED
SUCCEEDED, FAILED = State.SUCCEEDED, State.FAILED

LONG = 0.06
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


@pytest.mark.parametrize("standing", [Standing.PENDING, Standing.RUNNING, Standing.ENDED])
@pytest.mark.parametrize("happened", [(), (Started(),)])
async def test_a_prompt_that_comfyui_knows_is_adopted_and_not_submitted_again(
    bench: Bench, standing: Standing, happened: tuple[Event, ...]
) -> None:
    bench.session.standing[prompt_of()] = standing
    _, running = await bench.attempt_at(assigned(), *happened)
    prompt = await bench.session.prompt()
    assert prompt.graph is None
    prompt.end(SUCCESS)
    await running
    assert bench.session.submitted == []
    assert bench.last().state is SUCCEEDED


async def test_a_claim_that_was_never_submitted_is(bench: Bench) -> None:
    _, running = await bench.attempt_at(assigned())
    (await bench.session.prompt()).end(SUCCESS)
    await running
    assert bench.session.submitted == [prompt_of()]
    assert bench.states() == [QUEUED, ASSIGNED, SUCCEEDED]


async def test_a_prompt_that_ran_and_that_comfyui_does_not_know_any_more_is_lost(bench: Bench) -> None:
    _, running = await bench.attempt_at(assigned(), Started())
    await running
    assert bench.session.submitted == []
    assert failure(bench.last()) is FailureClass.INSTANCE_LOST


@pytest.mark.parametrize(("happened", "failures"), [((), 0), ((Started(),), 1)])
async def test_a_server_that_can_not_be_asked_costs_only_what_ran(
    bench: Bench, happened: tuple[Event, ...], failures: int
) -> None:
    bench.session.look_error = unreachable()
    _, running = await bench.attempt_at(assigned(), *happened)
    await running
    assert bench.last().state is QUEUED
    assert len(bench.last().failures) == failures


async def test_a_claim_of_this_life_is_not_looked_for(bench: Bench) -> None:
    bench.session.look_error = AssertionError("nobody needs to look")
    _, running = await bench.attempt_at()
    (await bench.session.prompt()).end(SUCCESS)
    await running
    assert bench.last().state is SUCCEEDED


async def test_staging_waits_for_the_store(bench: Bench) -> None:
    with Content.of(packed(GRAPH).graph_zlib) as content:
        await bench.store.put("default", content)
        blob = spec_pb2.BlobRef(sha256=content.sha256, size_bytes=content.size_bytes)
    with bench.store_bus.away():
        _, running = await bench.attempt_at(spec=spec_pb2.Spec(graph_blob=blob))
        await asyncio.sleep(600)
        assert bench.states() == [QUEUED, ASSIGNED]
    (await bench.session.prompt()).end(SUCCESS)
    await running
    assert bench.last().state is SUCCEEDED


async def test_staging_waits_for_the_bus(bench: Bench) -> None:
    stored = await bench.task(assigned())
    with bench.bus.away():
        running = asyncio.create_task(bench.attempt(bench.held(stored)).run())
        await asyncio.sleep(600)
        assert bench.session.submitted == []
    (await bench.session.prompt()).end(SUCCESS)
    await running
    assert bench.last().state is SUCCEEDED


async def test_a_cancelled_attempt_does_not_wait_for_the_store(bench: Bench) -> None:
    with bench.store_bus.away():
        attempt, running = await bench.attempt_at(spec=packed(GRAPH, MISSING))
        await asyncio.sleep(60)
        await bench.happen(CancelRequested())
        await attempt.reconsider()
        await running
    assert bench.session.submitted == []
    assert bench.states() == [QUEUED, ASSIGNED, CANCELLING, CANCELLED]


async def test_what_is_given_back_does_not_wait_for_the_store(bench: Bench) -> None:
    with bench.store_bus.away():
        attempt, running = await bench.attempt_at(spec=packed(GRAPH, MISSING))
        await asyncio.sleep(60)
        attempt.give_back("the agent is stopping")
        await running
    assert bench.states() == [QUEUED, ASSIGNED, QUEUED]


async def test_a_cancelled_attempt_does_not_wait_to_store_what_nobody_wants(bench: Bench) -> None:
    attempt, running = await bench.attempt_at()
    prompt = await bench.session.prompt()
    with bench.store_bus.away():
        prompt.end(SUCCESS)
        await asyncio.sleep(60)
        await bench.happen(CancelRequested())
        await attempt.reconsider()
        await running
    assert bench.states() == [QUEUED, ASSIGNED, CANCELLING, CANCELLED]


async def test_outputs_wait_for_the_store(bench: Bench) -> None:
    _, running = await bench.attempt_at()
    prompt = await bench.session.prompt()
    with bench.store_bus.away():
        prompt.end(SUCCESS)
        await asyncio.sleep(600)
        assert bench.states() == [QUEUED, ASSIGNED]
    await running
    assert bench.last().state is SUCCEEDED


async def test_comfyui_may_forget_a_prompt_once_its_end_is_in_the_log(bench: Bench) -> None:
    _, running = await bench.attempt_at()
    (await bench.session.prompt()).end(SUCCESS)
    await running
    await asyncio.sleep(2)
    assert bench.session.http.forgotten == [prompt_of()]


async def test_comfyui_remembers_a_prompt_for_the_next_agent_to_adopt(bench: Bench) -> None:
    _, running = await bench.attempt_at()
    prompt = await bench.session.prompt()
    with bench.store_bus.away():
        prompt.end(SUCCESS)
        await asyncio.sleep(5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    await asyncio.sleep(60)
    assert bench.session.http.forgotten == []


async def test_prompts_are_forgotten_together(bench: Bench) -> None:
    for task_id in ("one", "two"):
        _, running = await bench.attempt_at(task_id=task_id)
        (await bench.session.prompt()).end(SUCCESS)
        await running
    await asyncio.sleep(2)
    assert sorted(bench.session.http.forgotten) == sorted([prompt_of("one"), prompt_of("two")])
