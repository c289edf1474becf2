"""Instances of a pool that come, stop and go, each with a scripted server."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from comfymesh.agent.attempts import Attempts
from comfymesh.agent.comfyui.errors import ComfyError
from comfymesh.agent.comfyui.events import ExecutionError
from comfymesh.agent.comfyui.outcome import Failed, Interrupted, Lost, Succeeded
from comfymesh.agent.condition import Condition, InstanceState
from comfymesh.agent.crew import Crew
from comfymesh.agent.domain.folders import WARM_UP
from comfymesh.agent.domain.pool_values import Memory, Phase
from comfymesh.agent.instance import Care, Instance, WarmUp
from comfymesh.agent.leftovers import Leftovers
from comfymesh.agent.pooling import Pooling
from comfymesh.agent.preloading import Preloading, Preloads
from comfymesh.agent.runtimes.contract import Absent, Exited, Running, RuntimeFailed, RuntimeFailureReason, Status
from comfymesh.agent.runtimes.pool_specs import PoolSpec
from comfymesh.agent.warming import Warming
from comfymesh.agent.workplace import Files, Workplace
from comfymesh.bus import subjects
from comfymesh.bus.intents import Preload
from comfymesh.bus.port import Message
from comfymesh.runtime.background import Background
from comfymesh.tasks.record import ModelFile
from comfymesh.testkit.benches import FOLDERS, MAX_BYTES, NODE, Bench
from comfymesh.testkit.graphs import node
from comfymesh.testkit.scripted import ScriptedRuntime, ScriptedSession
from comfymesh.wire.v1 import pool_demand_pb2, spec_pb2

GIB = 2**30
NO_ENGINE = RuntimeFailed(RuntimeFailureReason.ENGINE_UNREACHABLE, "no engine answers")
STARTING, READY, DOWN, RETIRING, QUARANTINED, STOPPED = InstanceState


class HeldAttempts:
    """What attempts there are, as a test says."""

    def __init__(self) -> None:
        self.at: set[str] = set()
        self.left: dict[str, float] = {}
        self.taken = Counter[str]()

    def take(self, name: str) -> None:
        """An instance is offered a task, which it takes."""
        self.taken[name] += 1
        self.at.add(name)

    def offers_taken(self) -> Counter[str]:
        return self.taken.copy()

    def busy(self, name: str) -> bool:
        return name in self.at

    def used(self, name: str) -> float:
        return self.left.get(name, float("-inf"))


class Team:
    """A pool `p` of two, and what it is made of."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.background = Background()
        self.crew = Crew(self.background)
        self.runtimes: dict[str, ScriptedRuntime] = {}
        self.sessions: dict[str, ScriptedSession] = {}
        self.attempts = HeldAttempts()
        self.memory = Memory()
        self.known: Condition | None = None
        self.warm_up: WarmUp | None = None
        self.stale = False
        attempts = cast("Attempts", self.attempts)
        self.pooling = Pooling(self.crew, attempts, lambda: self.memory, self._last_offer, self._outdated)

    async def _last_offer(self, _: PoolSpec) -> Condition | None:
        return self.known

    async def _outdated(self, _: PoolSpec) -> bool:
        return self.stale

    def make(self, name: str, left: Status | Exception | None = None) -> Instance:
        runtime = self.runtimes[name] = ScriptedRuntime()
        runtime.status = left or Absent()

        def open_workplace(_: str) -> Workplace:
            session = self.sessions[name] = ScriptedSession()
            session.http.info = {"A": {}}
            leftovers = Leftovers(session, self.bench.log, NODE, name)
            workplace = Workplace(session, self.bench.log, Files(self.bench.store, MAX_BYTES, FOLDERS), leftovers)
            workplace.sweep = runtime.remove_folders
            return workplace

        return Instance(
            name, "process", runtime, self.bench.store, open_workplace, lambda: None, Care(warm_up=self.warm_up)
        )

    async def pool(self, *left: Status | Exception | None, **fields: Any) -> None:
        """The pool, of whose instances an earlier agent has left these."""
        instance = {"runtime": "process", "command": ["comfyui"]}
        spec = PoolSpec.model_validate({"name": "p", "instance": instance, "max": 2, "min": 0, **fields})
        for number, member in enumerate(spec.members):
            made = self.make(member.name, left[number] if number < len(left) else None)
            made.rest("")
            self.crew.add(made)
        self.pooling.follow([spec])
        self.background.spawn(self.pooling.run(), "pools")
        await asyncio.sleep(3)

    def tell(self, count: int, seconds: float = 100, *, served: bool = False) -> None:
        """The scheduler tells what waits."""
        pool = pool_demand_pb2.PoolDemand.Pool(name="p", waiting_count=count, waiting_seconds=seconds, served=served)
        told = pool_demand_pb2.PoolDemand(pools=[pool] if count else [])
        self.pooling.take_demand(Message(subjects.demand(NODE), told.SerializeToString()))

    async def after(self, seconds: float, *waits: int) -> None:
        """Time passes, in which the scheduler tells again and again that so many tasks wait, if it tells anything."""
        for _ in range(round(seconds)):
            for count in waits:
                self.tell(count)
            await asyncio.sleep(1)

    @property
    def states(self) -> list[InstanceState]:
        return [instance.condition.state for instance in self.crew.instances.values()]

    def workplace(self, name: str) -> Workplace:
        workplace = self.crew.instances[name].workplace
        assert workplace is not None
        return workplace


