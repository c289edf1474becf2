"""A prompt is followed to its end, whatever is lost on the way."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from comfymesh.agent.comfyui.control import Standing
from comfymesh.agent.comfyui.errors import (
    REASON_NO_SOCKET,
    REASON_REFUSED,
    ComfyError,
    ComfyUnreachable,
    GraphRefused,
    UnsupportedServer,
)
from comfymesh.agent.comfyui.events import Event, ExecutionStarted, PromptEnded
from comfymesh.agent.comfyui.outcome import Failed, Interrupted, Lost, Noticed, Outcome, Succeeded
from comfymesh.agent.comfyui.protocol import HELLO, parse_text
from comfymesh.agent.comfyui.session import ComfySession

from .conftest import FAST, SLOW, SOCKET
from .fake_comfyui import SUCCESS, FakeComfy

P, Q = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
GRAPH = {"1": {"class_type": "EmptyImage", "inputs": {"color": 2**63}}}
TRACES = Path(__file__).parents[2] / "data" / "comfyui" / "traces"


def ignore(event: Event) -> None:
    """An observer that looks away."""


def begin(session: ComfySession, prompt_id: str = P, observer: Any = ignore) -> asyncio.Task[Outcome]:
    return asyncio.create_task(session.execute(prompt_id, GRAPH, observer=observer))


async def running(fake: FakeComfy, session: ComfySession, observer: Any = ignore) -> asyncio.Task[Outcome]:
    """A prompt that was submitted and has begun."""
    task = begin(session, observer=observer)
    await fake.until(lambda: P in fake.pending)
    await fake.run(P)
    return task


async def test_a_prompt_is_submitted_once_and_its_history_read_once(fake: FakeComfy, session: ComfySession) -> None:
    task = await running(fake, session)
    await fake.end(P, SUCCESS)
    outcome = await task
    assert outcome == Succeeded(SUCCESS["outputs"], {}, ("2",))
    assert isinstance(outcome, Succeeded)
    assert outcome.noticed is Noticed.SOCKET
    assert fake.requests == ["POST /prompt", f"GET /history/{P}"]


async def test_a_graph_arrives_as_it_was_with_its_large_integers(fake: FakeComfy, session: ComfySession) -> None:
    task = asyncio.create_task(session.execute(P, GRAPH, extra_data={"preview_method": "none"}, observer=ignore))
    await fake.until(lambda: P in fake.pending)
    expected = {"prompt": GRAPH, "prompt_id": P, "extra_data": {"preview_method": "none"}}
    assert fake.bodies == [expected | {"client_id": fake.client_ids[0]}]
    task.cancel()


async def test_the_socket_is_open_and_greeted_before_the_first_prompt(fake: FakeComfy, session: ComfySession) -> None:
    task = await running(fake, session)
    assert session.connected
    await fake.until(lambda: fake.first_messages == [HELLO])
    await fake.end(P, SUCCESS)
    await task


@pytest.mark.parametrize(
    ("trace", "end"),
    [
        ("01-success-sampling-new-previews", Succeeded),
        ("08b-execution-error-after-progress", Failed),
        ("17-execution-blocker", Succeeded),
        ("24-node-expansion", Succeeded),
    ],
)
async def test_a_recorded_run_brings_its_events_in_order_and_its_end(
    fake: FakeComfy, session: ComfySession, trace: str, end: type
) -> None:
    records = [json.loads(line) for line in (TRACES / f"{trace}.jsonl").read_text().splitlines()]
    history = next(r for r in records if r["kind"] == "http" and r["path"].startswith("/history/") and r["resp"])
    (prompt_id, entry), *_ = history["resp"].items()
    messages = [r["json"] for r in records if r["kind"] == "ws_text"]
    messages = [message for message in messages if message["data"].get("prompt_id") == prompt_id]
    seen: list[Event] = []
    task = asyncio.create_task(session.execute(prompt_id, GRAPH, observer=seen.append))
    await fake.until(lambda: prompt_id in fake.pending)
    await fake.replay(prompt_id, messages, entry)
    assert isinstance(await task, end)
    assert seen == [parse_text(json.dumps(message)) for message in messages]


async def test_two_prompts_may_be_on_their_way_at_once(fake: FakeComfy, session: ComfySession) -> None:
    first_events: list[Event] = []
    first, second = begin(session, P, first_events.append), begin(session, Q)
    await fake.until(lambda: len(fake.pending) == 2)
    await fake.run(Q)
    await fake.end(Q, SUCCESS)
    assert isinstance(await second, Succeeded)
    assert not first.done()
    await fake.run(P)
    await fake.end(P, SUCCESS)
    assert isinstance(await first, Succeeded)
    assert first_events == [ExecutionStarted(P), PromptEnded(P)]


async def test_an_end_before_the_answer_to_the_submission_is_not_missed(fake: FakeComfy, session: ComfySession) -> None:
    ended = asyncio.Event()
    fake.gate.clear()
    task = begin(session, observer=lambda _: ended.set())
    await fake.entered.wait()
    fake.histories[P] = SUCCESS
    await fake.send("executing", node=None, prompt_id=P)
    await ended.wait()
    fake.gate.set()
    assert isinstance(await task, Succeeded)


async def test_a_partial_success_tells_what_was_left_out(fake: FakeComfy, session: ComfySession) -> None:
    fake.node_errors = {"9": {"class_type": "SaveImage", "errors": []}}
    task = await running(fake, session)
    await fake.end(P, SUCCESS)
    outcome = await task
    assert isinstance(outcome, Succeeded)
    assert outcome.node_errors == fake.node_errors


async def test_a_late_history_is_waited_for(fake: FakeComfy, session: ComfySession) -> None:
    fake.late_history = 3
    task = await running(fake, session)
    await fake.end(P, SUCCESS)
    assert isinstance(await task, Succeeded)
    assert fake.requests.count(f"GET /history/{P}") == 4


async def test_an_end_that_history_does_not_know_is_no_end(fake: FakeComfy, session: ComfySession) -> None:
    task = await running(fake, session)
    await fake.send("executing", node=None, prompt_id=P)
    await fake.until(lambda: f"GET /api/jobs/{P}" in fake.requests)
    await fake.end(P, SUCCESS)
    assert isinstance(await task, Succeeded)


async def test_garbage_on_the_socket_is_dropped(fake: FakeComfy, session: ComfySession) -> None:
    task = await running(fake, session)
    for garbage in ("", "[", "[]", '{"type":"executing","data":{"node":[]}}', b"", b"\0\0\0\4\xff\xff\xff\xff"):
        await fake.send_raw(garbage)
    await fake.end(P, SUCCESS)
    assert isinstance(await task, Succeeded)
    assert len(fake.client_ids) == 1


async def test_an_observer_that_fails_harms_nobody(
    fake: FakeComfy, session: ComfySession, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: Event) -> None:
        raise RuntimeError(event)

    task = await running(fake, session, fail)
    await fake.end(P, SUCCESS)
    assert isinstance(await task, Succeeded)
    assert "The observer of a prompt failed." in caplog.text


async def test_a_refused_graph_is_refused_with_its_node_errors(fake: FakeComfy, session: ComfySession) -> None:
    fake.answer, fake.node_errors = "refuse", {"1": {"errors": []}}
    with pytest.raises(GraphRefused) as refused:
        await session.execute(P, GRAPH, observer=ignore)
    assert refused.value.error["type"] == "prompt_outputs_failed_validation"
    assert refused.value.node_errors == fake.node_errors


async def test_a_server_that_chooses_prompt_ids_is_refused_and_its_prompt_removed(
    fake: FakeComfy, session: ComfySession
) -> None:
    fake.answer = "rename"
    with pytest.raises(UnsupportedServer):
        await session.execute(P, GRAPH, observer=ignore)
    assert fake.pending == []


async def test_one_prompt_is_not_followed_twice(fake: FakeComfy, session: ComfySession) -> None:
    task = await running(fake, session)
    with pytest.raises(ValueError, match="being followed"):
        await session.execute(P, GRAPH, observer=ignore)
    await fake.end(P, SUCCESS)
    await task
    assert fake.requests.count("POST /prompt") == 1


@pytest.mark.parametrize("answer", ["drop", "fail"])
async def test_a_lost_answer_is_resolved_without_sending_again(
    fake: FakeComfy, session: ComfySession, answer: str
) -> None:
    fake.answer = answer
    task = begin(session)
    await fake.until(lambda: f"GET /api/jobs/{P}" in fake.requests)
    await fake.run(P)
    await fake.end(P, SUCCESS)
    assert isinstance(await task, Succeeded)
    assert fake.requests.count("POST /prompt") == 1


async def test_a_submission_that_never_arrived_is_lost_and_not_sent_again(
    fake: FakeComfy, session: ComfySession
) -> None:
    fake.answer = "cut"
    outcome = await session.execute(P, GRAPH, observer=ignore)
    assert isinstance(outcome, Lost)
    assert "POST /prompt" in outcome.reason
    assert fake.requests.count("POST /prompt") == 1
    assert fake.requests.count(f"GET /api/jobs/{P}") == 2


async def test_a_server_error_that_queued_nothing_is_an_error(fake: FakeComfy, session: ComfySession) -> None:
    fake.answer = "break"
    with pytest.raises(ComfyError, match="500"):
        await session.execute(P, GRAPH, observer=ignore)


async def test_without_a_socket_nothing_is_sent() -> None:
    fake = FakeComfy()
    fake.has_socket = False
    async with fake, ComfySession(fake.url, timings=replace(SLOW, connect=0.5), socket_timings=SOCKET) as session:
        with pytest.raises(ComfyUnreachable) as error:
            await session.execute(P, GRAPH, observer=ignore)
    assert (error.value.reason, error.value.sent, fake.bodies) == (REASON_NO_SOCKET, False, [])


async def test_a_server_that_is_gone_is_not_waited_for() -> None:
    async with ComfySession("http://127.0.0.1:9", timings=replace(SLOW, connect=600), socket_timings=SOCKET) as session:
        with pytest.raises(ComfyUnreachable) as error:
            await session.execute(P, GRAPH, observer=ignore)
    assert (error.value.reason, error.value.sent) == (REASON_REFUSED, False)


@pytest.mark.parametrize("routes", ["jobs", "queue"])
async def test_a_silent_socket_does_not_make_a_silent_prompt(routes: str) -> None:
    fake = FakeComfy(has_jobs=routes == "jobs")
    async with fake, ComfySession(fake.url, timings=FAST, socket_timings=SOCKET) as session:
        task = await running(fake, session)
        fake.silent = True
        await fake.end(P, SUCCESS)
        outcome = await task
        assert isinstance(outcome, Succeeded)
        assert outcome.noticed is Noticed.POLL
        assert ("GET /queue" in fake.requests) is (routes == "queue")


async def test_a_deaf_socket_is_replaced(fake: FakeComfy, polling: ComfySession) -> None:
    task = await running(fake, polling)
    fake.silent = True
    await fake.end(P, SUCCESS)
    await task
    await fake.until(lambda: len(set(fake.client_ids)) == 2)


async def test_a_lost_socket_is_replaced_under_a_new_client_id_and_the_prompt_looked_at_at_once(
    fake: FakeComfy, session: ComfySession
) -> None:
    task = await running(fake, session)
    fake.silent = True
    await fake.end(P, SUCCESS)
    await fake.drop_sockets()
    assert isinstance(await task, Succeeded)
    await fake.until(lambda: len(fake.client_ids) == 2)
    assert len(set(fake.client_ids)) == 2
    assert fake.first_messages == [HELLO, HELLO]


async def test_a_prompt_of_an_earlier_socket_is_looked_at_more_often(fake: FakeComfy) -> None:
    async with ComfySession(fake.url, timings=replace(SLOW, poll_unheard=0.02), socket_timings=SOCKET) as session:
        task = await running(fake, session)
        await fake.drop_sockets()
        await fake.until(lambda: len(fake.client_ids) == 2)
        fake.silent = True
        await fake.end(P, SUCCESS)
        assert isinstance(await task, Succeeded)


async def test_a_server_that_dies_loses_its_prompts(fake: FakeComfy, session: ComfySession) -> None:
    task = await running(fake, session)
    await fake.die()
    outcome = await task
    assert isinstance(outcome, Lost)
    assert "CONNECTION_REFUSED" in outcome.reason
    assert not session.connected


async def test_a_server_that_restarts_loses_its_prompts(fake: FakeComfy, session: ComfySession) -> None:
    task = await running(fake, session)
    await fake.die()
    await fake.start()
    outcome = await task
    assert isinstance(outcome, Lost)
    await session.wait_connected()
    fake.requests.clear()
    task = await running(fake, session)
    await fake.end(P, SUCCESS)
    assert isinstance(await task, Succeeded)


async def test_a_prompt_that_somebody_removed_is_lost_after_a_second_look(
    fake: FakeComfy, polling: ComfySession
) -> None:
    task = begin(polling)
    await fake.until(lambda: P in fake.pending)
    fake.pending.clear()
    outcome = await task
    assert isinstance(outcome, Lost)
    assert "neither in ComfyUI's queue nor in its history" in outcome.reason


async def test_cancel_stops_a_running_prompt(fake: FakeComfy, session: ComfySession) -> None:
    task = await running(fake, session)
    await session.cancel(P)
    assert await task == Interrupted()


async def test_cancel_is_repeated_until_it_takes_hold(fake: FakeComfy, session: ComfySession) -> None:
    task = await running(fake, session)
    fake.lost_interrupts = 3
    await session.cancel(P)
    assert await task == Interrupted()


async def test_cancel_of_a_prompt_whose_server_is_gone_says_so(fake: FakeComfy, session: ComfySession) -> None:
    task = await running(fake, session)
    await fake.die()
    with pytest.raises(ComfyUnreachable):
        await session.cancel(P)
    assert isinstance(await task, Lost)


async def test_cancel_of_a_waiting_prompt_is_an_interrupt_and_not_a_loss(
    fake: FakeComfy, session: ComfySession
) -> None:
    task = begin(session)
    await fake.until(lambda: P in fake.pending)
    await session.cancel(P)
    assert await task == Interrupted()


async def test_cancel_during_the_submission_stops_what_was_submitted(fake: FakeComfy, session: ComfySession) -> None:
    fake.gate.clear()
    task = begin(session)
    await fake.entered.wait()
    await session.cancel(P)
    fake.gate.set()
    assert await task == Interrupted()
    assert fake.pending == []


async def test_cancel_before_the_submission_submits_nothing(fake: FakeComfy) -> None:
    await fake.die()
    async with ComfySession(fake.url, timings=replace(SLOW, recheck=20), socket_timings=SOCKET) as session:
        task = begin(session)
        await asyncio.sleep(0)
        with pytest.raises(ComfyUnreachable):
            await session.cancel(P)
        await fake.start()
        assert await task == Interrupted()
    assert fake.bodies == []


async def test_cancel_of_an_unknown_prompt_does_nothing(fake: FakeComfy, session: ComfySession) -> None:
    await session.cancel(P)
    assert fake.requests == [f"POST /api/jobs/{P}/cancel"]


async def test_without_jobs_routes_a_waiting_prompt_is_deleted() -> None:
    fake = FakeComfy(has_jobs=False)
    async with fake, ComfySession(fake.url, timings=SLOW, socket_timings=SOCKET) as session:
        task = begin(session)
        await fake.until(lambda: P in fake.pending)
        await session.cancel(P)
        assert await task == Interrupted()
        assert "POST /interrupt" not in fake.requests


async def test_without_jobs_routes_an_interrupt_that_was_lost_is_sent_again() -> None:
    fake = FakeComfy(has_jobs=False)
    async with fake, ComfySession(fake.url, timings=SLOW, socket_timings=SOCKET) as session:
        task = await running(fake, session)
        fake.lost_interrupts = 2
        await session.cancel(P)
        assert await task == Interrupted()
        assert fake.requests.count("POST /interrupt") >= 3


async def test_without_jobs_routes_no_prompt_but_the_running_one_is_interrupted() -> None:
    fake = FakeComfy(has_jobs=False)
    async with fake, ComfySession(fake.url, timings=SLOW, socket_timings=SOCKET) as session:
        task = await running(fake, session)
        await session.cancel(Q)
        assert "POST /interrupt" not in fake.requests
        await fake.end(P, SUCCESS)
        assert isinstance(await task, Succeeded)


async def test_a_prompt_of_an_earlier_life_is_followed_to_its_end(fake: FakeComfy, polling: ComfySession) -> None:
    fake.running.append(P)
    task = asyncio.create_task(polling.resume(P, ignore))
    await fake.until(lambda: f"GET /api/jobs/{P}" in fake.requests)
    assert await polling.look(P) is Standing.RUNNING
    fake.silent = True
    await fake.end(P, SUCCESS)
    assert isinstance(await task, Succeeded)


async def test_a_prompt_that_ended_meanwhile_is_found_in_history(fake: FakeComfy, session: ComfySession) -> None:
    fake.histories[P] = SUCCESS
    assert isinstance(await session.resume(P, ignore), Succeeded)


async def test_a_prompt_that_was_never_there_is_lost(fake: FakeComfy, session: ComfySession) -> None:
    assert isinstance(await session.resume(P, ignore), Lost)


async def test_abandoning_a_prompt_leaves_it_running(fake: FakeComfy, session: ComfySession) -> None:
    task = await running(fake, session)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert fake.running == [P]
    resumed = asyncio.create_task(session.resume(P, ignore))
    await fake.until(lambda: f"GET /api/jobs/{P}" in fake.requests)
    await fake.end(P, SUCCESS)
    assert isinstance(await resumed, Succeeded)
