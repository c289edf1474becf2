"""An instance: kept alive, watched, and described in a way that nothing it answers can harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from comfymesh.agent.comfyui.control import Standing
from comfymesh.agent.comfyui.errors import ComfyError
from comfymesh.agent.comfyui.inventory import Inventory
from comfymesh.agent.comfyui.pulse import Sign
from comfymesh.agent.condition import Condition, InstanceState
from comfymesh.agent.domain import verdict
from comfymesh.agent.domain.ladder import Limits
from comfymesh.agent.domain.lives import Endurance
from comfymesh.agent.instance import Care, Instance
from comfymesh.agent.leftovers import Leftovers
from comfymesh.agent.runtimes.contract import Absent, Exited, RuntimeFailed, RuntimeFailureReason
from comfymesh.agent.workplace import Files, Workplace
from comfymesh.artifacts.catalogs import read_catalog
from comfymesh.graphs import Catalog
from comfymesh.tasks.events import AttemptFailed
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import Key
from comfymesh.testkit.benches import FOLDERS, INSTANCE, MAX_BYTES, NODE, Bench
from comfymesh.testkit.scripted import ScriptedRuntime, ScriptedSession, silent, unreachable

STARTING, READY, DOWN = InstanceState.STARTING, InstanceState.READY, InstanceState.DOWN

INFO: dict[str, Any] = {"Loader": {"input": {"required": {}}, "output": ["MODEL"], "output_node": False}}
PROMPT = "11111111-1111-4111-8111-111111111111"
DIED = Exited(1, "killed")
NO_ENGINE = RuntimeFailed(RuntimeFailureReason.ENGINE_UNREACHABLE, "no engine answers")


class Host:
    """An instance that is kept alive, and everything that it is made of."""

    def __init__(self, bench: Bench, kind: str = "process", care: Care | None = None) -> None:
        self.bench = bench
        self.runtime = ScriptedRuntime()
        self.sessions: list[ScriptedSession] = []
        self.next_session = ScriptedSession()
        self.next_session.http.info = INFO
        self.told: list[Condition] = []
        self.instance = Instance("x", kind, self.runtime, bench.store, self._open, self._changed, care)
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
        return Workplace(
            self.session, self.bench.log, Files(self.bench.store, MAX_BYTES, FOLDERS), leftovers, self.runtime.log_tail
        )

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


async def test_one_that_ends_as_soon_as_it_is_started_has_crashed(bench: Bench) -> None:
    host = Host(bench, care=Care(endurance=Endurance(faults=3)))
    host.runtime.start_error = RuntimeFailed(RuntimeFailureReason.ENDED_AT_START, "it ended with code 3")
    await host.after(20)
    assert host.state is InstanceState.QUARANTINED
    assert "it ended with code 3" in host.instance.condition.reason
    assert len(host.runtime.starts) == 3
    await host.close()


async def test_what_takes_long_before_it_starts_is_told(host: Host) -> None:
    host.runtime.told_at_start = ("pulling x: 5 % of 10 MiB", "pulling x: 50 % of 10 MiB")
    await host.after(1)
    assert [condition.reason for condition in host.told] == ["starting", *host.runtime.told_at_start, ""]


async def test_a_server_that_is_slow_to_start_is_waited_for(host: Host) -> None:
    host.next_session.http.stats = unreachable()
    await host.after(600)
    assert host.states == [STARTING]
    host.session.http.stats = {"system": {"comfyui_version": "1"}}
    await host.after(1)
    assert host.state is READY
    assert len(host.runtime.starts) == 1


async def test_a_server_that_never_answers_is_started_again_in_the_end(host: Host) -> None:
    host.next_session.http.stats = unreachable()
    await host.after(1795)
    assert host.states == [STARTING]
    await host.after(10)
    assert "has answered nothing for 1800 s" in host.told[1].reason
    assert host.runtime.stopped is not None
    assert (host.state, len(host.runtime.starts)) == (READY, 2)


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


async def test_whether_somebody_elses_server_is_there_is_asked_only_when_it_does_not_answer(attached: Host) -> None:
    attached.runtime.sees_process = False
    await attached.after(60)
    assert (attached.state, attached.runtime.polls) == (READY, 0)
    attached.session.http.stats = silent()
    await attached.after(10)
    assert attached.runtime.polls > 0
    assert DOWN not in attached.states
    attached.session.http.stats, attached.runtime.status = unreachable(), Absent()
    await attached.after(10)
    assert attached.told[attached.states.index(DOWN)].reason == "it is gone"


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
    await host.after(55)
    assert host.state is READY
    await host.after(10)
    assert DOWN in host.states
    assert host.told[host.states.index(DOWN)].reason.startswith("it has answered nothing for 6")
    assert host.runtime.stopped is not None  # it might answer again, and execute what has been given up


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
    await host.after(70)
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


# Kept well: what the ladder says is done. What it says when is tested in test_ladder.py.


@pytest.fixture
async def stuck(host: Host) -> Host:
    """It executes a prompt that says nothing any more."""
    await host.after(1)
    sign = Sign(PROMPT, begun=True, silence=1000.0, allowed=900.0, stopping=None)
    host.session.signed = (sign,)
    host.session.standing[PROMPT] = Standing.RUNNING
    return host


async def test_a_stuck_prompt_is_asked_for_then_given_up_as_stalled(stuck: Host) -> None:
    await stuck.after(1000)
    lost = stuck.session.given_up[PROMPT]
    assert (lost.failure, lost.reason) == (
        FailureClass.STALLED,
        "it was silent for 1000 s, 900 s are usual at most",
    )
    assert stuck.state is READY


async def test_a_prompt_that_comfyui_does_not_execute_is_not_given_up(stuck: Host) -> None:
    stuck.session.standing[PROMPT] = Standing.ENDED
    await stuck.after(1000)
    assert stuck.session.given_up == {}


async def test_one_that_does_not_stop_costs_memory_first_then_the_instance(stuck: Host) -> None:
    session = stuck.session
    session.signed = (replace(session.signed[0], stopping=100.0),)
    await stuck.after(40)
    assert session.http.freed == [(True, True)]
    assert stuck.state is READY
    await stuck.after(40)
    assert session.abandoned is not None
    assert session.abandoned.failure is FailureClass.STALLED
    assert stuck.runtime.stopped is not None
    assert (stuck.state, len(stuck.runtime.starts)) == (READY, 2)


async def test_a_device_fault_is_the_end_of_an_instance_at_once(host: Host) -> None:
    await host.after(1)
    workplace = host.workplace
    await workplace.with_evidence(verdict.failure(FailureClass.DEVICE_FAULT, "CUDA error"))
    assert not workplace.open
    await host.after(1)
    assert DOWN in host.states
    assert host.told[host.states.index(DOWN)].reason == "its GPU has failed for this process"
    await host.after(5)
    assert (host.state, len(host.runtime.starts)) == (READY, 2)


async def test_the_last_words_are_kept_for_attempts_that_end_by_the_restart(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def words(_: int) -> str:
        return "gone" if host.runtime.stopped else "the last words"

    monkeypatch.setattr(host.runtime, "log_tail", words)
    await host.after(1)
    workplace = host.workplace
    workplace.enter()
    host.session.http.stats = unreachable()
    await host.after(5)
    assert host.runtime.stopped is not None
    end = await workplace.with_evidence(verdict.failure(FailureClass.INSTANCE_LOST, "gone"))
    assert isinstance(end, AttemptFailed)
    assert end.error.log_tail == "the last words"
    workplace.leave()


async def test_an_instance_that_grows_finishes_what_it_holds_and_is_started_afresh(bench: Bench) -> None:
    host = Host(bench, care=Care(Limits(memory_bytes=2**30)))
    await host.after(1)
    workplace = host.workplace
    workplace.enter()
    host.runtime.memory = 2**31
    await host.after(20)
    assert host.session.http.freed == [(True, True)]
    assert workplace.open
    await host.after(60)
    assert host.state is InstanceState.RETIRING
    assert not workplace.open
    assert host.runtime.stopped is None
    host.runtime.memory = 0
    workplace.leave()
    await host.after(5)
    assert host.runtime.stopped is not None
    assert (host.state, len(host.runtime.starts)) == (READY, 2)
    await host.close()


async def test_an_instance_that_crashes_again_and_again_is_set_aside(host: Host) -> None:
    for _ in range(5):
        await host.after(100)
        host.runtime.status = DIED
        await host.after(3)
    assert host.state is InstanceState.QUARANTINED
    assert "set aside for 300 s" in host.instance.condition.reason
    assert "its last words" in host.instance.condition.reason
    starts = len(host.runtime.starts)
    await host.after(250)
    assert len(host.runtime.starts) == starts
    await host.after(60)
    assert host.state is READY


async def test_a_stuck_server_of_somebody_else_is_set_aside_since_nobody_here_can_mend_it(attached: Host) -> None:
    await attached.after(1)
    session = attached.session
    session.signed = (Sign(PROMPT, begun=True, silence=0.0, allowed=900.0, stopping=100.0),)
    await attached.after(70)
    assert session.abandoned is not None
    assert attached.state is InstanceState.QUARANTINED


async def test_a_server_of_somebody_else_may_come_and_go(attached: Host) -> None:
    for _ in range(10):
        await attached.after(100)
        assert attached.state is READY
        attached.session.http.stats = unreachable()
        await attached.after(5)
    assert InstanceState.QUARANTINED not in attached.states


async def test_a_step_that_fails_is_tried_again(stuck: Host) -> None:
    stuck.session.look_error = silent()
    await stuck.after(900)
    assert stuck.session.given_up == {}
    stuck.session.look_error = None
    await stuck.after(5)
    assert PROMPT in stuck.session.given_up


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


async def test_model_files_are_counted_with_their_sizes_and_again_when_they_change(host: Host, bench: Bench) -> None:
    host.next_session.http.sizes = {"checkpoints": {"a.safetensors": 7_000}, "loras": {"b": 50, "c": 1}}
    await host.after(1)
    sizes = {"a.safetensors": 7_000, "b": 50, "c": 1}
    assert host.instance.condition.inventory == Inventory(1, model_files=3, model_bytes=7_051, sizes=sizes)
    assert (await offered(host, bench)).model_sizes == sizes
    host.session.http.sizes["loras"]["d"] = 9
    await host.after(310)
    assert host.instance.condition.inventory.model_bytes == 7_060
    assert (await offered(host, bench)).model_sizes == {**sizes, "d": 9}


async def offered(host: Host, bench: Bench) -> Catalog:
    blob = host.instance.condition.catalog
    assert blob is not None
    return await read_catalog(bench.store, blob)


async def test_of_two_files_of_one_name_no_size_is_known(host: Host) -> None:
    host.next_session.http.sizes = {"checkpoints": {"a": 7, "b": 5, "c": 0}, "unet": {"a": 8, "b": 5}}
    await host.after(1)
    assert host.instance.condition.inventory.sizes == {"b": 5}


async def test_a_server_that_is_too_old_to_tell_sizes_serves(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse() -> tuple[str, ...]:
        raise ComfyError("GET /experiment/models", 404, "")

    monkeypatch.setattr(host.next_session.http, "model_folders", refuse)
    await host.after(1)
    assert (host.state, host.instance.condition.inventory) == (READY, Inventory(node_classes=1))


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
    async with Workplace(session, bench.log, Files(bench.store, MAX_BYTES, FOLDERS), bench.leftovers) as workplace:
        workplace.forget("a prompt", Key("default", "a"), 1)
    assert clock.monotonic() - before == pytest.approx(1.0)
    assert session.closed


async def test_a_history_that_can_not_be_dropped_is_no_harm(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    async def refuse(*prompts: str) -> None:
        asked.append(prompts)
        raise unreachable("POST /history")

    monkeypatch.setattr(bench.session.http, "delete_history", refuse)
    bench.workplace.forget("one", Key("default", "one"), 1)
    bench.workplace.forget("two", Key("default", "two"), 1)
    await asyncio.sleep(2)
    bench.workplace.forget("three", Key("default", "three"), 1)
    await asyncio.sleep(2)
    assert asked == [("one", "two"), ("three",)]
