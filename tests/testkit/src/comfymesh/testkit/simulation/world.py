"""A mesh in this process: its parts put together, its troubles, and the history of its run."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import cache, partial
from typing import Any
from unittest.mock import patch

from comfymesh.agent import main as agent_main
from comfymesh.agent.settings import AgentSettings
from comfymesh.api import main as api_main
from comfymesh.api.settings import ApiSettings
from comfymesh.bus.port import Entry
from comfymesh.bus.subjects import SCHEDULING_SETTINGS
from comfymesh.runtime import faultpoints
from comfymesh.runtime.faultpoints import FaultPoint
from comfymesh.scheduler import main as scheduler_main
from comfymesh.scheduler.domain.candidacy import Terms
from comfymesh.scheduler.settings import SchedulerSettings
from comfymesh.tasks import policy_codec
from comfymesh.tasks.policy import PolicySettings
from comfymesh.tasks.record import FINAL
from comfymesh.testkit import logdump
from comfymesh.testkit.history import (
    MENDED,
    ROUGH_BUS,
    SIMULATION,
    Begun,
    Booked,
    Defect,
    Ended,
    Event,
    Fault,
    Leased,
    Logged,
    Made,
)
from comfymesh.testkit.load import Clients, read_all
from comfymesh.testkit.recording import Recorder
from comfymesh.testkit.simulation import comfyui, ledger, lives
from comfymesh.testkit.simulation.bus import Roughness
from comfymesh.testkit.simulation.chance import EPOCH, Chance
from comfymesh.testkit.simulation.cluster import SimulatedCluster
from comfymesh.testkit.simulation.comfyui import ComfyUI
from comfymesh.testkit.simulation.edges import Edges
from comfymesh.testkit.simulation.endpoint import SimulatedApi
from comfymesh.testkit.simulation.lives import Process, Serve
from comfymesh.testkit.simulation.operator import Operator
from comfymesh.testkit.simulation.scenario import CLOCK_STEP, Scenario, Trouble
from comfymesh.v1 import task_pb2

_SETTLE_SECONDS = 600.0
_RESTART_SECONDS = 0.5
_STEP = {"clock ahead": CLOCK_STEP, "clock behind": -CLOCK_STEP}
_CALM_SECONDS = 0.1
"""Mean of how long a guarded message is on its way in a cluster where all goes well, at most."""
_LIMIT_SECONDS = 15
"""Execution timeout of many tasks. None executes for so long where its ComfyUI is not slow."""
_MOMENTS = (0.0, 0.002, 0.02, 0.2, 1.0)
"""Seconds from what happens to a prompt to the death of its agent: more or less, one as often as another."""
_LONG_SECONDS = 3.0
"""What a service waits where it has time. With the defaults, a fifth of each run was waiting that tells nothing."""
_URL = "nats://simulated"


class World:
    """See the module.

    Args:
        scenario: What to run.
    """

    def __init__(self, scenario: Scenario) -> None:
        chance = Chance(scenario.seed)
        loop = asyncio.get_running_loop()
        self._scenario = scenario
        self._recorder = Recorder(loop.time)
        self._server = SimulatedCluster(lambda: EPOCH + loop.time(), scenario.rough, chance.stream("cluster"))
        self._comfyuis = {
            name: ComfyUI(name, self._recorder, chance.stream(name), self._happened)
            for name in (f"comfyui-{number}" for number in range(scenario.agents))
        }
        self.edges = Edges(self._server, self._comfyuis, scenario.rough, chance.stream("edges"))
        self._api = SimulatedApi(self.edges.endpoints, chance.stream("api"), lambda: self._lost, self._failed)
        self._clients = Clients(self._api, self._recorder, chance.stream("clients"), partial(_task, chance, {}))
        self._lost = scenario.lost_answers
        self._traps: dict[str, float] = {}
        self._operating = chance.stream("operator")
        self._moments = chance.stream("moments")
        self._processes = self._plan()
        self._dying = list[asyncio.Task[None]]()

    def _plan(self) -> dict[str, Process]:
        planned: dict[str, Serve] = {}
        for number in range(self._scenario.schedulers):
            planned[f"scheduler-{number}"] = partial(scheduler_main.serve, _scheduler_settings())
        for number in range(self._scenario.agents):
            planned[f"agent-{number}"] = partial(agent_main.serve, _agent_settings(number))
        for number in range(self._scenario.apis):
            planned[f"api-{number}"] = partial(api_main.serve, _api_settings())
        for number in range(self._scenario.keepers):
            planned[f"ledger-{number}"] = partial(ledger.serve, self.edges.open_bus)
        return {name: Process(name, serve, _RESTART_SECONDS, self._failed) for name, serve in planned.items()}

    async def run(self) -> list[Event]:
        """Live through the scenario; answers its history."""
        recorder = self._recorder
        recorder.note(Begun(recorder.now, SIMULATION, self._scenario.seed))
        if hindering := self._scenario.rough.hindering():
            self._note(ROUGH_BUS, hindering)
        noise = _Noise(self._defect)
        logging.getLogger().addHandler(noise)
        everything = [asyncio.ensure_future(server.run()) for server in self._comfyuis.values()]
        everything += [asyncio.ensure_future(process.run()) for process in self._processes.values()]
        try:
            with (
                patch.object(faultpoints, "_FOLDER", "simulated"),
                patch.object(faultpoints, "_die_where_asked", self._reach),
            ):
                settled = await self._live()
        finally:
            for process in self._processes.values():
                if process.life is not None:
                    await process.life.kill()
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)
            logging.getLogger().removeHandler(noise)
        recorder.note(Ended(recorder.now, settled))
        return recorder.events

    async def _live(self) -> bool:
        # Few wait for long here: without this nobody would ever give way to anybody.
        impatient = PolicySettings(preempt_after=0.5, preempt_running=self._scenario.seed % 2 == 0)
        await self._server.append([Entry(SCHEDULING_SETTINGS, policy_codec.to_message(impatient).SerializeToString())])
        working = asyncio.ensure_future(self._work())
        troubles = [asyncio.ensure_future(self._trouble(trouble)) for trouble in self._scenario.troubles]
        await asyncio.sleep(self._scenario.trouble_seconds)
        self._mend()
        await asyncio.wait([*troubles, working], timeout=_SETTLE_SECONDS)
        settled = await self._quiet() and working.done()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        if working.done() and not working.cancelled() and (error := working.exception()) is not None:
            raise error
        await self._look_back()
        return settled

    async def _work(self) -> None:
        operator = Operator(self._api, self._recorder, self._operating)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._clients.run(self._scenario.work))
            if self._scenario.rounds is not None:
                group.create_task(operator.go(self._scenario.rounds))

    async def _quiet(self) -> bool:
        """Wait until every task has ended; answers whether they all have."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _SETTLE_SECONDS
        while loop.time() < until:
            last = {message.subject: (message, expected) for message, expected in self._server.written}
            now = [record for one in last.values() for record in logdump.records(*one, EPOCH)]
            if all(record.state in FINAL for record in now if isinstance(record, Logged)):
                return True
            await asyncio.sleep(1.0)
        return False

    async def _look_back(self) -> None:
        """Read the log, everything that it says was made, who had the lease, and what the ledger has."""
        for message in self._server.leased:
            self._recorder.note(Leased(message.time - EPOCH, message.data.decode(), Terms().ttl))
        for event in self._records():
            self._recorder.note(event)
            if isinstance(event, Made):
                await read_all(self._api, self._recorder, event.task, event.artifact)
        if self._scenario.keepers:
            total = await ledger.total(self._server)
            used = (total.load_micros + total.run_micros) / 1e6
            self._recorder.note(Booked(self._recorder.now, total.attempts, used))

    def _records(self) -> list[Logged | Made]:
        written = self._server.written
        return [event for message, expected in written for event in logdump.records(message, expected, EPOCH)]

    # Trouble

    async def _trouble(self, trouble: Trouble) -> None:
        await asyncio.sleep(trouble.at)
        lasts = min(trouble.lasts, self._scenario.trouble_seconds - trouble.at)
        by = f" by {trouble.by:.2f} s" if trouble.by else ""
        self._note(trouble.what, f"{trouble.target}{by} for {lasts:.2f} s")
        await self._break(trouble, lasts)
        self._note(f"{trouble.what} is over", trouble.target)

    async def _break(self, trouble: Trouble, lasts: float) -> None:
        match trouble.what:
            case "kill":
                await self._processes[trouble.target].kill(lasts)
            case "terminate":
                await self._processes[trouble.target].terminate(lasts)
            case "cut off":
                await self._cut_off(trouble.target, lasts)
            case "lag":
                await self.edges.lag(trouble.target, trouble.by, lasts)
            case "clock ahead" | "clock behind" as which:
                await self._set_clock(trouble.target, _STEP[which] * lasts, lasts)
            case "trap" | "prompt trap":
                self._traps[trouble.target] = lasts
            case _:
                await self._break_server(trouble, lasts)

    async def _break_server(self, trouble: Trouble, lasts: float) -> None:
        match trouble.what:
            case "stop bus":
                await self._stop_bus(lasts)
            case "empty memory of bus":
                self._server.restart()
            case "kill comfyui":
                self._comfyuis[trouble.target].die(lasts)
                await asyncio.sleep(lasts)
            case "slow comfyui":
                await self._slow(self._comfyuis[trouble.target], lasts)

    async def _cut_off(self, name: str, lasts: float) -> None:
        bus = self.edges.buses.get(name)
        if bus is not None:
            bus.cut = True
            await asyncio.sleep(lasts)
            bus.cut = False

    async def _stop_bus(self, lasts: float) -> None:
        self._server.up = False
        self._server.restart()
        await asyncio.sleep(lasts)
        self._server.up = True

    async def _slow(self, server: ComfyUI, lasts: float) -> None:
        server.pace = 20.0
        await asyncio.sleep(lasts)
        server.pace = 1.0

    async def _set_clock(self, name: str, step: float, lasts: float) -> None:
        machine = self._processes[name].machine
        machine.ahead += step
        await asyncio.sleep(lasts)
        machine.ahead -= step

    def _mend(self) -> None:
        """From now on all goes well, as far as it depends on us."""
        self._note(MENDED)
        self._traps.clear()
        calm = Roughness(replicating=min(self._scenario.rough.replicating, _CALM_SECONDS))
        for name in Roughness.__slots__:
            setattr(self._scenario.rough, name, getattr(calm, name))
        self._lost = 0.0
        self._server.up = True
        self.edges.lags.clear()
        for bus in self.edges.buses.values():
            bus.cut = False
        for server in self._comfyuis.values():
            server.pace = 1.0

    def _reach(self, _: str, point: FaultPoint) -> None:
        """Somebody has come to a fault point: if a trap is laid there, that was all he did."""
        lasts = self._traps.pop(point.name, None)
        if lasts is not None:
            life = lives.current()
            self._note("killed at a fault point", f"{life.name}: {point.name}")
            self._begin(self._die(life.name, lasts))
            life.alive = False
            life.check()

    async def _die(self, name: str, lasts: float) -> None:
        await self._processes[name].kill(lasts)
        self._note("killed at a fault point is over", name)

    def _happened(self, comfyui: str, what: str) -> None:
        """Something happened to a prompt: if a trap is laid there, its agent has not long to live."""
        agent = f"agent-{comfyui.rpartition('-')[2]}"
        lasts = self._traps.pop(f"{agent} {what}", None)
        if lasts is not None:
            self._begin(self._kill_soon(agent, what, lasts))

    async def _kill_soon(self, agent: str, what: str, lasts: float) -> None:
        await asyncio.sleep(self._moments.choice(_MOMENTS) * self._moments.uniform(0.5, 1.5))
        self._note("killed with a prompt", f"{agent}, after it was {what}")
        await self._processes[agent].kill(lasts)

    def _begin(self, dying: Coroutine[Any, Any, None]) -> None:
        self._dying.append(asyncio.get_running_loop().create_task(dying, context=Context()))

    def _note(self, what: str, target: str = "") -> None:
        self._recorder.note(Fault(self._recorder.now, what, target))

    def _defect(self, process: str, what: str) -> None:
        self._recorder.note(Defect(self._recorder.now, process, what))

    def _failed(self, process: str, error: BaseException) -> None:
        self._defect(process, repr(error))


