"""What every runtime promises, on all three. `Runtime` in `comfymesh.agent.runtimes.contract` says it in words."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from comfymesh.agent.runtimes.contract import Absent, Exited, Running, RuntimeFailed
from comfymesh.testkit.instances import AttachWorld, DockerWorld, ProcessWorld, ask, until_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from comfymesh.testkit.instances import World

GRACE = timedelta(seconds=20)
DOCKER = pytest.param("docker", marks=pytest.mark.docker)


@pytest.fixture
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A world in which instances are the agent's own: process or docker."""
    world: World = ProcessWorld(tmp_path)
    if request.param == "docker":
        engine, image = (request.getfixturevalue(name) for name in ("engine", "image"))
        world = DockerWorld(engine, image, tmp_path)
    yield world
    await world.close()


@pytest.fixture
async def attach_world(tmp_path: Path) -> AsyncIterator[AttachWorld]:
    """A world in which the instance is someone else's."""
    world = AttachWorld(tmp_path)
    yield world
    await world.close()


@pytest.mark.parametrize("world", ["process", DOCKER], indirect=True)
class TestOwnInstances:
    async def test_nothing_is_there_before_the_first_start(self, world: World) -> None:
        assert await (await world.runtime()).poll() == Absent()

    async def test_a_started_instance_runs_and_answers_at_its_endpoint(self, world: World) -> None:
        runtime = await world.runtime()
        endpoint = await runtime.start()
        assert await runtime.poll() == Running()
        assert await ask(endpoint.base_url)

    async def test_what_an_attempt_wrote_can_be_removed_again_and_again(self, world: World) -> None:
        runtime = await world.runtime()
        await runtime.remove_folders([f"comfymesh/inputs/{'1' * 32}"])
        await ask((await runtime.start()).base_url)
        for _ in range(2):
            await runtime.remove_folders(["comfymesh", f"comfymesh/outputs/{'2' * 32}", "../x"])
        assert await runtime.poll() == Running()

    async def test_starting_again_leaves_a_running_instance_alone(self, world: World) -> None:
        runtime = await world.runtime()
        endpoint = await runtime.start()
        token = await ask(endpoint.base_url)
        assert await runtime.start() == endpoint
        assert await ask(endpoint.base_url) == token

    async def test_the_next_agent_sees_an_instance_before_it_starts_anything(self, world: World) -> None:
        await (await world.runtime()).start()
        assert await (await world.runtime()).poll() == Running()

    async def test_the_next_agent_adopts_what_the_last_one_left(self, world: World) -> None:
        endpoint = await (await world.runtime()).start()
        token = await ask(endpoint.base_url)
        assert await (await world.runtime()).start() == endpoint
        assert await ask(endpoint.base_url) == token

    async def test_the_next_agent_stops_what_the_last_one_left(self, world: World) -> None:
        endpoint = await (await world.runtime()).start()
        await ask(endpoint.base_url)
        runtime = await world.runtime()
        await runtime.stop(GRACE)
        assert await runtime.poll() == Absent()

    async def test_what_runs_by_other_settings_is_adopted_and_says_so(self, world: World) -> None:
        before = await (await world.runtime()).start()
        token = await ask(before.base_url)
        runtime = await world.runtime(arguments=("--lowvram",))
        assert await runtime.start() == before
        await runtime.stop(GRACE)
        after = await runtime.start()
        assert await ask(after.base_url) != token
        assert None not in {before.digest, after.digest}
        assert after.digest != before.digest
        assert "--lowvram" in await runtime.log_tail(10)

    async def test_a_stopped_instance_is_absent_and_can_be_started_again(self, world: World) -> None:
        runtime = await world.runtime()
        token = await ask((await runtime.start()).base_url)
        await runtime.stop(GRACE)
        assert await runtime.poll() == Absent()
        assert await ask((await runtime.start()).base_url) != token

    async def test_stopping_what_does_not_run_succeeds(self, world: World) -> None:
        runtime = await world.runtime()
        await runtime.stop(GRACE)
        await runtime.start()
        await runtime.stop(GRACE)
        await runtime.stop(GRACE)
        assert await runtime.poll() == Absent()

    @pytest.mark.parametrize("deaf_to", ["SIGINT", "SIGINT,SIGTERM"])
    async def test_an_instance_that_ignores_signals_is_stopped_all_the_same(self, world: World, deaf_to: str) -> None:
        runtime = await world.runtime(arguments=("--deaf-to", deaf_to))
        await ask((await runtime.start()).base_url)
        await runtime.stop(timedelta(seconds=1))
        assert await runtime.poll() == Absent()

    async def test_a_killed_instance_has_exited_until_it_is_started_again(self, world: World) -> None:
        runtime = await world.runtime()
        token = await ask((await runtime.start()).base_url)
        await world.kill()
        status = await runtime.poll()
        assert isinstance(status, Exited)
        assert status.code == 137
        assert await runtime.poll() == status
        assert await ask((await runtime.start()).base_url) != token
        assert await runtime.poll() == Running()

    async def test_a_crash_right_after_the_start_is_told_with_its_code(self, world: World) -> None:
        runtime = await world.runtime(arguments=("--exit-at-once", "3"))
        with contextlib.suppress(RuntimeFailed):  # seen already while starting, or by the next poll
            await runtime.start()
        status = await until_status(runtime, Exited)
        assert status.code == 3

    async def test_an_instance_removed_behind_the_agents_back_is_absent_and_can_be_started_again(
        self, world: World
    ) -> None:
        runtime = await world.runtime()
        token = await ask((await runtime.start()).base_url)
        await world.remove()
        assert await runtime.poll() == Absent()
        assert await ask((await runtime.start()).base_url) != token

    async def test_the_log_tail_ends_with_the_latest_output(self, world: World) -> None:
        runtime = await world.runtime()
        assert await runtime.log_tail(10) == ""
        await ask((await runtime.start()).base_url)
        assert await runtime.log_tail(1) == "serving\n"
        assert "--listen" in await runtime.log_tail(10)

    async def test_an_exited_instance_still_has_its_log(self, world: World) -> None:
        runtime = await world.runtime()
        await ask((await runtime.start()).base_url)
        await world.kill()
        assert await runtime.log_tail(1) == "serving\n"


class TestAttachedInstances:
    async def test_nothing_is_there_while_nobody_listens(self, attach_world: AttachWorld) -> None:
        runtime = await attach_world.runtime()
        await runtime.start()
        assert await runtime.poll() == Absent()

    async def test_it_runs_while_somebody_listens(self, attach_world: AttachWorld) -> None:
        await attach_world.serve()
        runtime = await attach_world.runtime()
        assert await ask((await runtime.start()).base_url)
        assert await runtime.poll() == Running()

    async def test_stopping_leaves_it_alone(self, attach_world: AttachWorld) -> None:
        await attach_world.serve()
        runtime = await attach_world.runtime()
        token = await ask((await runtime.start()).base_url)
        await runtime.stop(GRACE)
        assert await ask((await runtime.start()).base_url) == token

    async def test_a_killed_one_is_absent(self, attach_world: AttachWorld) -> None:
        await attach_world.serve()
        runtime = await attach_world.runtime()
        await ask((await runtime.start()).base_url)
        await attach_world.kill()
        assert await runtime.poll() == Absent()

    async def test_it_has_no_log(self, attach_world: AttachWorld) -> None:
        assert await (await attach_world.runtime()).log_tail(10) == ""
