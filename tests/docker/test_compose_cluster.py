"""The compose file with its profiles and its secrets: three NATS servers, two apis, two schedulers, Prometheus.

Grafana and the collector are not started: no image of theirs can be had in CI.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

from comfymesh.client import AsyncClient, RetryPolicy, Task, TaskChanged, TaskState
from comfymesh.stack.mesh import free_port
from comfymesh.stack.observability.prometheus import Prometheus, PrometheusError
from comfymesh.testkit.compose import ROOT, Project, blocks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import docker

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
NOT_HERE = {"grafana", "collector"}
SERVICES = sorted(COMPOSE["services"].keys() - NOT_HERE)
CHECKED = sorted(name for name, service in COMPOSE["services"].items() if "healthcheck" in service)
SHOW_METRICS = {"api", "api-2", "scheduler", "scheduler-2", "notifier", "agent"}
_, _, UP_AND_DOWN, SECRETS, CLUSTER_SECRETS = blocks()
UP, DOWN = UP_AND_DOWN.splitlines()
OPTIONS = tuple(UP.removeprefix("docker compose ").removesuffix(" up -d").split())
GRAPH = ROOT / "examples" / "text-to-image.json"
TASKS = 12


@pytest.fixture(scope="module")
def prometheus_image(image: str) -> str:
    """Debian's Prometheus, in an image."""
    name = "comfymesh-prometheus:dev"
    subprocess.run([ROOT / "deploy" / "images" / "prometheus.sh"], check=True, env=os.environ | {"IMAGE": name})
    return name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkout")


@pytest.fixture(scope="module")
def mesh(image: str, prometheus_image: str, compose_program: list[str], folder: Path) -> Iterator[Project]:
    first, second, looking, gateway = free_port(), free_port(), free_port(), free_port()
    settings = {
        "COMFYMESH_IMAGE": image,
        "PROMETHEUS_IMAGE": prometheus_image,
        "COMFYMESH_PORT": str(first),
        "COMFYMESH_PORT_2": str(second),
        "PROMETHEUS_PORT": str(looking),
        "COMFYMESH_GATEWAY_PORT": str(gateway),
    }
    name, both = f"comfymesh-test-{uuid.uuid4().hex[:8]}", f"ipv4:127.0.0.1:{first},127.0.0.1:{second}"
    project = Project(name, compose_program, settings, both, OPTIONS, SERVICES)
    try:
        project.follow(SECRETS + CLUSTER_SECRETS + UP, folder)
        yield project
    except BaseException:
        with contextlib.suppress(AssertionError):
            print(project.compose("logs", "--no-color", "--tail=100"))  # noqa: T201 - pytest shows it beside the failure
        raise
    finally:
        project.end(lambda: project.follow(f"{DOWN} --volumes --timeout 20", folder))


@pytest.fixture
def key(mesh: Project, folder: Path) -> str:
    return (folder / "secrets" / "bootstrap-key").read_text().strip()


@pytest.fixture
def client(mesh: Project, key: str) -> AsyncClient:
    return AsyncClient(mesh.target, api_key=key, timeout=120, retries=RetryPolicy(connect_timeout=120))


def until_healthy(mesh: Project, engine: docker.DockerClient, *services: str) -> None:
    for service in services:
        while True:
            (container,) = engine.containers.list(filters={"label": mesh.label(service)})
            if container.attrs["State"]["Health"]["Status"] == "healthy":
                break
            time.sleep(0.5)


def test_every_service_becomes_healthy(mesh: Project, engine: docker.DockerClient) -> None:
    assert set(COMPOSE["services"]) - set(CHECKED) == {"collector"}
    until_healthy(mesh, engine, *(set(CHECKED) - NOT_HERE))


def test_the_demo_runs_on_it(mesh: Project, key: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "comfymesh.stack.demo", "--target", mesh.target, "--out", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"COMFYMESH_API_KEY": key}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"text-to-image_00001_.png", "image-to-image_00001_.png"}


async def test_without_a_key_nobody_is_let_in(mesh: Project) -> None:
    async with AsyncClient(mesh.target) as stranger:
        with pytest.raises(Exception, match=r"(?i)key"):
            await stranger.nodes()


