"""Whose answers are believed on a cluster, over all that a leader may go through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.bus.api import ApiError
from comfymesh.bus.leadership import _LEASE, Leadership, Term
from comfymesh.bus.port import BusUnavailableError
from comfymesh.testkit.virtual_time import VirtualTimeLoop

ELECTION = 4.0
READ = "STREAM.MSG.GET.S"
ABSENT = ApiError(READ, "no message found", 10037)


def cluster(leader: str = "a", *silent: float | None) -> dict[str, Any]:
    """What a leader tells, with how many seconds ago it has heard from each copy, None for one it never has."""
    return {"leader": leader, "replicas": [copy(seconds) for seconds in silent]}


def copy(silent: float | None) -> dict[str, Any]:
    return {"current": silent is not None, "offline": silent is None, "active": int((silent or 0.0) * 1e9)}


class Server:
    """Answers as often as it is asked, after `takes` seconds, with what it is told to."""

    def __init__(self) -> None:
        self.cluster = cluster("a", 0.0, 0.0)
        self.answer: dict[str, Any] | ApiError = {"found": 1}
        self.takes = self.look_takes = 0.0
        self.asked: list[str] = []

    async def call(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        assert body == {}
        self.asked.append(method)
        if method.startswith("STREAM.INFO"):
            await asyncio.sleep(self.look_takes)
            return {"cluster": self.cluster}
        answer = self.answer
        await asyncio.sleep(self.takes)
        if isinstance(answer, ApiError):
            raise answer
        return answer

    @property
    def looks(self) -> int:
        return sum(method.startswith("STREAM.INFO") for method in self.asked)


def in_virtual_time(test: Callable[[Server, Leadership], Any]) -> None:
    async def run() -> None:
        server = Server()
        await test(server, Leadership(server.call, asyncio.get_running_loop().time))

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(run())


@pytest.mark.parametrize(
    ("silent", "hears"),
    [
        ((0.0, 0.0), True),
        ((0.0, 60.0), True),
        ((1.2, 60.0), True),
        ((2.1, 60.0), False),
        ((0.0, 0.0, 60.0, 60.0), True),
        ((0.0, 60.0, 60.0, 60.0), False),
        ((0.0, 0.0, 60.0), True),
        ((0.0, 60.0, 60.0), False),
        # It was gone when this one was elected, and the server shows it with no time at all.
        ((60.0, None), False),
        ((0.0, None), True),
        ((0.0, None, None, None), False),
    ],
)
def test_who_leads_has_heard_from_most_copies(silent: tuple[float | None, ...], *, hears: bool) -> None:
    term = Term()
    term.told(cluster("a", *silent), 10.0, 10.0)
    assert term.holds(10.0, 10.0) is hears


def test_a_stream_without_a_leader_has_none_to_believe() -> None:
    term = Term()
    term.told({"replicas": [{"active": 0}, {"active": 0}]}, 0.0, 0.0)
    assert not term.holds(0.0, 0.0)
    term.told({}, 0.0, 0.0)
    assert not term.holds(0.0, 0.0)


@given(silent=st.floats(0.0, 30.0), asked=st.floats(0.0, 5.0), took=st.floats(0.0, 5.0), then=st.floats(0.0, 60.0))
def test_nobody_is_believed_when_copies_may_have_another_leader(
    silent: float, asked: float, took: float, then: float
) -> None:
    """What it was told counts from when it was asked, and copies from when the leader heard of them last."""
    term = Term()
    term.told(cluster("a", silent, 60.0), asked, asked + took)
    if term.holds(then - _LEASE, asked + took):
        assert then < asked - silent + ELECTION


@given(doubt=st.booleans(), later=st.floats(0.0, 10.0), cut_off=st.sampled_from([60.0, None]))
def test_after_another_has_led_both_may_answer_for_a_moment(
    *, doubt: bool, later: float, cut_off: float | None
) -> None:
    term, told = led_by_another(doubt=doubt, silent=cut_off)
    assert not term.holds(10.0, 10.0)
    now = 10.0 + later
    term.told(told, now, now)
    assert term.holds(now, now) is (later >= 1.5)


@given(doubt=st.booleans(), silent=st.floats(0.0, 1.9))
def test_one_that_has_answered_who_leads_now_does_not_answer_as_a_leader(*, doubt: bool, silent: float) -> None:
    term, _ = led_by_another(doubt=doubt, silent=silent)
    assert term.holds(10.0, 10.0)
    assert term.since == 10.0, "what was asked for before may be of the other"


def led_by_another(*, doubt: bool, silent: float | None) -> tuple[Term, dict[str, Any]]:
    """A term in which another has led, or may have, and what who leads now has told at 10 seconds."""
    term, told = Term(), cluster("a" if doubt else "b", 0.0, silent)
    term.told(cluster("a", 0.0, 0.0), 0.0, 0.0)
    if doubt:
        term.told(cluster("a", 5.0, 5.0), 5.0, 5.0)
    term.told(told, 10.0, 10.0)
    return term, told


def test_who_leads_again_has_been_replaced_in_between() -> None:
    term = Term()
    term.told({"leader_since": "then", **cluster("a", 0.0, 0.0)}, 0.0, 0.0)
    before = term.since
    term.told({"leader_since": "now", **cluster("a", 0.0, 0.0)}, 10.0, 10.0)
    assert term.since != before, "what was asked for before may be of another"


def test_reads_of_one_leader_cost_one_look_for_a_while() -> None:
    async def test(server: Server, leadership: Leadership) -> None:
        answers = await asyncio.gather(*(leadership.ask("S", READ, {}) for _ in range(100)))
        assert answers == [{"found": 1}] * 100
        assert server.looks == 1
        await asyncio.sleep(10.0)
        await leadership.ask("S", READ, {})
        assert server.looks == 2

    in_virtual_time(test)


def test_that_there_is_nothing_is_not_believed_of_one_that_is_cut_off() -> None:
    async def test(server: Server, leadership: Leadership) -> None:
        server.answer = ABSENT
        server.cluster = cluster("a", 3.0, 3.0)
        with pytest.raises(BusUnavailableError, match="others may lead"):
            await leadership.ask("S", READ, {})
        assert READ not in server.asked

    in_virtual_time(test)


def test_those_who_wait_for_a_leader_are_told_together_that_there_is_none() -> None:
    async def test(server: Server, leadership: Leadership) -> None:
        server.cluster = cluster("a", 3.0, 3.0)
        loop = asyncio.get_running_loop()
        before = loop.time()
        answers = await asyncio.gather(*(leadership.ask("S", READ, {}) for _ in range(100)), return_exceptions=True)
        assert all(isinstance(answer, BusUnavailableError) for answer in answers)
        assert loop.time() - before < 6.0
        assert server.looks < 30

    in_virtual_time(test)


@pytest.mark.parametrize("other", [cluster("b", 0.0, 0.0), cluster("a", 3.0, 3.0)], ids=["another", "doubted"])
@pytest.mark.parametrize("refused", [False, True])
def test_an_answer_that_took_long_is_asked_for_again_where_another_may_lead(
    other: dict[str, Any], *, refused: bool
) -> None:
    async def test(server: Server, leadership: Leadership) -> None:
        server.takes, server.answer = 2.0, ABSENT if refused else {"found": 1}
        asking = asyncio.ensure_future(leadership.ask("S", READ, {}))
        await asyncio.sleep(1.0)
        server.cluster, server.answer, server.takes = other, {"found": 2}, 0.0
        await asyncio.sleep(1.2)
        server.cluster = cluster("b", 0.0, 0.0)
        assert await asking == {"found": 2}

    in_virtual_time(test)


def test_an_answer_that_took_long_is_not_believed_of_one_that_was_cut_off() -> None:
    async def test(server: Server, leadership: Leadership) -> None:
        server.takes = 2.0
        asking = asyncio.ensure_future(leadership.ask("S", READ, {}))
        await asyncio.sleep(1.0)
        server.cluster = cluster("a", 3.0, 3.0)
        with pytest.raises(BusUnavailableError, match="others may lead"):
            await asking

    in_virtual_time(test)


@pytest.mark.parametrize("takes", [0.8, 1.6])
def test_who_is_slow_is_believed_where_nobody_else_leads(takes: float) -> None:
    """It may be us who are: an event loop that has much to do takes answers in late."""

    async def test(server: Server, leadership: Leadership) -> None:
        server.takes = server.look_takes = takes
        assert await leadership.ask("S", READ, {}) == {"found": 1}

    in_virtual_time(test)


def test_what_the_leader_refuses_is_told() -> None:
    async def test(server: Server, leadership: Leadership) -> None:
        server.answer = ABSENT
        with pytest.raises(ApiError, match="no message found"):
            await leadership.ask("S", READ, {})

    in_virtual_time(test)


def test_one_that_comes_back_is_believed_once_it_is_alone() -> None:
    async def test(server: Server, leadership: Leadership) -> None:
        server.cluster = cluster("a", 9.0, 9.0)
        loop = asyncio.get_running_loop()
        before = loop.time()
        asking = asyncio.ensure_future(leadership.ask("S", READ, {}))
        await asyncio.sleep(0.6)
        server.cluster = cluster("b", 0.0, None)
        assert await asking == {"found": 1}
        assert loop.time() - before >= 0.6 + 1.5 - 0.25

    in_virtual_time(test)
