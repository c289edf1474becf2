"""What only the docker runtime promises, seen from the engine and from inside of the container."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from comfymesh.agent.runtimes.contract import Absent, Exited, Running, RuntimeFailed, RuntimeFailureReason
from comfymesh.agent.runtimes.orphans import end_orphans
from comfymesh.testkit.instances import DockerWorld, ask
from comfymesh.testkit.waiting import until

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.docker

GRACE = timedelta(seconds=20)
MEBIBYTE = 1024 * 1024
LISTENING = "0A"
"""State of a listening socket in /proc/net/tcp."""


async def inside(world: DockerWorld, *command: str) -> tuple[int, str]:
    """Run a command in the container; return its exit code and output."""
    container = await world.container()
    code, output = await asyncio.to_thread(container.exec_run, list(command))
    assert code is not None
    assert isinstance(output, bytes)
    return code, output.decode()


def listening_addresses(port: int) -> set[str]:
    """Return the addresses of this host, as the kernel writes them, on which somebody listens at this port."""
    rows = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    listeners = [row[1].split(":") for row in rows[1:] if row[3] == LISTENING]
    return {address for address, number in listeners if int(number, 16) == port}


async def test_limits_hold_inside_the_container(docker_world: DockerWorld) -> None:
    runtime = await docker_world.runtime(memory_bytes=96 * MEBIBYTE, cpus=0.5, shm_bytes=7 * MEBIBYTE)
    await ask((await runtime.start()).base_url)
    host = (await docker_world.container()).attrs["HostConfig"]
    assert (host["Memory"], host["NanoCpus"]) == (96 * MEBIBYTE, 500_000_000)
    limits = "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert await inside(docker_world, "sh", "-c", limits) == (0, f"{96 * MEBIBYTE}\n")
    assert (await inside(docker_world, "df", "--output=size", "-B1", "/dev/shm"))[1].split()[-1] == str(7 * MEBIBYTE)


async def test_an_instance_over_its_memory_limit_ends_and_says_so(docker_world: DockerWorld) -> None:
    hungry = "import time; time.sleep(1); x = bytearray(1 << 30); time.sleep(60)"
    runtime = await docker_world.runtime(memory_bytes=64 * MEBIBYTE, command=("python3", "-c", hungry))
    with contextlib.suppress(RuntimeFailed):  # The engine was so slow to start it that it has ended meanwhile.
        await runtime.start()

    async def told() -> bool:
        # The engine hears of the end and of its cause one after the other, in any order.
        return await runtime.poll() == Exited(137, "killed at its memory limit")

    await until(told, "the end and its cause")


async def test_no_process_in_the_container_has_or_gains_privileges(docker_world: DockerWorld) -> None:
    await ask((await (await docker_world.runtime()).start()).base_url)
    _, status = await inside(docker_world, "cat", "/proc/1/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines())
    assert {facts[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert facts["NoNewPrivs"] == "1"


async def test_the_port_is_open_on_the_loopback_interface_alone(docker_world: DockerWorld) -> None:
    endpoint = await (await docker_world.runtime()).start()
    await ask(endpoint.base_url)
    assert listening_addresses(int(endpoint.base_url.rpartition(":")[2])) == {"0100007F"}  # 127.0.0.1


async def test_the_first_process_is_an_init_that_passes_signals_on(docker_world: DockerWorld) -> None:
    runtime = await docker_world.runtime()
    await ask((await runtime.start()).base_url)
    code, name = await inside(docker_world, "cat", "/proc/1/comm")
    assert (code, name.strip()) == (0, "docker-init")
    container = await docker_world.container()
    await asyncio.to_thread(container.kill, "SIGINT")
    assert (await asyncio.to_thread(container.wait))["StatusCode"] == 0
    assert await runtime.log_tail(1) == "stopped by SIGINT\n"


async def test_models_can_be_read_and_not_written(docker_world: DockerWorld, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (models / "tiny.safetensors").write_text("weights")
    await ask((await (await docker_world.runtime(models_directory=models, models_path="/models")).start()).base_url)
    assert await inside(docker_world, "cat", "/models/tiny.safetensors") == (0, "weights")
    code, output = await inside(docker_world, "touch", "/models/new")
    assert (code, "Read-only file system" in output) == (1, True)


async def test_files_outlive_a_removed_container_and_end_with_a_stopped_instance(docker_world: DockerWorld) -> None:
    runtime = await docker_world.runtime()
    await ask((await runtime.start()).base_url)
    assert (await inside(docker_world, "touch", "/var/lib/comfyui/kept"))[0] == 0
    await docker_world.remove()
    await ask((await runtime.start()).base_url)
    assert (await inside(docker_world, "ls", "/var/lib/comfyui"))[1] == "kept\n"
    await runtime.stop(GRACE)
    await ask((await runtime.start()).base_url)
    assert (await inside(docker_world, "ls", "/var/lib/comfyui"))[1] == ""


async def test_a_stopped_instance_leaves_nothing_in_the_engine(docker_world: DockerWorld) -> None:
    runtime = await docker_world.runtime()
    await runtime.start()
    await runtime.stop(GRACE)
    engine, label = docker_world.engine, {"label": f"comfymesh.node={docker_world.node}"}
    assert await asyncio.to_thread(lambda: engine.containers.list(all=True, filters={**label})) == []
    assert await asyncio.to_thread(lambda: engine.volumes.list(filters=label)) == []
    assert await asyncio.to_thread(lambda: engine.networks.list(filters=label)) == []


async def test_everything_of_an_instance_carries_its_labels(docker_world: DockerWorld) -> None:
    await (await docker_world.runtime()).start()
    labels = (await docker_world.container()).labels
    assert (labels["comfymesh.node"], labels["comfymesh.instance"]) == (docker_world.node, "one")
    assert len(labels["comfymesh.spec"]) == 64


@pytest.mark.parametrize("pull", [False, True])
async def test_a_missing_image_is_named(docker_world: DockerWorld, pull: bool) -> None:  # noqa: FBT001
    runtime = await docker_world.runtime(image="localhost:9/no-such-image:1", pull=pull)
    with pytest.raises(RuntimeFailed, match="localhost:9/no-such-image:1") as failure:
        await runtime.start()
    assert failure.value.reason is RuntimeFailureReason.IMAGE_MISSING
    assert await runtime.poll() == Absent()


async def test_a_taken_port_is_a_clear_failure_and_can_be_mended(docker_world: DockerWorld) -> None:
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", 0))
        taker.listen()
        runtime = await docker_world.runtime(port=taker.getsockname()[1])
        with pytest.raises(RuntimeFailed) as failure:
            await runtime.start()
        assert failure.value.reason is RuntimeFailureReason.PORT_TAKEN
        assert await runtime.poll() == Absent()
    assert await ask((await runtime.start()).base_url)


async def test_a_gpu_that_is_not_there_is_a_clear_failure(docker_world: DockerWorld) -> None:
    runtime = await docker_world.runtime(gpu_uuid="GPU-00000000-0000-0000-0000-000000000000")
    with pytest.raises(RuntimeFailed) as failure:
        await runtime.start()
    assert failure.value.reason is RuntimeFailureReason.GPU_UNAVAILABLE
    assert await runtime.poll() == Absent()


async def test_missing_models_are_a_clear_failure(docker_world: DockerWorld, tmp_path: Path) -> None:
    runtime = await docker_world.runtime(models_directory=tmp_path / "nowhere")
    with pytest.raises(RuntimeFailed) as failure:
        await runtime.start()
    assert failure.value.reason is RuntimeFailureReason.MODELS_MISSING


async def test_a_program_that_the_image_lacks_is_a_clear_failure(docker_world: DockerWorld) -> None:
    runtime = await docker_world.runtime(command=("/no/such/program",))
    try:
        await runtime.start()
    except RuntimeFailed as failure:
        assert failure.reason in {RuntimeFailureReason.COMMAND_NOT_FOUND, RuntimeFailureReason.ENDED_AT_START}  # noqa: PT017
    else:
        # The container's init ran for a moment before it found no program.
        async def ended() -> bool:
            return isinstance(await runtime.poll(), Exited)

        await until(ended, "a container that has ended")


async def test_somebody_elses_container_is_left_alone(
    docker_world: DockerWorld, engine: docker.DockerClient, image: str
) -> None:
    container = await asyncio.to_thread(lambda: engine.containers.create(image, ["sleep"], name=docker_world.name))
    try:
        runtime = await docker_world.runtime()
        for attempt in (runtime.start, runtime.poll, lambda: runtime.stop(GRACE)):
            with pytest.raises(RuntimeFailed) as failure:
                await attempt()
            assert failure.value.reason is RuntimeFailureReason.NAME_TAKEN
        await asyncio.to_thread(container.reload)
    finally:
        await asyncio.to_thread(container.remove)


async def test_a_paused_container_is_replaced(docker_world: DockerWorld) -> None:
    runtime = await docker_world.runtime()
    token = await ask((await runtime.start()).base_url)
    await asyncio.to_thread((await docker_world.container()).pause)
    assert isinstance(await runtime.poll(), Exited)
    assert await ask((await runtime.start()).base_url) != token
    assert await runtime.poll() == Running()


async def test_the_emulator_of_the_image_serves_and_stops(docker_world: DockerWorld) -> None:
    runtime = await docker_world.runtime(command=("comfymesh-emulator",))
    endpoint = await runtime.start()
    assert "comfyui_version" in await ask(endpoint.base_url, "/system_stats")
    container = await docker_world.container()
    await asyncio.to_thread(container.kill, "SIGINT")
    assert (await asyncio.to_thread(container.wait))["StatusCode"] in {0, 130}
    await runtime.stop(GRACE)
    assert await runtime.poll() == Absent()


async def test_instances_started_at_once_do_not_hinder_each_other(docker_world: DockerWorld) -> None:
    runtimes = [await docker_world.runtime(name=f"at-once-{number}") for number in range(3)]
    endpoints = await asyncio.gather(*(runtime.start() for runtime in runtimes))
    assert len({await ask(endpoint.base_url) for endpoint in endpoints}) == 3
    for runtime in runtimes:
        await runtime.stop(timedelta(seconds=1))


async def test_what_no_setting_names_any_more_is_ended_with_all_that_belongs_to_it(
    docker_world: DockerWorld, engine: docker.DockerClient, tmp_path: Path
) -> None:
    runtime = await docker_world.runtime()
    await ask((await runtime.start()).base_url)
    spec = runtime._spec  # type: ignore[attr-defined]  # what the settings hold
    node = docker_world.node
    assert await end_orphans([spec], node=node, state_directory=tmp_path) == []
    assert await runtime.poll() == Running()
    other = spec.model_copy(update={"name": "another"})
    assert await end_orphans([other], node=node, state_directory=tmp_path) == [spec.name]
    assert await runtime.poll() == Absent()
    assert engine.volumes.list(filters={"label": f"comfymesh.node={node}"}) == []


async def test_a_folder_of_the_system_is_never_mounted_wherever_a_link_leads(
    docker_world: DockerWorld, tmp_path: Path
) -> None:
    link = tmp_path / "models"
    link.symlink_to("/etc")
    with pytest.raises(RuntimeFailed) as caught:
        await (await docker_world.runtime(models_directory=link)).start()
    assert caught.value.reason is RuntimeFailureReason.MOUNT_REFUSED


async def test_what_a_container_holds_of_the_hosts_memory_is_known(docker_world: DockerWorld) -> None:
    runtime = await docker_world.runtime()
    assert await runtime.memory_bytes() is None
    await ask((await runtime.start()).base_url)
    held = await runtime.memory_bytes()
    assert held is not None
    assert MEBIBYTE < held < 1024 * MEBIBYTE
