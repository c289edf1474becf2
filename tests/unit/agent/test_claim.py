"""A claim: what is written to the log, and what is refused there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from comfymesh.agent.claim import Claim
from comfymesh.bus import subjects
from comfymesh.bus.tasklog import Stored
from comfymesh.tasks.events import (
    Assigned,
    CancelRequested,
    Event,
    Released,
    Started,
    Succeeded,
)
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import State, TaskRecord
from comfymesh.testkit.benches import INSTANCE, NODE, Bench
from comfymesh.testkit.tasks import NOW, assigned, failed

QUEUED, ASSIGNED, RUNNING = State.QUEUED, State.ASSIGNED, State.RUNNING
CANCELLING, CANCELLED = State.CANCELLING, State.CANCELLED
SUCCEEDED, FAILED = State.SUCCEEDED, State.FAILED

SHORT, LONG = 0.04, 0.06
DONE = Succeeded(())
INTERNAL = failed(FailureClass.INTERNAL)


async def taken(bench: Bench, **definition: object) -> Claim:
    claim = bench.offered(await bench.task(**definition))
    assert await claim.take()
    return claim


async def begun(bench: Bench) -> Claim:
    claim = await taken(bench)
    claim.begin()
    await asyncio.sleep(LONG)
    return claim


async def test_an_offer_that_is_taken_is_an_attempt_of_this_node(bench: Bench) -> None:
    claim = bench.offered(await bench.task())
    assert not claim.taken
    assert (await claim.take(), claim.taken) == (True, True)
    record = bench.last()
    assert (record.state, record.attempt, record.node, record.instance) == (ASSIGNED, 1, "a", "x")


@pytest.mark.parametrize("meanwhile", [CancelRequested(), Assigned("b", "y")])
async def test_an_offer_that_comes_too_late_is_dropped_without_a_record(bench: Bench, meanwhile: Event) -> None:
    claim = bench.offered(await bench.task())
    await bench.happen(meanwhile)
    before = bench.records()
    assert (await claim.take(), claim.taken) == (False, False)
    assert bench.records() == before


async def test_an_offer_of_an_earlier_round_is_dropped(bench: Bench) -> None:
    stored = await bench.task()
    await bench.happen(Assigned("b", "y"))
    await bench.happen(Released("the node stops"))
    assert not await bench.offered(stored).take()
    assert bench.states() == [QUEUED, ASSIGNED, QUEUED]


async def test_a_claim_that_the_log_has_already_is_not_written_again(bench: Bench) -> None:
    claim = bench.held(await bench.task(assigned()))
    assert await claim.take()
    assert bench.states() == [QUEUED, ASSIGNED]


async def test_a_claim_whose_confirmation_was_lost_is_one_claim(bench: Bench) -> None:
    claim = bench.offered(await bench.task())
    bench.bus.lose_confirmations = True
    taking = asyncio.create_task(claim.take())
    await asyncio.sleep(1.0)
    assert not taking.done()
    bench.bus.lose_confirmations = False
    assert await taking
    await claim.end(DONE)
    assert bench.states() == [QUEUED, ASSIGNED, SUCCEEDED]


async def test_a_claim_that_was_stored_and_then_cancelled_is_ours_to_end(bench: Bench) -> None:
    claim = bench.offered(await bench.task())
    bench.bus.lose_confirmations = True
    taking = asyncio.create_task(claim.take())
    await asyncio.sleep(0.1)
    bench.bus.lose_confirmations = False
    await bench.happen(CancelRequested())
    assert await taking
    assert claim.record.state is CANCELLING
    await claim.concede()
    assert bench.states() == [QUEUED, ASSIGNED, CANCELLING, CANCELLED]


async def test_a_claim_that_an_earlier_life_made_late_is_ours(bench: Bench) -> None:
    claim = bench.offered(await bench.task())
    await bench.happen(Assigned(NODE, INSTANCE))
    assert await claim.take()
    await claim.end(DONE)
    assert bench.states() == [QUEUED, ASSIGNED, SUCCEEDED]


async def test_a_claim_that_another_instance_made_is_not(bench: Bench) -> None:
    claim = bench.offered(await bench.task())
    await bench.happen(Assigned(NODE, "another"))
    assert not await claim.take()


async def test_nothing_is_told_of_an_attempt_that_begins_before_the_claim_is_in_the_log(bench: Bench) -> None:
    claim = bench.offered(await bench.task())
    with bench.bus.away():
        taking = asyncio.create_task(claim.take())
        claim.begin()
        await asyncio.sleep(1)
    assert await taking
    assert bench.states() == [QUEUED, ASSIGNED]
    await asyncio.sleep(1)
    assert bench.states() == [QUEUED, ASSIGNED, RUNNING]
    assert claim.began == bench.last().start_time


async def test_a_claim_waits_for_the_bus(bench: Bench) -> None:
    claim = bench.offered(await bench.task())
    with bench.bus.away():
        taking = asyncio.create_task(claim.take())
        await asyncio.sleep(600)
        assert not taking.done()
    assert await taking


async def test_a_short_attempt_is_not_told_as_running_and_keeps_its_start(bench: Bench) -> None:
    claim = await taken(bench)
    claim.begin()
    began = claim.began
    await asyncio.sleep(SHORT)
    await claim.end(Succeeded((), claim.began))
    assert bench.states() == [QUEUED, ASSIGNED, SUCCEEDED]
    assert bench.last().start_time == pytest.approx(began)
    assert bench.last().end_time == pytest.approx(began + SHORT)


@pytest.mark.parametrize(
    ("stored", "states"),
    [(0.2, [QUEUED, ASSIGNED, SUCCEEDED]), (0.3, [QUEUED, ASSIGNED, RUNNING, SUCCEEDED])],
)
@pytest.mark.parametrize("early", [True, False])
async def test_what_is_executed_at_once_is_told_as_running_only_where_storing_it_takes_long(
    bench: Bench,
    stored: float,
    states: list[State],
    early: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    claim = bench.offered(await bench.task())
    if early:  # before the claim is in the log
        claim.begin()
        claim.executed()
    assert await claim.take()
    if not early:
        claim.begin()
        claim.executed()
    await asyncio.sleep(stored)
    await claim.end(DONE)
    assert bench.states() == states


async def test_a_longer_attempt_is_told_as_running_since_it_began(bench: Bench) -> None:
    claim = await taken(bench)
    claim.begin()
    began = claim.began
    await asyncio.sleep(LONG)
    assert bench.states() == [QUEUED, ASSIGNED, RUNNING]
    assert bench.last().start_time == pytest.approx(began)
    await claim.end(DONE)
    assert bench.states() == [QUEUED, ASSIGNED, RUNNING, SUCCEEDED]
    assert bench.last().start_time == pytest.approx(began)


@pytest.mark.parametrize(
    ("event", "end"), [(failed(FailureClass.NODE_EXCEPTION), FAILED), (failed(FailureClass.INSTANCE_LOST), QUEUED)]
)
async def test_a_short_attempt_that_fails_has_run(bench: Bench, event: Event, end: State) -> None:
    claim = await taken(bench)
    claim.begin()
    began = claim.began
    await claim.end(event)
    assert bench.states() == [QUEUED, ASSIGNED, RUNNING, end]
    assert bench.records()[2].start_time == pytest.approx(began)


async def test_a_failed_attempt_is_in_the_log_of_the_process(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    claim = await taken(bench)
    claim.begin()
    with caplog.at_level(logging.INFO):
        await claim.end(INTERNAL)
    (line,) = [vars(record) for record in caplog.records if vars(record).get("action") == "attempt_failed"]
    assert (line["task"], line["failure"]) == (claim.key.task_id, INTERNAL.error.failure)


async def test_an_attempt_that_never_began_has_not_run(bench: Bench) -> None:
    claim = await taken(bench)
    await claim.end(Released("the instance went away"))
    assert bench.states() == [QUEUED, ASSIGNED, QUEUED]


async def test_the_beginning_is_told_once(bench: Bench) -> None:
    claim = await taken(bench)
    claim.begin()
    began = claim.began
    await asyncio.sleep(LONG)
    claim.begin()
    await asyncio.sleep(LONG)
    assert bench.states() == [QUEUED, ASSIGNED, RUNNING]
    assert claim.began == pytest.approx(began)


async def test_an_attempt_that_ran_in_an_earlier_life_does_not_begin_again(bench: Bench) -> None:
    claim = bench.held(await bench.task(assigned(), Started(NOW - 5)))
    claim.begin()
    await asyncio.sleep(LONG)
    assert claim.began == NOW - 5
    await claim.end(DONE)
    assert bench.states() == [QUEUED, ASSIGNED, RUNNING, SUCCEEDED]


async def test_the_end_waits_until_the_beginning_is_told(bench: Bench) -> None:
    claim = await taken(bench)
    with bench.bus.away():
        claim.begin()
        await asyncio.sleep(LONG)
        ending = asyncio.create_task(claim.end(DONE))
        await asyncio.sleep(60)
        assert not ending.done()
    await ending
    assert bench.states() == [QUEUED, ASSIGNED, RUNNING, SUCCEEDED]


async def test_an_end_whose_confirmation_was_lost_is_one_end(bench: Bench) -> None:
    claim = await begun(bench)
    bench.bus.lose_confirmations = True
    ending = asyncio.create_task(claim.end(DONE))
    await asyncio.sleep(60)
    bench.bus.lose_confirmations = False
    await ending
    assert bench.states() == [QUEUED, ASSIGNED, RUNNING, SUCCEEDED]


@pytest.mark.parametrize("event", [DONE, failed(), Released("the instance went away")])
@pytest.mark.parametrize("began", [True, False])
async def test_a_cancel_that_comes_before_the_end_wins(bench: Bench, event: Event, began: bool) -> None:  # noqa: FBT001  # a parameter of the test
    claim = await taken(bench)
    if began and not isinstance(event, Released):
        claim.begin()
    await bench.happen(CancelRequested())
    await claim.end(event)
    assert bench.states() == [QUEUED, ASSIGNED, CANCELLING, CANCELLED]


async def test_a_cancel_that_comes_between_beginning_and_end_wins(bench: Bench) -> None:
    claim = await begun(bench)
    await bench.happen(CancelRequested())
    await claim.end(DONE)
    assert bench.states() == [QUEUED, ASSIGNED, RUNNING, CANCELLING, CANCELLED]


async def test_a_cancel_that_comes_after_the_end_changes_nothing(bench: Bench) -> None:
    claim = await begun(bench)
    await claim.end(DONE)
    await claim.concede()
    assert bench.states() == [QUEUED, ASSIGNED, RUNNING, SUCCEEDED]


async def test_a_beginning_that_comes_after_a_cancel_is_no_news(bench: Bench) -> None:
    claim = await taken(bench)
    claim.begin()
    await bench.happen(CancelRequested())
    await asyncio.sleep(LONG)
    assert bench.states() == [QUEUED, ASSIGNED, CANCELLING]
    await claim.concede()
    assert bench.states() == [QUEUED, ASSIGNED, CANCELLING, CANCELLED]


async def test_a_task_is_cancelled_once_whoever_says_that_it_has_stopped(bench: Bench) -> None:
    stored = await bench.task(assigned(), CancelRequested())
    one, two = bench.held(stored), bench.held(stored)
    await asyncio.gather(one.concede(), two.concede())
    assert bench.states() == [QUEUED, ASSIGNED, CANCELLING, CANCELLED]


@pytest.mark.parametrize(
    "end",
    [
        Claim.concede,
        lambda claim: claim.end(DONE),
        lambda claim: claim.end(INTERNAL),
        lambda claim: claim.give_up(INTERNAL),
    ],
)
async def test_an_attempt_of_somebody_else_is_left_alone(bench: Bench, end: Callable[[Claim], Awaitable[None]]) -> None:
    claim = await begun(bench)
    await bench.happen(failed(FailureClass.NODE_LOST))
    await bench.happen(Assigned("b", "y"))
    await bench.happen(CancelRequested())
    before = bench.records()
    await end(claim)
    assert bench.records() == before


@pytest.mark.parametrize(
    ("happened", "event", "end"),
    [
        ((), INTERNAL, QUEUED),
        ((), Released("it does not serve"), QUEUED),
        ((Started(),), INTERNAL, QUEUED),
        ((Started(),), Released("it does not serve"), QUEUED),
        ((CancelRequested(),), INTERNAL, CANCELLED),
        ((CancelRequested(),), DONE, CANCELLED),
        ((Started(), CancelRequested()), Released("it does not serve"), CANCELLED),
    ],
)
async def test_giving_up_ends_the_attempt_whatever_it_had_come_to(
    bench: Bench, happened: tuple[Event, ...], event: Event, end: State
) -> None:
    claim = bench.held(await bench.task(assigned()))
    for change in happened:
        await bench.happen(change)
    await claim.give_up(event)
    assert bench.last().state is end
    assert len(bench.records()) == 3 + len(happened)


async def test_what_ran_and_can_not_be_handed_back_is_lost(bench: Bench) -> None:
    claim = bench.held(await bench.task(assigned(), Started()))
    await claim.give_up(Released("it does not serve"))
    (failure,) = bench.last().failures
    assert failure.failure is FailureClass.INSTANCE_LOST


@pytest.mark.parametrize("end", [DONE, failed(), failed(FailureClass.INSTANCE_LOST)])
async def test_there_is_nothing_to_give_up_after_the_end(bench: Bench, end: Event) -> None:
    claim = await begun(bench)
    await claim.end(end)
    before = bench.records()
    await claim.give_up(INTERNAL)
    assert bench.records() == before


async def test_giving_up_waits_for_the_bus(bench: Bench) -> None:
    claim = await taken(bench)
    with bench.bus.away():
        giving_up = asyncio.create_task(claim.give_up(INTERNAL))
        await asyncio.sleep(600)
        assert not giving_up.done()
    await giving_up
    assert bench.last().failures[0].failure is FailureClass.INTERNAL


async def test_an_attempt_whose_giving_up_was_not_confirmed_is_given_up_once(bench: Bench) -> None:
    claim = await taken(bench)
    bench.bus.lose_confirmations = True
    giving_up = asyncio.create_task(claim.give_up(INTERNAL))
    await asyncio.sleep(60)
    bench.bus.lose_confirmations = False
    await giving_up
    assert bench.states() == [QUEUED, ASSIGNED, QUEUED]


async def test_only_an_attempt_that_the_log_gives_to_us_and_nobody_cancels_is_wanted(bench: Bench) -> None:
    claim = bench.held(await bench.task(assigned()))
    assert await claim.is_wanted()
    await bench.happen(Started())
    assert await claim.is_wanted()
    await bench.happen(CancelRequested())
    assert not await claim.is_wanted()


async def test_an_attempt_that_was_given_to_somebody_else_is_not_wanted(bench: Bench) -> None:
    claim = bench.held(await bench.task(assigned()))
    await bench.happen(failed(FailureClass.NODE_LOST))
    assert not await claim.is_wanted()
    await bench.happen(assigned())
    assert not await claim.is_wanted()


async def test_nothing_is_written_once_it_is_closed(bench: Bench) -> None:
    claim = await taken(bench)
    claim.begin()
    await claim.close()
    await asyncio.sleep(LONG)
    assert bench.states() == [QUEUED, ASSIGNED]


@pytest.mark.parametrize(
    "end", [lambda claim: claim.end(DONE), Claim.concede, lambda claim: claim.give_up(INTERNAL), Claim.close]
)
async def test_nothing_of_a_claim_goes_on_after_its_end(bench: Bench, end: Callable[[Claim], Awaitable[None]]) -> None:
    claim = await taken(bench)
    before = asyncio.all_tasks()
    claim.begin()
    await end(claim)
    assert asyncio.all_tasks() == before


async def test_a_cancel_that_comes_while_it_is_given_up_wins(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = await taken(bench)
    insist = bench.log.insist

    async def insist_too_late(record: TaskRecord, after: int) -> Stored:
        monkeypatch.setattr(bench.log, "insist", insist)
        await bench.happen(CancelRequested())
        return await insist(record, after)

    monkeypatch.setattr(bench.log, "insist", insist_too_late)
    await claim.give_up(INTERNAL)
    assert bench.states() == [QUEUED, ASSIGNED, CANCELLING, CANCELLED]


async def test_what_an_earlier_life_sent_late_does_not_cost_the_attempt(bench: Bench) -> None:
    claim = bench.held(await bench.task(assigned()))
    await bench.happen(Started())
    await claim.end(DONE)
    assert bench.states() == [QUEUED, ASSIGNED, RUNNING, SUCCEEDED]


async def test_an_attempt_whose_task_cannot_be_read_is_let_go(bench: Bench) -> None:
    claim = await begun(bench)
    await bench.bus.publish(subjects.task(claim.key), b"\xff\xfe no record")
    assert not await claim.is_wanted()
    for ending in (claim.end(DONE), claim.concede(), claim.give_up(INTERNAL)):
        await ending
    assert bench.bus.stored(subjects.task(claim.key))[-1].data == b"\xff\xfe no record"


async def test_an_offer_of_a_task_that_cannot_be_read_is_left_alone(bench: Bench) -> None:
    claim = bench.offered(await bench.task())
    await bench.bus.publish(subjects.task(claim.key), b"\xff\xfe no record")
    assert not await claim.take()