class _Noise(logging.Handler):
    """Errors that a process logs are defects of it."""

    def __init__(self, defect: Callable[[str, str], None]) -> None:
        super().__init__(logging.ERROR)
        self._defect = defect

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._defect(record.name, f"{record.getMessage()} {error!r}" if error else record.getMessage())


# Reading settings was a tenth of what a seed cost.
@cache
def _scheduler_settings() -> SchedulerSettings:
    return SchedulerSettings(nats_url=_URL)


@cache
def _api_settings() -> ApiSettings:
    return ApiSettings(nats_url=_URL, api_auth="open", api_heartbeat_seconds=_LONG_SECONDS)


@cache
def _agent_settings(number: int) -> AgentSettings:
    instance = {"name": f"comfyui-{number}", "runtime": "attach", "url": f"http://comfyui-{number}:8188"}
    return AgentSettings.model_validate(
        {
            "nats_url": _URL,
            "agent_node": f"agent-{number}",
            "agent_instances": [instance],
            "agent_previews": False,
            "agent_backoff_seconds": _LONG_SECONDS,
        }
    )


def _task(chance: Chance, known: dict[str, task_pb2.Task], content: str) -> task_pb2.Task:
    """The task of a content: the same each time."""
    if content not in known:
        known[content] = _new_task(chance, content)
    task = task_pb2.Task()
    task.CopyFrom(known[content])
    return task


def _new_task(chance: Chance, content: str) -> task_pb2.Task:
    rng: random.Random = chance.stream(content)
    how = rng.choice(("well",) * 7 + ("badly", "sick", "deadly"))
    graph = comfyui.graph(content, rng.randint(1, 6), rng.choice((0.02, 0.2, 1.0)), how)
    task = task_pb2.Task(graph_json=json.dumps(graph), max_retries=rng.choice((0, 0, 2)), labels={"more": "labels"})
    task.priority = chance.stream(f"{content}/priority").choice((0, 0, 0, 1, 5))
    if chance.stream(f"{content}/limit").random() < 0.5:
        task.execution_timeout.FromSeconds(_LIMIT_SECONDS)
    if rng.random() < 0.3:
        task.start_timeout.FromMilliseconds(rng.choice((50, 1000, 5000)))
    return task
