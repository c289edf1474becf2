"""What may become of a Docker Engine and its disk, and of a container in it, under an instance that is kept alive."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from comfymesh.agent.condition import Condition, InstanceState
from comfymesh.agent.domain.lives import Endurance
from comfymesh.agent.instance import Care, Instance
from comfymesh.agent.leftovers import Leftovers
from comfymesh.agent.runtimes.contract import Absent, Exited, Running, RuntimeFailed, RuntimeFailureReason
from comfymesh.agent.runtimes.docker import DockerRuntime
from comfymesh.agent.runtimes.specs import DockerSpec
from comfymesh.agent.workplace import Files, Workplace
from comfymesh.testkit.benches import FOLDERS, MAX_BYTES, Bench
from comfymesh.testkit.containers import unavailable
from comfymesh.testkit.engines import TINY, OwnEngine, Registry
from comfymesh.testkit.instances import DockerWorld, until_status
from comfymesh.testkit.scripted import ScriptedSession, unreachable
from comfymesh.testkit.waiting import until

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.docker

READY, DOWN, QUARANTINED = InstanceState.READY, InstanceState.DOWN, InstanceState.QUARANTINED
GRACE = timedelta(seconds=1)
FOREVER = ("sh", "-c", "while :; do sleep 1; done")
PATIENCE_SECONDS = 30.0
PULLER = """
import ast, asyncio, sys
from comfymesh.agent.runtimes.docker import DockerRuntime
from comfymesh.agent.runtimes.specs import DockerSpec

async def main():
    node, image, command = ast.literal_eval(sys.argv[1])
    runtime = DockerRuntime(DockerSpec(name="one", image=image, command=command, pull=True), node=node)
    await runtime.start(lambda words: print(words, flush=True))