@pytest.fixture
async def team(bench: Bench) -> AsyncIterator[Team]:
    team = Team(bench)
    yield team
    assert not team.background.failed.is_set()
    await team.crew.close(stop=False)
    await team.background.close()


OFFER = Condition(STOPPED, catalog=spec_pb2.BlobRef(sha256="ab" * 32))


async def test_one_is_started_to_learn_what_the_pool_offers_and_tells_it_for_all(team: Team) -> None:
    await team.pool()
    assert team.states == [READY, STOPPED]
    first, second = (instance.condition.catalog for instance in team.crew.instances.values())
    assert first is not None
    assert second == first
    await team.after(605, 0)
    assert team.states == [STOPPED, STOPPED]
    assert team.crew.instances["p-0"].condition.catalog == first
    assert "it was idle for" in team.crew.instances["p-0"].condition.reason
    assert team.runtimes["p-0"].stopped is not None


async def test_what_is_known_from_before_starts_nothing(team: Team) -> None:
    team.known = OFFER
    await team.pool()
    assert team.states == [STOPPED, STOPPED]
    assert team.crew.instances["p-1"].condition.catalog == OFFER.catalog
    await team.after(3, 9)
    assert team.states == [READY, READY]


async def test_one_is_started_to_learn_of_model_files_that_have_come_meanwhile(team: Team) -> None:
    team.known = OFFER
    await team.pool()
    assert team.states == [STOPPED, STOPPED]
    team.stale = True
    await team.after(65, 0)
    assert team.states == [READY, STOPPED]
    team.stale = False  # Its catalog is kept anew.
    await team.after(670, 0)
    assert team.states == [STOPPED, STOPPED]


async def test_what_runs_already_is_adopted_and_what_does_not_is_not(team: Team) -> None:
    team.known = OFFER
    await team.pool(Running(), Exited(1, "gone"))
    assert team.states == [READY, STOPPED]
    # What is left of the dead one is removed.
    assert team.runtimes["p-1"].stopped is not None
    assert team.runtimes["p-0"].stopped is None


async def test_what_can_not_be_found_out_is_taken_for_running(team: Team) -> None:
    team.known = OFFER
    await team.pool(NO_ENGINE)
    assert len(team.runtimes["p-0"].starts) == 1


async def test_what_nobody_tells_any_more_stops_nothing(team: Team) -> None:
    await team.pool()
    team.tell(0)
    await team.after(700)
    assert team.states == [READY, STOPPED]


async def test_nonsense_about_what_waits_changes_nothing(team: Team) -> None:
    team.known = OFFER
    await team.pool()
    team.pooling.take_demand(Message(subjects.demand(NODE), b"\xff"))
    await team.after(3)
    for seconds in (float("nan"), float("inf"), -1.0):
        team.tell(0)
        team.tell(1, seconds, served=True)
        await team.after(3)
    assert team.states == [STOPPED, STOPPED]


