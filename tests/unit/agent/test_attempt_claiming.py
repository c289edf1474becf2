"""An attempt that is submitted while it is claimed: nothing comes of it before the log has agreed, or if it refuses."""

from __future__ import annotations

import asyncio

import pytest

from comfymesh.agent.claim import Claim
from comfymesh.agent.comfyui.control import Standing
from comfymesh.agent.comfyui.errors import GraphRefused
from comfymesh.agent.comfyui.events import StepProgress
from comfymesh.agent.comfyui.outcome import Lost, Outcome
from comfymesh.agent.domain.past import Past
from comfymesh.bus import subjects, tasklog
from comfymesh.bus.port import Message
from comfymesh.tasks.events import Assigned, CancelRequested, Event, Started, Succeeded
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import Key, State
from comfymesh.testkit.benches import GRAPH, INSTANCE, NODE, PICTURE, SUCCESS, Bench, packed, prompt_of
from comfymesh.testkit.scripted import unreachable
from comfymesh.testkit.tasks import assigned, failed
from comfymesh.wire.v1 import spec_pb2

QUEUED, ASSIGNED, SUCCEEDED, FAILED = State.QUEUED, State.ASSIGNED, State.SUCCEEDED, State.FAILED
CANCELLING, CANCELLED = State.CANCELLING, State.CANCELLED
ELSEWHERE = Assigned("b", "y")
REFUSED = GraphRefused({"type": "prompt_no_outputs", "message": "no"}, {})
SMALL = 1024
ASSET = spec_pb2.AssetBinding(
    graph_node="1", input="image", blob=spec_pb2.BlobRef(sha256="ef" * 32, size_bytes=0), filename="in.png"
)