asyncio.run(main())
"""


class Kept:
    """An instance in a container, kept alive; of what its server would say, a script says it serves, or does not."""

    def __init__(self, spec: DockerSpec, *, serves: bool = True, endurance: Endurance | None = None) -> None:
        self.node = f"test-{uuid.uuid4().hex[:8]}"
        self.spec = spec
        self.runtime = DockerRuntime(spec, node=self.node)
        self.told: list[Condition] = []
        self._serves = serves
        self._bench = Bench()
        care = Care(endurance=endurance or Endurance(first=0.05, last=0.2))
        self.instance = Instance(spec.name, "docker", self.runtime, self._bench.store, self._open, self._changed, care)
        self._running = asyncio.create_task(self.instance.run())

    def _open(self, _: str) -> Workplace:
        session = ScriptedSession()
        if not self._serves:
            session.http.stats = unreachable()
        leftovers = Leftovers(session, self._bench.log, self.node, self.spec.name)
        files = Files(self._bench.store, MAX_BYTES, FOLDERS)
        return Workplace(session, self._bench.log, files, leftovers, self.runtime.log_tail)

    def _changed(self) -> None:
        self.told.append(self.instance.condition)

    async def is_(self, state: InstanceState, reason: str = "") -> None:
        def so() -> bool:
            condition = self.instance.condition
            return condition.state is state and reason in condition.reason

        await until(so, f"an instance that is {state}: {reason}", deadline=60)

    async def close(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self.instance.stop(GRACE)
        await self.instance.close()


@pytest.fixture(scope="module")
def own() -> Iterator[OwnEngine]:
    """An engine that runs, with an image."""
    if os.geteuid() != 0:
        unavailable("an engine of its own needs root")
    with OwnEngine(64) as engine:
        engine.start()
        engine.load()
        yield engine


@pytest.fixture
async def kept() -> AsyncIterator[list[Kept]]:
    made: list[Kept] = []
    yield made
    for one in made:
        await one.close()


def tiny(own: OwnEngine) -> DockerSpec:
    return DockerSpec(name="one", image=TINY, command=FOREVER, engine=own.address, pull=False)


async def test_an_engine_that_is_killed_and_comes_back_costs_a_start(own: OwnEngine, kept: list[Kept]) -> None:
    kept.append(one := Kept(tiny(own)))
    await one.is_(READY)
    before = own.cli("ps", "--quiet")
    await asyncio.to_thread(own.kill)
    with pytest.raises(RuntimeFailed) as failure:
        await one.runtime.poll()
    assert failure.value.reason is RuntimeFailureReason.ENGINE_UNREACHABLE
    # It says nothing of the instance, which may well serve: nobody takes it down for that.
    assert one.instance.condition.state is READY
    await asyncio.to_thread(own.start)
    await one.is_(READY)
    await until(lambda: own.cli("ps", "--quiet") not in {"", before}, "another container", deadline=60)
    await one.is_(READY)
    assert DOWN in {condition.state for condition in one.told}


async def test_an_engine_that_is_down_at_the_start_is_waited_for(own: OwnEngine, kept: list[Kept]) -> None:
    await asyncio.to_thread(own.kill)
    kept.append(one := Kept(tiny(own)))
    await one.is_(DOWN, "ENGINE_UNREACHABLE")
    await asyncio.to_thread(own.start)
    await one.is_(READY)


async def test_a_host_without_room_on_its_disk_is_waited_for(own: OwnEngine, kept: list[Kept]) -> None:
    await asyncio.to_thread(own.fill)
    kept.append(one := Kept(tiny(own)))
    await one.is_(DOWN, "DISK_FULL")
    await asyncio.to_thread(own.free)
    await one.is_(READY)


async def test_a_container_that_keeps_ending_is_started_later_and_later_and_then_set_aside(
    image: str, kept: list[Kept]
) -> None:
    spec = DockerSpec(name="one", image=image, command=("sh", "-c", "echo no such model; exit 3"), pull=False)
    kept.append(one := Kept(spec, serves=False, endurance=Endurance(first=0.05, last=0.4, faults=4)))
    await one.is_(QUARANTINED, "set aside for 300 s")
    reasons = [condition.reason for condition in one.told if condition.state is DOWN]
    assert reasons
    assert all("no such model" in reason for reason in reasons)
    assert (await until_status(one.runtime, Exited)).code == 3


@pytest.fixture
async def registry(engine: docker.DockerClient) -> AsyncIterator[Registry]:
    """One that takes its time."""
    async with Registry(mebibytes=8) as registry:
        registry.hurries.clear()
        yield registry
        registry.hurries.set()
        await asyncio.to_thread(engine.images.remove, f"{registry.repository}@{registry.digest}", force=True)


async def test_a_start_that_is_given_up_does_not_wait_for_its_image(
    registry: Registry, docker_world: DockerWorld
) -> None:
    """Else an agent that is asked to stop would stay for as long as an image of 10 GB takes to come."""
    pinned = f"{registry.repository}@{registry.digest}"
    runtime = await docker_world.runtime(image=pinned, pull=True, command=FOREVER)
    words: asyncio.Queue[str] = asyncio.Queue()
    starting = asyncio.create_task(runtime.start(words.put_nowait))
    await words.get()
    starting.cancel()
    await asyncio.wait({starting}, timeout=PATIENCE_SECONDS)
    assert starting.cancelled()
    assert await runtime.poll() == Absent()
    registry.hurries.set()
    await runtime.start()
    assert await runtime.poll() == Running()
    await runtime.stop(GRACE)


async def test_an_agent_that_is_killed_while_an_image_comes_leaves_the_pull_to_the_next_one(
    registry: Registry, docker_world: DockerWorld
) -> None:
    pinned = f"{registry.repository}@{registry.digest}"
    runtime = await docker_world.runtime(image=pinned, pull=True, command=FOREVER)
    first = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PULLER, repr((docker_world.node, pinned, FOREVER)), stdout=asyncio.subprocess.PIPE
    )
    assert first.stdout is not None
    assert b"pulling" in await first.stdout.readline()
    first.kill()
    await first.wait()
    assert await runtime.poll() == Absent()
    registry.hurries.set()
    await runtime.start()
    assert await runtime.poll() == Running()
    await runtime.stop(GRACE)


async def test_an_image_is_pulled_with_progress_and_only_by_its_digest(
    engine: docker.DockerClient, docker_world: DockerWorld
) -> None:
    async with Registry(mebibytes=8) as registry:
        pinned, other = (f"{registry.repository}@{digest}" for digest in (registry.digest, "sha256:" + "0" * 64))
        told: list[str] = []

        def tell(words: str) -> None:
            told.append(words)
            registry.hurries.set()

        # Of what comes at once the engine may tell nothing before it has come.
        registry.hurries.clear()
        runtime = await docker_world.runtime(image=pinned, pull=True, command=FOREVER)
        await runtime.start(tell)
        try:
            (image,) = await asyncio.to_thread(engine.images.list, registry.repository)
            assert image.attrs["RepoDigests"] == [pinned]
            assert told
            assert all(words.startswith(f"pulling {pinned}") for words in told)
            assert any(" % of " in words for words in told), told
            await runtime.stop(GRACE)  # else it would be adopted
            lying = await docker_world.runtime(image=other, pull=True, command=FOREVER)
            with pytest.raises(RuntimeFailed, match=other) as failure:
                await lying.start()
            assert failure.value.reason is RuntimeFailureReason.IMAGE_MISSING
        finally:
            await runtime.stop(GRACE)
            await asyncio.to_thread(engine.images.remove, pinned, force=True)