async def test_what_was_taken_since_it_was_told_to_wait_waits_no_more(team: Team) -> None:
    """It keeps an instance busy, and another one would be started for it as well."""
    team.known = OFFER
    await team.pool()
    await team.after(3, 1)
    assert team.states == [READY, STOPPED]
    team.tell(1)
    team.attempts.take("p-0")
    await team.after(3)
    assert team.states == [READY, STOPPED]
    await team.after(3, 1)
    assert team.states == [READY, READY]


async def test_use_between_two_looks_counts(team: Team) -> None:
    await team.pool()
    await team.after(500, 0)
    team.attempts.left["p-0"] = asyncio.get_running_loop().time()
    await team.after(500, 0)
    assert team.states == [READY, STOPPED]
    await team.after(105, 0)
    assert team.states == [STOPPED, STOPPED]


async def test_without_memory_it_is_stopped_and_says_that_it_can_not_be_started(team: Team) -> None:
    """It is not down: nothing is broken, and no alert is to fire for as long as the host is short of memory."""
    team.known, team.memory = OFFER, Memory(2 * GIB, reserve=GIB)
    await team.pool(memory_bytes=3 * GIB)
    await team.after(3, 9)
    assert team.states == [STOPPED, STOPPED]
    assert not any(instance.condition.startable for instance in team.crew.instances.values())
    assert team.crew.instances["p-0"].condition.reason == "the host lacks 2.0 GiB of memory to start it"
    assert team.crew.instances["p-0"].condition.catalog == OFFER.catalog
    team.memory = Memory(64 * GIB, reserve=GIB)
    await team.after(2, 0)
    assert team.states == [STOPPED, STOPPED]
    assert all(instance.condition.startable for instance in team.crew.instances.values())