@pytest.fixture(autouse=True)
def small_graphs_in_records(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the claim needs the bus."""
    monkeypatch.setattr(tasklog, "SMALL_BYTES", SMALL)


async def test_a_graph_is_staged_and_submitted_while_the_claim_is_written(bench: Bench) -> None:
    stored = await bench.task(spec=packed(GRAPH, ASSET))
    bench.bus.lose_confirmations = True
    running = asyncio.create_task(bench.attempt(bench.offered(stored)).run())
    prompt = await bench.session.prompt()
    assert len(bench.session.http.uploaded) == 1
    prompt.end(SUCCESS)
    await asyncio.sleep(60)
    assert bench.states() == [QUEUED, ASSIGNED]
    bench.bus.lose_confirmations = False
    await running
    assert bench.states() == [QUEUED, ASSIGNED, SUCCEEDED]


async def test_a_graph_that_is_at_hand_is_submitted_before_the_claim_is_sent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = bench.offered(await bench.task())
    take, submitted = claim.take, list[int]()

    async def noting() -> bool:
        submitted.append(len(bench.session.submitted))
        return await take()

    monkeypatch.setattr(claim, "take", noting)
    running = asyncio.create_task(bench.attempt(claim).run())
    (await bench.session.prompt()).end(SUCCESS)
    await running
    assert submitted == [1]


@pytest.mark.parametrize("meanwhile", [ELSEWHERE, CancelRequested()])
@pytest.mark.parametrize("outcome", [None, SUCCESS])
async def test_what_the_log_refuses_is_taken_back_whatever_it_has_come_to(
    bench: Bench, meanwhile: Event, outcome: Outcome | None
) -> None:
    stored = await bench.task()
    with bench.bus.away():
        running = asyncio.create_task(bench.attempt(bench.offered(stored)).run())
        prompt = await bench.session.prompt()
        await asyncio.sleep(0.001)  # on virtual time: until the log has been asked
        prompt.begin()
        prompt.show("9", PICTURE["9"])
        if outcome is not None:
            prompt.end(outcome)
    before = (await bench.happen(meanwhile)).record
    await running
    assert bench.session.cancelled == ([prompt_of()] if outcome is None else [])
    assert bench.last() == before
    assert bench.workplace.line.lose(prompt_of()) is False


async def test_what_is_lost_while_it_is_taken_back_stands_before_nobody_else(bench: Bench) -> None:
    """Whatever takes the instance down next would be laid to its charge."""
    stored = await bench.task()
    with bench.bus.away():
        running = asyncio.create_task(bench.attempt(bench.offered(stored)).run())
        prompt = await bench.session.prompt()
        await asyncio.sleep(0.001)  # on virtual time: until the log has been asked
        prompt.end(Lost("the server no longer knows it"))
    await bench.happen(ELSEWHERE)
    await running
    bench.workplace.line.enter("next")
    assert bench.workplace.line.lose("next") is True


async def test_nothing_of_it_is_told_before_the_claim_is_in_the_log(bench: Bench) -> None:
    told: list[Message] = []
    await bench.bus.subscribe(subjects.progress(Key("default", "one")), told.append)
    stored = await bench.task()
    bench.bus.lose_confirmations = True
    running = asyncio.create_task(bench.attempt(bench.offered(stored)).run())
    prompt = await bench.session.prompt()
    prompt.begin()
    prompt.tell(StepProgress(prompt.prompt_id, "1", 1, 2))
    await asyncio.sleep(60)
    assert told == []
    bench.bus.lose_confirmations = False
    await asyncio.sleep(1)
    assert len(told) == 1
    prompt.end(SUCCESS)
    await running


async def test_what_is_refused_before_it_is_staged_is_not_submitted(bench: Bench) -> None:
    missing = spec_pb2.AssetBinding(
        graph_node="1", input="image", blob=spec_pb2.BlobRef(sha256="ef" * 32, size_bytes=5), filename="in.png"
    )
    stored = await bench.task(spec=packed(GRAPH, missing))
    await bench.happen(ELSEWHERE)
    with bench.store_bus.away():
        await bench.attempt(bench.offered(stored)).run()
    assert bench.session.submitted == []
    assert bench.session.cancelled == []


@pytest.mark.parametrize("error", [REFUSED, unreachable("POST /prompt")])
async def test_an_error_of_what_the_log_refuses_is_nobodys(bench: Bench, error: Exception) -> None:
    bench.session.refusal = error
    stored = await bench.task()
    await bench.happen(ELSEWHERE)
    await bench.attempt(bench.offered(stored)).run()
    assert bench.states() == [QUEUED, ASSIGNED]


async def test_a_refusal_of_comfyui_waits_for_the_claim(bench: Bench) -> None:
    bench.session.refusal = REFUSED
    stored = await bench.task()
    with bench.bus.away():
        running = asyncio.create_task(bench.attempt(bench.offered(stored)).run())
        await asyncio.sleep(60)
        assert bench.states() == [QUEUED]
    await running
    assert bench.states() == [QUEUED, ASSIGNED, FAILED]
    assert bench.last().failures[-1].failure is FailureClass.INVALID_WORKFLOW


async def test_a_claim_that_is_cancelled_before_it_is_confirmed_is_stopped_and_ended(bench: Bench) -> None:
    stored = await bench.task()
    bench.bus.lose_confirmations = True
    running = asyncio.create_task(bench.attempt(bench.offered(stored)).run())
    (await bench.session.prompt()).begin()
    bench.bus.lose_confirmations = False
    await bench.happen(CancelRequested())
    await running
    assert bench.session.cancelled == [prompt_of()]
    assert bench.states() == [QUEUED, ASSIGNED, CANCELLING, CANCELLED]


async def test_an_order_to_stop_means_nothing_before_the_claim_is_in_the_log(bench: Bench) -> None:
    stored = await bench.task()
    attempt = bench.attempt(bench.offered(stored))
    with bench.bus.away():
        running = asyncio.create_task(attempt.run())
        prompt = await bench.session.prompt()
        await attempt.reconsider()
    assert bench.session.cancelled == []
    prompt.end(SUCCESS)
    await running
    assert bench.last().state is SUCCEEDED


async def test_what_an_earlier_life_submitted_without_a_claim_is_adopted(bench: Bench) -> None:
    stored = await bench.task()
    bench.session.http.there[prompt_of()] = {"comfymesh": {"tenant": "default", "task": "one", "attempt": 1}}
    bench.session.standing[prompt_of()] = Standing.RUNNING
    await bench.leftovers.find()
    running = asyncio.create_task(bench.attempt(bench.offered(stored)).run())
    (await bench.session.prompt()).end(SUCCESS)
    await running
    assert bench.session.submitted == []
    assert (bench.last().state, bench.last().node, bench.last().instance) == (SUCCEEDED, NODE, INSTANCE)


# What an earlier life of this agent may have had.


async def test_what_an_earlier_life_may_have_had_is_claimed_before_it_is_submitted(bench: Bench) -> None:
    stored = await bench.task()
    with bench.bus.away():
        running = asyncio.create_task(bench.attempt(bench.offered(stored, fresh=False)).run())
        await asyncio.sleep(60)
        assert bench.session.submitted == []
    (await bench.session.prompt()).end(SUCCESS)
    await running
    assert bench.session.submitted == [prompt_of()]
    assert bench.states() == [QUEUED, ASSIGNED, SUCCEEDED]


@pytest.mark.parametrize(
    "meanwhile",
    [
        (assigned(), Succeeded(())),
        (assigned(), failed(FailureClass.INSTANCE_LOST)),
        (assigned(), failed(FailureClass.INSTANCE_LOST), assigned()),
        (assigned(), CancelRequested(), failed(FailureClass.INSTANCE_LOST)),
        (assigned(), failed(FailureClass.INSTANCE_LOST), ELSEWHERE),
        (CancelRequested(),),
    ],
)
@pytest.mark.parametrize("claimed", [False, True])
async def test_late_work_of_an_earlier_life_is_not_executed_again(
    bench: Bench,
    meanwhile: tuple[Event, ...],
    claimed: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    """It was submitted, has ended and is forgotten: nothing but the log knows of it."""
    stored = await bench.task()
    late = bench.offered(stored, fresh=False)
    if claimed:
        late = Claim.held(bench.log, Past(), late.record, stored.sequence + 1)
    for event in meanwhile:
        await bench.happen(event)
    before = bench.states()
    await bench.attempt(late).run()
    assert bench.session.submitted == []
    assert bench.states() == before


async def test_what_comfyui_still_has_of_an_earlier_life_is_adopted_though_it_was_not_found(bench: Bench) -> None:
    """Only the end of a history is looked through."""
    stored = await bench.task()
    bench.session.standing[prompt_of()] = Standing.ENDED
    running = asyncio.create_task(bench.attempt(bench.offered(stored, fresh=False)).run())
    (await bench.session.prompt()).end(SUCCESS)
    await running
    assert bench.session.submitted == []
    assert bench.last().state is SUCCEEDED


async def test_what_the_log_knows_to_have_begun_is_not_submitted_again_by_work_from_before(bench: Bench) -> None:
    stored = await bench.task(assigned())
    await bench.happen(Started())
    await bench.attempt(bench.held(stored)).run()
    assert bench.session.submitted == []
    assert bench.last().failures[-1].failure is FailureClass.INSTANCE_LOST
