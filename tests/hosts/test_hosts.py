"""Hosts under load: one is cut off, one loses its power, all are upgraded one by one. Nothing is lost."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from comfymesh.client import AsyncClient, ComfyMeshError, Instance, InstanceState, NodeState
from comfymesh.tasks.record import FINAL
from comfymesh.testkit.chaos import logreader
from comfymesh.testkit.chaos.__main__ import summary
from comfymesh.testkit.chaos.grpcapi import GrpcApi
from comfymesh.testkit.chaos.run import Chaos, defects, maker
from comfymesh.testkit.checking import check
from comfymesh.testkit.history import Begun, Ended, Fault, Logged, Made
from comfymesh.testkit.load import Clients, read_all
from comfymesh.testkit.plans import work
from comfymesh.testkit.recording import Recorder, save
from comfymesh.testkit.waiting import until

if TYPE_CHECKING:
    from tests.hosts.conftest import Fleet

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

SEED = 11
TASKS = 60
SECONDS = 25.0
HOSTS = ("gpu-0", "gpu-1", "gpu-2")
SERVING = {InstanceState.READY, InstanceState.BUSY}
START_SECONDS = 90.0


async def serving(target: str, version: str = "") -> set[str]:
    """The hosts that have an instance that serves, with an agent of a version."""
    try:
        async with AsyncClient(target) as client:
            nodes = [node for node in await client.nodes() if node.state is NodeState.ACTIVE]
    except ComfyMeshError:
        return set()
    current = [node for node in nodes if node.labels.get("version", "").startswith(version)]
    return {node.name.rpartition("/")[2] for node in current if node.instances and all(map(serves, node.instances))}


def serves(instance: Instance) -> bool:
    return instance.state in SERVING


async def test_nothing_is_lost_whatever_becomes_of_the_hosts(fleet: Fleet, tmp_path: Path) -> None:
    for name in HOSTS:
        fleet.start_agent(name, "1")
    target = fleet.site.target
    await until(lambda: all_serve(target), "three hosts that serve", START_SECONDS)
    recorder = Recorder(time.monotonic)
    recorder.note(Begun(recorder.now, "three hosts", SEED))
    began = time.time()
    mended = asyncio.Event()
    async with load(target, recorder, mended) as (api, working):
        await mischief(fleet, target, recorder)
        recorder.note(Fault(recorder.now, "everything is mended"))
        mended.set()
        await asyncio.wait([working], timeout=120)
        log = await until(lambda: settled(fleet.nats_url, began), "the end of every task", 60)
        for event in log:
            recorder.note(event)
            if isinstance(event, Made):
                await read_all(api, recorder, event.task, event.artifact)
    for name in (*HOSTS, "api", "scheduler"):
        for defect in defects(name, fleet.log(name), recorder.now):
            recorder.note(defect)
    recorder.note(Ended(recorder.now, working.done()))
    save(recorder.events, tmp_path / "history.jsonl")
    verdict = check(recorder.events)
    assert [str(found) for found in verdict.violations] == [], summary(Chaos(recorder.events, 0), verdict)
    assert {event.node for event in log if isinstance(event, Logged) and event.node} == set(HOSTS)
    assert len({event.task for event in log}) >= TASKS / 2


async def all_serve(target: str, version: str = "") -> bool:
    return await serving(target, version) == set(HOSTS)


@asynccontextmanager
async def load(
    target: str, recorder: Recorder, mended: asyncio.Event
) -> AsyncIterator[tuple[GrpcApi, asyncio.Task[None]]]:
    """Clients at work, while this is entered.

    Once all is mended there is work for every host at once: until then one may have been away as long as there was any.
    """
    rng = random.Random(SEED)
    async with GrpcApi([target], random.Random(rng.random())) as api:
        clients = Clients(api, recorder, random.Random(rng.random()), cache(maker(rng.random())))

        async def all_day() -> None:
            await clients.run(work(random.Random(rng.random()), TASKS, SECONDS))
            await mended.wait()
            await clients.run(work(random.Random(rng.random()), TASKS // 5, 1.0, "m-"))

        working = asyncio.create_task(all_day())
        try:
            yield api, working
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


async def mischief(fleet: Fleet, target: str, recorder: Recorder) -> None:
    """What befalls the hosts, in this order."""

    async def do(what: str, name: str, act: Callable[[], None]) -> None:
        recorder.note(Fault(recorder.now, what, name))
        await asyncio.to_thread(act)

    await do("cut off", "gpu-0", fleet.host("gpu-0").cut_off)
    await until(lambda: gone("gpu-0", target), "the loss of the host that is cut off")
    await do("kill", "gpu-1", fleet.host("gpu-1").kill)
    await do("back on the network", "gpu-0", fleet.host("gpu-0").connect)
    await until(lambda: back("gpu-0", target), "the host that was cut off", START_SECONDS)
    await do("power on", "gpu-1", fleet.host("gpu-1").power_on)
    fleet.start_agent("gpu-1", "1")
    await until(lambda: all_serve(target), "the host that had no power", START_SECONDS)
    for name in HOSTS:
        await do("upgrade", name, lambda name=name: fleet.stop_agent(name))
        fleet.start_agent(name, "2")
        await until(lambda name=name: back(name, target, "2"), "the upgraded host", START_SECONDS)


async def gone(name: str, target: str) -> bool:
    return name not in await serving(target)


async def back(name: str, target: str, version: str = "") -> bool:
    return name in await serving(target, version)


async def settled(url: str, began: float) -> list[Logged | Made]:
    """The log once every task has ended; nothing before."""
    log = await logreader.history(url, began)
    last = {event.task: event.state for event in log if isinstance(event, Logged)}
    return log if all(state in FINAL for state in last.values()) else []
