"""An attempt is stopped: by a cancel, by a node that leaves, by its time."""

from __future__ import annotations

import asyncio

import pytest

from comfymesh.agent.attempt import Attempt
from comfymesh.agent.comfyui.control import Standing
from comfymesh.agent.comfyui.errors import ComfyError, GraphRefused
from comfymesh.agent.comfyui.outcome import Interrupted
from comfymesh.tasks.events import CancelRequested, Started
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import State, TaskRecord
from comfymesh.testkit.benches import SUCCESS, Bench, prompt_of
from comfymesh.testkit.scripted import unreachable
from comfymesh.testkit.tasks import NOW, assigned, failed
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


async def test_a_wanted_attempt_goes_on_when_somebody_says_that_it_is_not(bench: Bench) -> None:
    attempt, running = await bench.attempt_at()
    prompt = await bench.session.prompt()
    await attempt.reconsider()
    assert bench.session.cancelled == []
    prompt.end(SUCCESS)
    await running
    assert bench.last().state is SUCCEEDED


async def test_a_cancelled_attempt_is_stopped_and_then_its_task_is_cancelled(bench: Bench) -> None:
    attempt, running = await bench.attempt_at()
    prompt = await bench.session.prompt()
    prompt.begin()
    await asyncio.sleep(LONG)
    await bench.happen(CancelRequested())
    await attempt.reconsider()
    await running
    assert bench.session.cancelled == [prompt.prompt_id]
    assert bench.states() == [QUEUED, ASSIGNED, RUNNING, CANCELLING, CANCELLED]


async def test_a_cancelled_attempt_that_was_faster_is_cancelled_all_the_same(bench: Bench) -> None:
    bench.session.obedient = False
    attempt, running = await bench.attempt_at()
    prompt = await bench.session.prompt()
    prompt.begin()
    await bench.happen(CancelRequested())
    await attempt.reconsider()
    prompt.end(SUCCESS)
    await running
    assert bench.states() == [QUEUED, ASSIGNED, CANCELLING, CANCELLED]
    assert bench.last().artifacts == ()


async def test_nothing_more_is_stored_of_a_cancelled_attempt_however_slowly_it_comes(bench: Bench) -> None:
    bench.session.http.held.clear()
    attempt, running = await bench.attempt_at()
    prompt = await bench.session.prompt()
    prompt.begin()
    prompt.end(SUCCESS)
    await asyncio.sleep(60)
    assert bench.session.http.viewing == 1
    await bench.happen(CancelRequested())
    await attempt.reconsider()
    await running
    assert bench.session.http.viewing == 0
    assert bench.states()[-2:] == [CANCELLING, CANCELLED]


async def test_an_attempt_that_was_given_to_somebody_else_stops_without_a_word(bench: Bench) -> None:
    attempt, running = await bench.attempt_at()
    await bench.session.prompt()
    await bench.happen(failed(FailureClass.NODE_LOST))
    before = bench.records()
    await attempt.reconsider()
    await running
    assert bench.records() == before
    assert bench.session.cancelled == [prompt_of()]


async def test_what_has_not_begun_is_given_back_at_no_cost(bench: Bench) -> None:
    attempt, running = await bench.attempt_at()
    await bench.session.prompt()
    attempt.give_back("the agent is stopping")
    await running
    assert bench.states() == [QUEUED, ASSIGNED, QUEUED]
    assert (bench.last().failures, bench.last().reason) == ((), "handed back: the agent is stopping")


async def test_what_has_begun_and_is_given_back_was_preempted(bench: Bench) -> None:
    attempt, running = await bench.attempt_at()
    (await bench.session.prompt()).begin()
    attempt.give_back("the agent is stopping")
    await running
    assert bench.states() == [QUEUED, ASSIGNED, RUNNING, QUEUED]
    assert failure(bench.last()) is FailureClass.PREEMPTED


async def test_what_is_given_back_while_it_is_claimed_is_stopped_and_then_handed_back(bench: Bench) -> None:
    attempt = bench.attempt(bench.offered(await bench.task()))
    bench.bus.lose_confirmations = True
    running = asyncio.create_task(attempt.run())
    await bench.session.prompt()
    attempt.give_back("the agent is stopping")
    bench.bus.lose_confirmations = False
    await running
    assert bench.session.cancelled == [prompt_of()]
    assert bench.states() == [QUEUED, ASSIGNED, QUEUED]


async def test_what_is_given_back_before_it_is_staged_is_not_executed(bench: Bench) -> None:
    attempt = bench.attempt(bench.offered(await bench.task()))
    attempt.give_back("the agent is stopping")
    await attempt.run()
    assert bench.session.submitted == []
    assert bench.states() == [QUEUED, ASSIGNED, QUEUED]


async def test_what_is_given_back_twice_while_it_lets_go_is_given_back_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def graph(_: TaskRecord) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)

    monkeypatch.setattr(bench.workplace.staging, "graph", graph)
    attempt, running = await bench.attempt_at()
    await asyncio.sleep(1)
    for _ in range(2):
        attempt.give_back("the agent is stopping")
        await asyncio.sleep(0.5)
    await running
    assert bench.states() == [QUEUED, ASSIGNED, QUEUED]