async def test_a_client_of_comfyui_is_served_by_the_gateway(mesh: Project, key: str) -> None:
    address = f"http://127.0.0.1:{mesh.settings['COMFYMESH_GATEWAY_PORT']}"
    bearer = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(address) as stranger, stranger.get("/queue") as refused:
        assert refused.status == 401
    async with aiohttp.ClientSession(address, headers=bearer) as session:
        async with session.post("/prompt", json={"prompt": json.loads(GRAPH.read_text())}) as accepted:
            prompt_id = (await accepted.json())["prompt_id"]
        while not (entry := await history(session, prompt_id)):  # noqa: ASYNC110  # HTTP has no event to wait for
            await asyncio.sleep(0.2)
        assert entry["status"]["status_str"] == "success"


async def history(session: aiohttp.ClientSession, prompt_id: str) -> Any:
    """What the history says of a prompt; nothing before its end."""
    async with session.get(f"/history/{prompt_id}") as response:
        return (await response.json()).get(prompt_id)


async def test_nothing_is_lost_with_one_of_each_service(
    mesh: Project, client: AsyncClient, engine: docker.DockerClient
) -> None:
    """Killed at once, while tasks run: a NATS server, an api, and the scheduler that acts."""
    victims = ("nats", "api", await leading(mesh))
    async with client:
        tasks = [await client.create(GRAPH, {"5.seed": seed}) for seed in range(TASKS)]
        await ending(client, tasks[0])
        await asyncio.to_thread(mesh.compose, "kill", *victims)
        assert [(await ending(client, task)).state for task in tasks] == [TaskState.SUCCEEDED] * TASKS
        assert {task.name for task in tasks} <= {task.name async for task in client.list()}
    await asyncio.to_thread(mesh.compose, "start", *victims)
    await asyncio.to_thread(until_healthy, mesh, engine, *victims)


async def ending(client: AsyncClient, task: Task) -> Task:
    """The task, once it has ended."""
    async for event in client.watch(task):
        if isinstance(event, TaskChanged) and event.task.state.final:
            return event.task
    pytest.fail("a watch ended before its task")


async def leading(mesh: Project) -> str:
    async with looking(mesh) as prometheus:
        while True:
            with contextlib.suppress(PrometheusError, OSError):
                for found in await prometheus.query("comfymesh_scheduler_leading == 1"):
                    return found.labels["instance"].partition(":")[0]
            await asyncio.sleep(0.5)


@contextlib.asynccontextmanager
async def looking(mesh: Project) -> AsyncIterator[Prometheus]:
    async with aiohttp.ClientSession() as session:
        yield Prometheus(f"http://127.0.0.1:{mesh.settings['PROMETHEUS_PORT']}", session)


async def test_prometheus_reads_every_service(mesh: Project, client: AsyncClient) -> None:
    async with client:
        # Counted by the scheduler that acts now: the one before may have been killed with all that it had counted.
        assert (await ending(client, await client.create(GRAPH, {"5.seed": TASKS}))).state is TaskState.SUCCEEDED
    async with looking(mesh) as prometheus:
        while not await prometheus.reads(len(SHOW_METRICS)):  # noqa: ASYNC110  # it has no event to wait for
            await asyncio.sleep(0.5)
        targets = {target["labels"]["instance"].partition(":")[0] for target in await prometheus.targets()}
        assert targets == SHOW_METRICS
        while not await prometheus.query('sum(comfymesh_task_ended_total{comfymesh_task_state="SUCCEEDED"}) > 0'):  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        assert {rule["health"] for rule in await prometheus.rules()} <= {"ok", "unknown"}


def test_what_grafana_and_the_collector_read_is_where_they_look() -> None:
    """Neither is started here."""
    for name in NOT_HERE:
        for volume in COMPOSE["services"][name]["volumes"]:
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).exists(), volume
    provided = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/comfymesh.yaml").read_text())
    mounted = {volume.split(":")[1] for volume in COMPOSE["services"]["grafana"]["volumes"]}
    assert {each["options"]["path"] for each in provided["providers"]} <= mounted
    collector = yaml.safe_load((ROOT / "deploy/compose/collector.yaml").read_text())
    for pipeline in collector["service"]["pipelines"].values():
        for kind in ("receivers", "processors"):
            assert set(pipeline[kind]) <= collector[kind].keys()
    assert COMPOSE["services"]["collector"]["environment"].keys() == {"TRACES_EXPORTER", "TRACES_ENDPOINT"}
