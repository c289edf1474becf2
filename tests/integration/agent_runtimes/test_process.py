"""What only the process runtime promises, with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
import socket
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from comfymesh.agent.runtimes import process_record
from comfymesh.agent.runtimes.contract import Absent, Exited, Running, RuntimeFailed, RuntimeFailureReason
from comfymesh.agent.runtimes.process_record import ProcessRecord
from comfymesh.agent.runtimes.process_table import ProcessHandle, identify
from comfymesh.stack.mesh import free_port
from comfymesh.testkit.instances import STAND_IN, ProcessWorld, ask, until_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GRACE = timedelta(seconds=20)

AGENT = """
import asyncio, os, signal, sys
from pathlib import Path
from comfymesh.agent.runtimes.factory import build
from comfymesh.agent.runtimes.specs import ProcessSpec

async def main():
    spec = ProcessSpec(name="one", command=(sys.executable, sys.argv[2]))
    await build(spec, node="here", state_directory=Path(sys.argv[1])).start()
    os.kill(os.getpid(), signal.SIGKILL)

signal.signal(signal.SIGINT, signal.SIG_IGN)
asyncio.run(main())
"""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ProcessWorld]:
    world = ProcessWorld(tmp_path)
    yield world
    await world.close()


async def test_an_instance_outlives_an_agent_that_is_killed(world: ProcessWorld, tmp_path: Path) -> None:
    agent = await asyncio.create_subprocess_exec(sys.executable, "-c", AGENT, str(tmp_path), str(STAND_IN))
    assert await agent.wait() == -9
    runtime = await world.runtime()
    assert await runtime.poll() == Running()
    endpoint = await runtime.start()
    assert await ask(endpoint.base_url)


async def test_a_stopped_instance_was_asked_first_even_if_its_agent_ignored_the_signal(
    world: ProcessWorld, tmp_path: Path
) -> None:
    agent = await asyncio.create_subprocess_exec(sys.executable, "-c", AGENT, str(tmp_path), str(STAND_IN))
    await agent.wait()
    runtime = await world.runtime()
    await ask((await runtime.start()).base_url)
    await runtime.stop(GRACE)
    assert await runtime.log_tail(1) == "stopped by SIGINT\n"


async def test_a_start_waits_for_the_launch_of_an_agent_that_was_killed(world: ProcessWorld) -> None:
    runtime = await world.runtime()
    await runtime.stop(GRACE)  # makes the folder of the instance
    with process_record.launch_lock(world.home / "launch.lock"):
        start = asyncio.create_task(runtime.start())
        done, _ = await asyncio.wait({start}, timeout=0.2)
        assert not done
    assert await ask((await start).base_url)


async def test_a_process_that_took_over_the_number_is_neither_adopted_nor_touched(world: ProcessWorld) -> None:
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        runtime = await world.runtime()
        token = await ask((await runtime.start()).base_url)
        record = world.record()
        await world.remove()
        stranger = identify(bystander.pid)
        assert stranger is not None
        former = dataclasses.replace(stranger, start_ticks=stranger.start_ticks - 1)
        process_record.write(world.home / "process.json", ProcessRecord(former, record.port, record.digest))
        assert await runtime.poll() == Exited(None, "ended while no agent was watching")
        await runtime.stop(GRACE)
        assert await ask((await runtime.start()).base_url) != token
        assert bystander.returncode is None
    finally:
        bystander.kill()
        await bystander.wait()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"process": 1}'])
async def test_a_record_that_cannot_be_read_is_as_good_as_none(world: ProcessWorld, text: str) -> None:
    world.home.mkdir(parents=True)
    (world.home / "process.json").write_text(text)
    runtime = await world.runtime()
    assert await runtime.poll() == Absent()
    assert await ask((await runtime.start()).base_url)


async def test_a_dead_child_does_not_stay_as_a_zombie(world: ProcessWorld) -> None:
    runtime = await world.runtime()
    await ask((await runtime.start()).base_url)
    process = world.record().process
    await world.kill()
    assert identify(process.pid) == process
    await until_status(runtime, Exited)
    assert identify(process.pid) is None


async def test_how_a_child_ended_is_known_to_later_handles_too(world: ProcessWorld) -> None:
    runtime = await world.runtime()
    await ask((await runtime.start()).base_url)
    await world.kill()
    assert await runtime.poll() == Exited(137, "killed by SIGKILL")
    assert await (await world.runtime()).poll() == Exited(137, "killed by SIGKILL")


async def test_killing_takes_the_children_of_the_instance_with_it(world: ProcessWorld) -> None:
    family = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True); import signal; "
    deaf = "[signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)]; print('deaf', flush=True); "
    runtime = await world.runtime(command=(sys.executable, "-c", f"{family}{deaf}import time; time.sleep(60)"))
    await runtime.start()
    while "deaf" not in await runtime.log_tail(2):  # noqa: ASYNC110 - another process tells, by its output alone
        await asyncio.sleep(0.05)
    child = identify(int((await runtime.log_tail(2)).split()[0]))
    assert child is not None
    with contextlib.closing(ProcessHandle(child)) as handle:
        await runtime.stop(timedelta(seconds=0.2))
        assert await handle.wait(20)


async def test_the_agents_settings_stay_with_the_agent(world: ProcessWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYMESH_NATS_URL", "nats://agent:secret@127.0.0.1:4222")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    runtime = await world.runtime(environment={"HF_HUB_OFFLINE": "1"})
    await ask((await runtime.start()).base_url)
    variables = (await runtime.log_tail(2)).splitlines()[0].split()
    assert {"PATH", "CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE"} <= set(variables)
    assert "COMFYMESH_NATS_URL" not in variables


async def test_a_comfyui_folder_gets_folders_of_its_own_for_what_it_writes(world: ProcessWorld, tmp_path: Path) -> None:
    folder = tmp_path / "ComfyUI"
    folder.mkdir()
    (folder / "main.py").write_text(STAND_IN.read_text())
    runtime = await world.runtime(command=(), directory=folder, python=sys.executable)
    await ask((await runtime.start()).base_url)
    flags = await runtime.log_tail(10)
    for kind in ("input", "output", "temp", "user"):
        assert f"--{kind}-directory {world.home}/data/{kind}" in flags
    assert [path.name for path in folder.iterdir()] == ["main.py"]


async def test_the_emulator_serves_and_stops_when_asked(world: ProcessWorld) -> None:
    runtime = await world.runtime(command=(sys.executable, "-m", "comfymesh.emulator"))
    endpoint = await runtime.start()
    assert "comfyui_version" in await ask(endpoint.base_url, "/system_stats")
    with contextlib.closing(ProcessHandle(world.record().process)) as handle:
        handle.send(signal.SIGINT)
        assert await handle.wait(20)
    assert await until_status(runtime, Exited) == Exited(0, "ended by itself with code 0")


async def test_instances_have_ports_of_their_own(world: ProcessWorld) -> None:
    endpoints = set()
    runtimes = [await world.runtime(name=f"instance-{number}") for number in range(3)]
    try:
        for runtime in runtimes:
            endpoints.add(await runtime.start())
        assert len({await ask(endpoint.base_url) for endpoint in endpoints}) == 3
    finally:
        for runtime in runtimes:
            await runtime.stop(GRACE)


async def test_a_taken_port_is_a_clear_failure(world: ProcessWorld) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        runtime = await world.runtime(port=port)
        with pytest.raises(RuntimeFailed, match="another process listens there") as failure:
            await runtime.start()
    assert failure.value.reason is RuntimeFailureReason.PORT_TAKEN
    assert await runtime.poll() == Absent()
    assert await ask((await runtime.start()).base_url)


async def test_a_missing_program_is_a_clear_failure(world: ProcessWorld) -> None:
    runtime = await world.runtime(command=("no-such-program",))
    with pytest.raises(RuntimeFailed, match="no-such-program") as failure:
        await runtime.start()
    assert failure.value.reason is RuntimeFailureReason.COMMAND_NOT_FOUND


async def test_a_folder_without_comfyui_is_a_clear_failure(world: ProcessWorld, tmp_path: Path) -> None:
    runtime = await world.runtime(command=(), directory=tmp_path)
    with pytest.raises(RuntimeFailed, match=r"holds no main\.py") as failure:
        await runtime.start()
    assert failure.value.reason is RuntimeFailureReason.DIRECTORY_INVALID