async def test_whatever_ails_the_pools_they_are_looked_after_again(
    team: Team, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await team.pool()
    with monkeypatch.context() as patched:
        patched.setattr("comfymesh.agent.pooling.pools.decide", lambda *_: 1 / 0)
        await team.after(3, 9)
        assert "ZeroDivisionError" in caplog.text
        assert team.states == [READY, STOPPED]
    await team.after(3, 9)
    assert team.states == [READY, READY]


# Stopping.


async def test_one_that_is_to_stop_takes_nothing_new_and_ends_what_it_holds(team: Team) -> None:
    await team.pool()
    workplace = team.workplace("p-0")
    workplace.enter()
    team.crew.stop("p-0", "because")
    # At once, and not a moment later: an offer may be on its way.
    assert not workplace.accepting
    assert team.states[0] is RETIRING
    await team.after(100)
    assert (team.crew.phase("p-0"), team.runtimes["p-0"].stopped) == (Phase.STOPPING, None)
    workplace.leave()
    await asyncio.sleep(0.1)
    assert team.runtimes["p-0"].stopped is not None
    assert team.crew.phase("p-0") is Phase.STOPPED
    assert team.sessions["p-0"].closed


async def test_one_that_dies_while_it_leaves_waits_for_its_attempts_and_has_no_next_life(team: Team) -> None:
    await team.pool()
    workplace = team.workplace("p-0")
    workplace.enter()
    team.crew.stop("p-0", "because")
    team.runtimes["p-0"].status = Exited(1, "died")
    await team.after(10)
    assert team.crew.phase("p-0") is Phase.STOPPING
    assert not team.sessions["p-0"].closed
    workplace.leave()
    await team.after(1)
    assert team.crew.phase("p-0") is Phase.STOPPED
    assert len(team.runtimes["p-0"].starts) == 1


async def test_one_that_can_not_be_stopped_now_is_stopped_later(team: Team) -> None:
    await team.pool()
    team.runtimes["p-0"].stop_error = NO_ENGINE
    team.crew.stop("p-0", "because")
    await team.after(60)
    assert team.crew.phase("p-0") is Phase.STOPPING
    team.runtimes["p-0"].stop_error = None
    await team.after(6)
    assert team.crew.phase("p-0") is Phase.STOPPED


async def test_one_that_was_stopped_starts_again_and_takes_work(team: Team) -> None:
    await team.pool()
    team.crew.stop("p-0", "because")
    await asyncio.sleep(1)
    team.crew.start("p-0")
    await asyncio.sleep(1)
    assert team.states[0] is READY
    assert team.workplace("p-0").open


async def test_another_takes_the_place_of_one_that_ran_and_runs(team: Team) -> None:
    await team.pool()
    old, before = team.crew.instances["p-0"], team.runtimes["p-0"]
    made = list[Instance]()

    def make() -> Instance:
        assert before.stopped is not None  # By the settings of that moment, not by those of when it was asked for.
        made.append(team.make("p-0"))
        return made[0]

    team.crew.replace("p-0", make, "other settings")
    await asyncio.sleep(3)
    assert [team.crew.instances["p-0"]] == made != [old]
    assert team.states[0] is READY
    assert (before.stopped is not None, before.closed) == (True, True)
    team.crew.replace("p-1", lambda: team.make("p-1"), "other settings")
    await asyncio.sleep(3)
    assert team.crew.phase("p-1") is Phase.STOPPED


async def test_one_that_nobody_names_any_more_when_its_turn_comes_is_forgotten(team: Team) -> None:
    await team.pool()
    team.pooling.follow([])
    team.crew.replace("p-0", lambda: None, "other settings")
    await asyncio.sleep(3)
    assert list(team.crew.instances) == ["p-1"]
    assert team.runtimes["p-0"].closed


async def test_one_that_is_removed_is_forgotten(team: Team) -> None:
    await team.pool()
    team.pooling.follow([])
    team.crew.remove("p-0", "nobody names it")
    await asyncio.sleep(3)
    assert list(team.crew.instances) == ["p-1"]
    assert team.runtimes["p-0"].closed


# Warming up.


def warming(tmp_path: Path, workflow: object, seconds: float = 60.0) -> Warming:
    file = tmp_path / "warm-up.json"
    file.write_text(json.dumps(workflow))
    instance = {"runtime": "process", "command": ["comfyui"]}
    spec = PoolSpec.model_validate({"name": "p", "instance": instance, "warm_up": file})
    return Warming(spec, tuple, seconds)


WORKFLOW = {"1": node("SaveImage", filename_prefix="x")}


async def test_a_workflow_ends_before_the_instance_is_offered(team: Team, tmp_path: Path) -> None:
    team.warm_up = warming(tmp_path, WORKFLOW)
    await team.pool()
    assert (team.states[0], team.crew.instances["p-0"].condition.reason) == (STARTING, "warming up")
    prompt = await team.sessions["p-0"].prompt()
    assert prompt.graph == {"1": node("SaveImage", filename_prefix=f"{WARM_UP}/x")}
    prompt.end(Succeeded({}))
    await asyncio.sleep(1)
    assert team.states[0] is READY
    assert team.sessions["p-0"].http.forgotten == [prompt.prompt_id]
    assert WARM_UP in team.runtimes["p-0"].removed


@pytest.mark.parametrize("workflow", [{}, [], {"1": {}}, {"nodes": []}])
async def test_a_workflow_that_is_none_is_said_and_left_out(
    team: Team, tmp_path: Path, caplog: pytest.LogCaptureFixture, workflow: object
) -> None:
    team.warm_up = warming(tmp_path, workflow)
    await team.pool()
    assert team.states[0] is READY
    assert "is no workflow in ComfyUI's API format" in caplog.text


async def test_a_workflow_that_is_refused_is_said_and_left_out(
    team: Team, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    warm_up = warming(tmp_path, WORKFLOW)

    async def refused(workplace: Workplace, tell: Callable[[str], None]) -> None:
        cast("ScriptedSession", workplace.session).refusal = ComfyError("POST /prompt", 400, "no such class")
        await warm_up(workplace, tell)

    team.warm_up = refused
    await team.pool()
    assert team.states[0] is READY
    assert "the warm-up workflow failed: POST /prompt: ComfyUI answered 400: no such class" in caplog.text


async def test_a_workflow_that_takes_too_long_is_stopped(
    team: Team, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    team.warm_up = warming(tmp_path, WORKFLOW, 30.0)
    await team.pool()
    prompt = await team.sessions["p-0"].prompt()
    await asyncio.sleep(31)
    assert isinstance(prompt.over.result(), Interrupted)
    assert team.states[0] is READY
    assert "was stopped after 30 s" in caplog.text


async def test_a_server_that_is_lost_meanwhile_is_started_again(team: Team, tmp_path: Path) -> None:
    team.warm_up = warming(tmp_path, WORKFLOW)
    await team.pool()
    (await team.sessions["p-0"].prompt()).end(Lost("it is gone"))
    await asyncio.sleep(3)
    assert len(team.runtimes["p-0"].starts) == 2


async def test_one_with_prompts_is_warm_and_adopted_at_once(team: Team, tmp_path: Path) -> None:
    warm_up = warming(tmp_path, WORKFLOW)

    async def with_prompts(workplace: Workplace, tell: Callable[[str], None]) -> None:
        cast("ScriptedSession", workplace.session).http.there = {"some-prompt": {}}
        await warm_up(workplace, tell)

    team.warm_up = with_prompts
    await team.pool()
    assert team.states[0] is READY
    assert team.sessions["p-0"].submitted == []


async def test_a_warm_up_that_ignores_its_stop_brings_the_instance_down(team: Team, tmp_path: Path) -> None:
    team.warm_up = warming(tmp_path, WORKFLOW, 30.0)
    await team.pool(min=1)
    await team.sessions["p-0"].prompt()
    team.sessions["p-0"].obedient = False
    await team.after(60)
    assert len(team.runtimes["p-0"].starts) > 1


async def test_an_instance_may_be_removed_while_it_is_asked_what_was_left(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def slow(_: Instance) -> bool:
        await asked.wait()
        return True

    monkeypatch.setattr(Instance, "left_running", slow)
    await team.pool(Running())
    for name in list(team.crew.instances):
        team.crew.remove(name, "it is named no more")
    team.pooling.follow([])
    await asyncio.sleep(5)
    asked.set()
    await asyncio.sleep(5)
    assert not team.crew.instances
    assert not team.background.failed.is_set()


# Loading ahead of work.

ONE, TWO = ModelFile("Load", "file", "one.sft"), ModelFile("Load", "file", "two.sft")
INFO = {
    "PreviewAny": {"input": {"required": {"source": ["*", {}]}}},
    "Load": {"input": {"required": {"file": [["one.sft"], {}]}}},
}


class Ahead:
    """What operators want the pool to load."""

    def __init__(self, team: Team) -> None:
        self.team = team
        self.preloads = Preloads()
        preloading = Preloading(self.preloads, team.crew.instances, lambda: 60.0)
        team.background.spawn(preloading.run(team.background), "preloading")

    @property
    def session(self) -> ScriptedSession:
        return self.team.sessions["p-0"]

    async def want(self, *files: ModelFile) -> None:
        self.session.http.info = INFO
        self.preloads.want([Preload(files, "p")])
        await asyncio.sleep(2)


@pytest.fixture
async def ahead(team: Team) -> Ahead:
    ahead = Ahead(team)
    await team.pool()
    for name, instance in team.crew.instances.items():
        instance.look_after(replace(instance.care, preload=partial(ahead.preloads.of, "p", name)))
    return ahead


async def test_one_that_serves_loads_what_is_wanted_once_and_is_kept_meanwhile(team: Team, ahead: Ahead) -> None:
    await ahead.want(ONE)
    prompt = await ahead.session.prompt()
    assert prompt.graph["0"] == node("Load", file="one.sft")
    team.crew.stop("p-0", "because")
    await team.after(5)
    assert team.crew.phase("p-0") is Phase.STOPPING
    prompt.end(Succeeded({}))
    await asyncio.sleep(1)
    assert team.crew.phase("p-0") is Phase.STOPPED
    assert ahead.session.submitted == [prompt.prompt_id]


async def test_it_waits_until_the_instance_holds_nothing(team: Team, ahead: Ahead) -> None:
    team.workplace("p-0").enter()
    await ahead.want(ONE)
    assert ahead.session.submitted == []
    team.workplace("p-0").leave()
    (await ahead.session.prompt()).end(Succeeded({}))
    await team.after(5)
    assert len(ahead.session.submitted) == 1
    assert team.workplace("p-0").residency.resident() == ("one.sft",)


async def test_what_can_not_be_loaded_is_said_and_tried_again_when_something_else_is_wanted(
    team: Team, ahead: Ahead
) -> None:
    await ahead.want(ONE, TWO)
    (await ahead.session.prompt()).end(Succeeded({}))
    await team.after(10)
    said = "two.sft: Load does not offer it; the file is not there"
    assert team.workplace("p-0").preloaded.words == {ONE: "", TWO: said}
    assert len(ahead.session.submitted) == 1
    await ahead.want(TWO)
    assert team.workplace("p-0").preloaded.words[TWO] == said
    await ahead.want()
    assert team.workplace("p-0").preloaded.words == {ONE: ""}


async def test_what_has_failed_is_tried_again_after_longer_and_longer(team: Team, ahead: Ahead) -> None:
    await ahead.want(ONE)
    loop, tried = asyncio.get_running_loop(), []
    for _ in range(4):
        prompt = await ahead.session.prompt()
        tried.append(loop.time())
        prompt.end(Failed(ExecutionError("0", "Load", "OSError", "busy")))
    (await ahead.session.prompt()).end(Succeeded({}))
    assert [later - earlier for earlier, later in pairwise(tried)] == [pytest.approx(s, abs=1) for s in (10, 20, 40)]
    await team.after(200)
    assert team.workplace("p-0").preloaded.words == {ONE: ""}
    assert len(ahead.session.submitted) == 5


@pytest.mark.parametrize("info", [7, {"PreviewAny": {}, "Load": {"input": {"required": {"file": 7}}}}])
async def test_nonsense_of_a_server_costs_its_preloading_and_nothing_else(team: Team, ahead: Ahead, info: Any) -> None:
    ahead.session.http.info = info
    ahead.preloads.want([Preload((ONE,))])
    await asyncio.sleep(2)
    prompts = len(ahead.session.submitted)
    if prompts:
        (await ahead.session.prompt()).end(Failed(ExecutionError("0", "Load", "OSError", "no")))
    await team.after(5)
    assert team.workplace("p-0").preloaded.words[ONE].startswith("one.sft: ")
    assert team.states[0] is READY


async def test_one_that_is_lost_meanwhile_is_its_keepers_business(team: Team, ahead: Ahead) -> None:
    await ahead.want(ONE)
    (await ahead.session.prompt()).end(Lost("it is gone"))
    await team.after(3)
    assert "it is gone" in team.workplace("p-0").preloaded.words[ONE]
    assert not team.background.failed.is_set()


async def test_the_next_life_loads_it_before_it_is_offered(team: Team, ahead: Ahead) -> None:
    def asked() -> tuple[ModelFile, ...]:
        return ahead.preloads.of("p", "p-1")

    ahead.preloads.want([Preload((TWO,), "other"), Preload((ONE,), "p"), Preload((ONE, TWO), instance="p-1")])
    assert asked() == (ONE, TWO)
    warming = Warming(None, asked, 60.0)

    async def warm_up(workplace: Workplace, tell: Callable[[str], None]) -> None:
        cast("ScriptedSession", workplace.session).http.info = INFO
        await warming(workplace, tell)

    team.crew.instances["p-1"].look_after(Care(warm_up=warm_up))
    team.crew.start("p-1")
    await asyncio.sleep(1)
    assert team.states[1] is STARTING
    (await team.sessions["p-1"].prompt()).end(Succeeded({}))
    await asyncio.sleep(1)
    assert team.states[1] is READY
    assert team.workplace("p-1").preloaded.words[ONE] == ""
    assert team.sessions["p-1"].submitted[1:] == []