async def test_what_is_cancelled_before_it_is_submitted_is_not_executed(bench: Bench) -> None:
    attempt = bench.attempt(bench.held(await bench.task(assigned(), CancelRequested())))
    await attempt.run()
    assert bench.session.submitted == []
    assert bench.session.cancelled == [prompt_of()]  # An earlier life may have submitted it.
    assert bench.states() == [QUEUED, ASSIGNED, CANCELLING, CANCELLED]


async def test_a_stop_is_tried_again_and_given_up_in_the_end(bench: Bench) -> None:
    bench.session.stop_error = unreachable("POST /cancel")
    attempt, running = await bench.attempt_at()
    prompt = await bench.session.prompt()
    attempt.give_back("the agent is stopping")
    await asyncio.sleep(60)
    assert len(bench.session.cancelled) == 20
    assert not running.done()
    prompt.end(SUCCESS)
    await running
    assert bench.last().state is SUCCEEDED


async def test_an_adopted_attempt_that_is_being_cancelled_ends_though_comfyui_hangs(bench: Bench) -> None:
    bench.session.stop_error = ComfyError("POST /cancel", 500, "busy")
    await bench.attempt(bench.held(await bench.task(assigned(), Started(), CancelRequested()))).run()
    assert bench.last().state is CANCELLED


async def test_an_attempt_that_executes_for_too_long_is_interrupted_and_fails(bench: Bench) -> None:
    _, running = await bench.attempt_at(execution_timeout=10.0)
    prompt = await bench.session.prompt()
    await asyncio.sleep(1000)
    prompt.begin()
    began = asyncio.get_running_loop().time()
    await running
    assert asyncio.get_running_loop().time() - began == pytest.approx(10.0)
    assert bench.states() == [QUEUED, ASSIGNED, RUNNING, FAILED]
    assert failure(bench.last()) is FailureClass.TIMEOUT


async def test_a_success_that_comes_just_before_the_interrupt_counts(bench: Bench) -> None:
    bench.session.obedient = False
    _, running = await bench.attempt_at(execution_timeout=10.0)
    prompt = await bench.session.prompt()
    prompt.begin()
    await asyncio.sleep(11)
    assert bench.session.cancelled == [prompt.prompt_id]
    prompt.end(SUCCESS)
    await running
    assert bench.last().state is SUCCEEDED


async def test_the_time_of_an_adopted_attempt_counts_from_when_it_began(bench: Bench) -> None:
    loop = asyncio.get_running_loop()
    bench.session.standing[prompt_of()] = Standing.RUNNING
    _, running = await bench.attempt_at(assigned(), Started(NOW + loop.time() - 7), execution_timeout=10.0)
    prompt = await bench.session.prompt()
    prompt.begin()
    adopted = loop.time()
    await running
    assert loop.time() - adopted == pytest.approx(3.0)
    assert failure(bench.last()) is FailureClass.TIMEOUT


@pytest.mark.parametrize(("passed", "left"), [(7.0, 3.0), (1e6, 0.0), (-1e6, 10.0)])
async def test_an_adopted_attempt_has_what_is_left_of_its_time_and_never_more_than_all(
    bench: Bench, passed: float, left: float
) -> None:
    loop = asyncio.get_running_loop()
    bench.session.standing[prompt_of()] = Standing.RUNNING
    stored = await bench.task(assigned(), Started(NOW), execution_timeout=10.0)
    attempt = Attempt(bench.bus, bench.held(stored), bench.workplace, previews=False, passed=lambda _: passed)
    running = asyncio.create_task(attempt.run())
    (await bench.session.prompt()).begin()
    adopted = loop.time()
    await running
    assert loop.time() - adopted == pytest.approx(left)
    assert failure(bench.last()) is FailureClass.TIMEOUT


async def test_the_host_s_clock_is_looked_at_when_an_attempt_begins(bench: Bench) -> None:
    """A step just before would not be noted if the agent were killed now, and the log tells the beginning by it."""
    asked: list[float] = []

    def passed(moment: float) -> float:
        asked.append(moment)
        return 9.0

    attempt, running = await bench.attempt_at(execution_timeout=10.0)
    attempt._passed = passed
    (await bench.session.prompt()).begin()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert asked == [pytest.approx(NOW + began)]
    await running
    assert loop.time() - began == pytest.approx(10.0)


async def test_an_adopted_prompt_that_only_waits_has_not_begun(bench: Bench) -> None:
    bench.session.standing[prompt_of()] = Standing.PENDING
    attempt, running = await bench.attempt_at(assigned(), execution_timeout=10.0)
    prompt = await bench.session.prompt()
    await asyncio.sleep(100)
    assert not attempt.started
    assert bench.states() == [QUEUED, ASSIGNED]
    prompt.begin()
    await asyncio.sleep(LONG)
    assert bench.last().state is RUNNING
    prompt.end(SUCCESS)
    await running
    assert bench.last().state is SUCCEEDED


async def test_a_timeout_stays_one_though_the_attempt_is_given_back_meanwhile(bench: Bench) -> None:
    bench.session.obedient = False
    attempt, running = await bench.attempt_at(execution_timeout=10.0)
    prompt = await bench.session.prompt()
    prompt.begin()
    await asyncio.sleep(11)
    attempt.give_back("the agent is stopping")
    prompt.end(Interrupted())
    await running
    assert failure(bench.last()) is FailureClass.TIMEOUT
