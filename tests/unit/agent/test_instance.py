"""An instance: kept alive, watched, and described in a way that nothing it answers can harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from comfymesh.agent.comfyui.errors import ComfyError
from comfymesh.agent.instance import Condition, Instance, InstanceState
from comfymesh.agent.leftovers import Leftovers
from comfymesh.agent.runtimes.contract import Absent, Exited, RuntimeFailed, RuntimeFailureReason
from comfymesh.agent.workplace import Files, Workplace
from comfymesh.artifacts.catalogs import read_catalog
from comfymesh.testkit.benches import INSTANCE, MAX_BYTES, NODE, Bench
from comfymesh.testkit.scripted import ScriptedRuntime, ScriptedSession, silent, unreachable

STARTING, READY, DOWN = InstanceState.STARTING, InstanceState.READY, InstanceState.DOWN

INFO: dict[str, Any] = {"Loader": {"input": {"required": {}}, "output": ["MODEL"], "output_node": False}}
DIED = Exited(1, "killed")
NO_ENGINE = RuntimeFailed(RuntimeFailureReason.ENGINE_UNREACHABLE, "no engine answers")


class Host:
    """An instance that is kept alive, and everything that it is made of."""

    def __init__(self, bench: Bench, kind: str = "process") -> None:
        self.bench = bench
        self.runtime = ScriptedRuntime()
        self.sessions: list[ScriptedSession] = []
        self.next_session = ScriptedSession()
        self.next_session.http.info = INFO
        self.told: list[Condition] = []
        self.instance = Instance("x", kind, self.runtime, bench.store, self._open, self._changed)
        self._running: asyncio.Task[None] | None = None

    async def after(self, seconds: float) -> None:
        """Some time later. The instance is kept alive from the first call on."""
        self._running = self._running or asyncio.create_task(self.instance.run())
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    @property
    def session(self) -> ScriptedSession:
        """The session that was opened last."""
        return self.sessions[-1]

    @property
    def state(self) -> InstanceState:
        return self.instance.condition.state

    @property
    def states(self) -> list[InstanceState]:
        return [condition.state for condition in self.told]

    @property
    def workplace(self) -> Workplace:
        assert self.instance.workplace is not None
        return self.instance.workplace

    def _open(self, _: str) -> Workplace:
        self.sessions.append(self.next_session)
        self.next_session = ScriptedSession()
        self.next_session.http.info = INFO
        leftovers = Leftovers(self.session, self.bench.log, NODE, INSTANCE)
        return Workplace(self.session, self.bench.log, Files(self.bench.store, MAX_BYTES), leftovers)

    def _changed(self) -> None:
        self.told.append(self.instance.condition)


@pytest.fixture
async def host(bench: Bench) -> AsyncIterator[Host]:
    host = Host(bench)
    yield host
    await host.close()


@pytest.fixture
async def attached(bench: Bench) -> AsyncIterator[Host]:
    host = Host(bench, "attach")
    yield host
    await host.close()


# Coming up.


async def test_a_server_that_answers_serves(host: Host, bench: Bench) -> None:
    await host.after(1)
    assert host.states == [STARTING, READY]
    condition = host.instance.condition
    assert condition.version == "1.2.3"
    assert condition.catalog is not None
    assert await read_catalog(bench.store, condition.catalog)
    assert host.workplace.session is host.session


async def test_a_server_that_is_slow_to_start_is_waited_for(host: Host) -> None:
    host.next_session.http.stats = unreachable()
    await host.after(600)
    assert host.states == [STARTING]
    host.session.http.stats = {"system": {"comfyui_version": "1"}}
    await host.after(1)
    assert host.state is READY
    assert len(host.runtime.starts) == 1


async def test_a_server_that_dies_while_it_starts_is_down_with_its_last_words(host: Host) -> None:
    host.next_session.http.stats = unreachable()
    await host.after(10)
    host.runtime.status = DIED
    await host.after(0.3)
    assert host.state is DOWN
    assert host.instance.condition.reason == "it exited with 1 (killed); its last words: 'its last words'"


async def test_a_server_of_somebody_else_that_does_not_answer_is_down_at_once(attached: Host) -> None:
    attached.next_session.http.stats = unreachable()
    await attached.after(0.1)
    assert attached.state is DOWN
    assert attached.instance.condition.reason.startswith("nothing answers: ")


async def test_what_keeps_failing_is_tried_again_after_longer_and_longer_waits(host: Host) -> None:
    host.runtime.start_error = RuntimeFailed(RuntimeFailureReason.GPU_UNAVAILABLE, "there is no GPU 7")
    await host.after(100)
    starts = host.runtime.starts
    assert [round(b - a) for a, b in pairwise(starts)] == [1, 2, 4, 8, 16, 30, 30]
    assert host.instance.condition.reason == "there is no GPU 7 [GPU_UNAVAILABLE]"


async def test_what_is_down_stays_down_until_it_serves_again(host: Host) -> None:
    host.runtime.start_error = NO_ENGINE
    await host.after(2)
    host.runtime.start_error = None
    await host.after(60)
    assert host.states == [STARTING, DOWN, READY]


async def test_a_server_without_an_event_socket_is_down_and_not_started_for_ever(host: Host) -> None:
    host.next_session.hears.clear()
    await host.after(120)
    assert DOWN in host.states
    assert "socket" in host.told[host.states.index(DOWN)].reason
    assert host.state is READY
    assert host.sessions[0].closed


async def test_a_catalog_waits_for_the_store(host: Host, bench: Bench) -> None:
    with bench.store_bus.away():
        await host.after(600)
        assert host.states == [STARTING]
    await host.after(1)
    assert host.state is READY


# Whatever it answers.


@pytest.mark.parametrize(
    ("stats", "version"),
    [
        ({"system": {"comfyui_version": "\ud800\udfff"}}, "??"),
        ({"system": {"comfyui_version": "9" * 10_000}}, "9" * 64),
        ({"system": {"comfyui_version": {"a": 1}}}, "{'a': 1}"),
        ({"system": {"comfyui_version": None}}, "unknown"),
        ({"system": {}}, "unknown"),
        ({"system": ["1.2.3"]}, "unknown"),
        ({}, "unknown"),
    ],
)
async def test_whatever_it_says_its_version_is_can_be_told(host: Host, stats: dict[str, Any], version: str) -> None:
    host.next_session.http.stats = stats
    await host.after(1)
    assert host.state is READY
    assert host.instance.condition.version == version
    version.encode()


async def test_a_hostile_reason_can_be_told(attached: Host) -> None:
    attached.next_session.http.stats = ComfyError("GET /system_stats", 500, "\ud800" * 10_000)
    await attached.after(0.1)
    reason = attached.instance.condition.reason
    assert attached.state is DOWN
    assert len(reason.encode()) <= 512


async def test_an_answer_that_we_did_not_think_of_takes_only_this_instance_down(host: Host) -> None:
    host.next_session.http.info = ZeroDivisionError("odd")
    await host.after(0.1)
    assert (host.state, host.instance.condition.reason) == (DOWN, "odd")
    await host.after(60)
    assert host.state is READY


# Going down.


async def test_a_server_that_exits_is_down_and_started_again(host: Host) -> None:
    await host.after(99)
    host.runtime.status = DIED
    await host.after(1.2)
    assert host.state is DOWN
    assert host.instance.workplace is None
    await host.after(1)
    assert host.states == [STARTING, READY, DOWN, READY]
    assert host.sessions[0].closed


async def test_a_server_that_is_gone_is_down(host: Host) -> None:
    await host.after(1)
    host.runtime.status = Absent()
    await host.after(3)
    assert DOWN in host.states
    assert host.told[host.states.index(DOWN)].reason == "it is gone"


async def test_one_slow_answer_is_no_death(host: Host) -> None:
    await host.after(1)
    for _ in range(5):
        host.session.http.stats = silent()
        await host.after(8)
        host.session.http.stats = {"system": {}}
        await host.after(2)
    assert host.states == [STARTING, READY]


async def test_a_server_that_stays_silent_is_down(host: Host) -> None:
    await host.after(1)
    host.session.http.stats = silent()
    await host.after(10)
    assert host.state is DOWN
    assert host.instance.condition.reason.startswith("it did not answer 5 times: ")


async def test_what_it_offered_stays_known_while_it_is_down(host: Host) -> None:
    await host.after(1)
    before = host.instance.condition
    host.runtime.status = DIED
    await host.after(2)
    assert host.state is DOWN
    assert (host.instance.condition.catalog, host.instance.condition.version) == (before.catalog, before.version)


@pytest.mark.parametrize("fault", ["exit", "silence", "defect"])
async def test_attempts_keep_their_session_until_they_have_left(host: Host, fault: str) -> None:
    await host.after(1)
    workplace, session = host.workplace, host.session
    workplace.enter()
    if fault == "exit":
        host.runtime.status = DIED
    else:
        session.http.stats = silent() if fault == "silence" else ZeroDivisionError("odd")
    await host.after(60)
    assert host.state is DOWN
    assert host.instance.workplace is None
    assert not session.closed
    assert len(host.runtime.starts) == 1
    workplace.leave()
    await host.after(60)
    assert session.closed
    assert host.state is READY


async def test_a_runtime_that_can_not_be_asked_says_nothing_about_a_server_that_answers(host: Host) -> None:
    await host.after(1)
    host.runtime.status = NO_ENGINE
    await host.after(60)
    assert host.states == [STARTING, READY]
    host.session.http.stats = unreachable()
    await host.after(12)
    assert DOWN in host.states


# What it offers.


async def test_a_catalog_that_changes_is_told(host: Host, bench: Bench) -> None:
    await host.after(1)
    before = host.instance.condition.catalog
    host.session.http.info = {**INFO, "Saver": INFO["Loader"]}
    await host.after(310)
    after = host.instance.condition.catalog
    assert after is not None
    assert after != before
    assert host.states == [STARTING, READY, READY]


async def test_a_catalog_that_stays_the_same_is_no_news(host: Host) -> None:
    await host.after(700)
    assert host.states == [STARTING, READY]


async def test_a_catalog_that_can_not_be_read_now_stays_what_it_was(host: Host) -> None:
    await host.after(1)
    host.session.http.info = unreachable()
    await host.after(310)
    assert host.states == [STARTING, READY]


async def test_a_server_is_watched_though_its_catalog_can_not_be_stored(host: Host, bench: Bench) -> None:
    await host.after(1)
    host.session.http.info = {**INFO, "Saver": INFO["Loader"]}
    with bench.store_bus.away():
        await host.after(310)
        host.runtime.status = DIED
        await host.after(5)
        assert DOWN in host.states


# Letting go.


async def test_it_is_stopped_with_the_grace_that_is_given(host: Host) -> None:
    await host.instance.stop(timedelta(seconds=7))
    assert host.runtime.stopped == timedelta(seconds=7)
    await host.instance.close()
    assert host.runtime.closed


async def test_a_server_that_can_not_be_stopped_does_not_stop_the_agent(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stop(grace: timedelta) -> None:
        raise NO_ENGINE

    monkeypatch.setattr(host.runtime, "stop", stop)
    await host.instance.stop(timedelta(seconds=7))


async def test_leaving_a_workplace_is_bounded_though_comfyui_hangs(
    bench: Bench, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: str) -> None:
        await asyncio.Event().wait()

    session = ScriptedSession()
    monkeypatch.setattr(session.http, "delete_history", hang)
    before = clock.monotonic()
    async with Workplace(session, bench.log, Files(bench.store, MAX_BYTES), bench.leftovers) as workplace:
        workplace.forget("a prompt")
    assert clock.monotonic() - before == pytest.approx(1.0)
    assert session.closed


async def test_a_history_that_can_not_be_dropped_is_no_harm(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    async def refuse(*prompts: str) -> None:
        asked.append(prompts)
        raise unreachable("POST /history")

    monkeypatch.setattr(bench.session.http, "delete_history", refuse)
    bench.workplace.forget("one")
    bench.workplace.forget("two")
    await asyncio.sleep(2)
    bench.workplace.forget("three")
    await asyncio.sleep(2)
    assert asked == [("one", "two"), ("three",)]
